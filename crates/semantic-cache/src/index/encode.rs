//! What is kept of a vector: its direction, rotated, and the signs of that.

use std::{num::NonZeroUsize, sync::Arc};

use super::{
    error::VectorError,
    kernel::{self, Kernel},
};

/// Few dimensions have few signs; they are spread over so many.
const LEAST_WIDTH: usize = 256;
/// One round spreads a lone component; the second makes the signs of a few independent.
const ROUNDS: usize = 2;
/// Of a square beyond these, too much is lost in the range of `f32`.
const SQUARES: std::ops::Range<f32> = 1e-24..1e30;

/// Rotates vectors, and holds the last one.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    dimensions: NonZeroUsize,
    /// For each round and component, the sign bit or nothing.
    flips: Arc<[u32]>,
    vector: Vec<f32>,
    signs: Vec<u64>,
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(dimensions: NonZeroUsize) -> Self {
        let width = dimensions.get().next_multiple_of(64).max(LEAST_WIDTH);
        let mut random = SplitMix(0x6275_7474_7265_7373);
        let flips = (0..ROUNDS * width).map(|_| (random.next() >> 32) as u32 & (1 << 31)).collect();
        Self { dimensions, flips, vector: vec![0.0; width], signs: vec![0; width / 64] }
    }

    /// Encodes `vector`, to be read by [`vector`](Self::vector) and [`signs`](Self::signs).
    pub(super) fn encode(&mut self, kernel: Kernel, vector: &[f32]) -> Result<(), VectorError> {
        let dimensions = self.dimensions.get();
        if vector.len() != dimensions {
            return Err(VectorError::dimensions(dimensions, vector.len()));
        }
        let Self { flips, vector: out, signs, .. } = self;
        kernel.run(
            #[inline(always)]
            || {
                normalise(vector, &mut out[..dimensions])?;
                out[dimensions..].fill(0.0);
                for flips in flips.chunks_exact(out.len()) {
                    rotate(out, flips);
                }
                kernel::pack_signs(out, signs);
                Ok(())
            },
        )
    }

    /// Returns the rotated vector, of unit length.
    pub(super) fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// Returns the signs of the rotated vector.
    pub(super) fn signs(&self) -> &[u64] {
        &self.signs
    }

    /// Returns the length of the rotated vector: a multiple of 64.
    pub(super) const fn width(&self) -> usize {
        self.vector.len()
    }

    pub(super) const fn dimensions(&self) -> NonZeroUsize {
        self.dimensions
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.flips) + size_of_val(&*self.vector) + size_of_val(&*self.signs)
    }
}

/// Writes the direction of `vector` into `out`.
#[inline(always)]
fn normalise(vector: &[f32], out: &mut [f32]) -> Result<(), VectorError> {
    let square = kernel::square(vector);
    if !SQUARES.contains(&square) {
        return normalise_extreme(vector, out);
    }
    let scale = 1.0 / square.sqrt();
    for (out, x) in out.iter_mut().zip(vector) {
        *out = x * scale;
    }
    Ok(())
}

/// Does so for components whose squares leave the range of `f32`; those of `f64` hold them.
#[cold]
fn normalise_extreme(vector: &[f32], out: &mut [f32]) -> Result<(), VectorError> {
    if vector.iter().any(|x| !x.is_finite()) {
        return Err(VectorError::not_finite());
    }
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length == 0.0 {
        return Err(VectorError::zero());
    }
    for (out, x) in out.iter_mut().zip(vector) {
        *out = (f64::from(*x) / length) as f32;
    }
    Ok(())
}

/// Flips signs, then mixes the components: the first 2ⁿ of them, then the last, where the whole is no power of two.
#[inline(always)]
fn rotate(vector: &mut [f32], flips: &[u32]) {
    for (x, flip) in vector.iter_mut().zip(flips) {
        *x = f32::from_bits(x.to_bits() ^ flip);
    }
    let width = vector.len();
    let window = 1 << width.ilog2();
    kernel::hadamard(&mut vector[..window]);
    if window < width {
        kernel::hadamard(&mut vector[width - window..]);
    }
}

/// The generator of Steele, Lea and Flood (2014). The rotation is the same in every process.
struct SplitMix(u64);

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_angles() {
        for dimensions in [1, 3, 64, 100, 256, 384, 512, 700, 1536] {
            let mut encoder = Encoder::new(NonZeroUsize::new(dimensions).expect("not zero"));
            let kernel = Kernel::detect();
            let a: Vec<f32> = (0..dimensions).map(|x| (x as f32 * 0.7).sin() + 0.1).collect();
            let b: Vec<f32> = (0..dimensions).map(|x| (x as f32 * 0.9).cos()).collect();
            encoder.encode(kernel, &a).expect("it has a direction");
            let rotated = encoder.vector().to_vec();
            encoder.encode(kernel, &b).expect("it has a direction");
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            let found = f64::from(kernel::dot(&rotated, encoder.vector()));
            assert!((found - cosine).abs() < 1e-5, "{dimensions}: {found} instead of {cosine}");
        }
    }

    #[test]
    fn signs_of_a_lone_component_are_as_good_as_any() {
        let mut encoder = Encoder::new(NonZeroUsize::new(512).expect("not zero"));
        let signs: Vec<Vec<u64>> = (0..512)
            .map(|at| {
                let mut vector = vec![0.0; 512];
                vector[at] = 1.0;
                encoder.encode(Kernel::detect(), &vector).expect("it has a direction");
                encoder.signs().to_vec()
            })
            .collect();
        for (at, a) in signs.iter().enumerate() {
            for b in &signs[..at] {
                let differing: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
                // A right angle: half of them, give or take 5.5 standard deviations of a coin.
                assert!((194..=318).contains(&differing), "{differing} of 512");
            }
        }
    }
}
