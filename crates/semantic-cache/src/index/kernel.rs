//! The inner loops, compiled for what the processor can do.
//!
//! They are plain loops that the compiler vectorises. [`Kernel::run`] has them compiled once more for newer instruction sets,
//! and picks by what the processor says: counting bits is several times faster with the instruction for it.

use std::fmt;

use fearless_simd::{Level, Simd, WithSimd};

/// The instruction set to run loops with.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Level);

struct Job<F>(F);

/// Sums are kept in this many parts, so that they can be added side by side.
const LANES: usize = 16;

// === impl Kernel ===

impl Kernel {
    pub(super) fn detect() -> Self {
        Self(Level::new())
    }

    /// Runs `work`, and all that is inlined into it, with the best instructions there are.
    #[inline(always)]
    pub(super) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.0.dispatch(Job(work))
    }

    /// Runs `work` with the instruction that counts bits, where there is one.
    ///
    /// With AVX2 at hand, the compiler counts in vectors, and spends more on bringing the words of rows into them.
    #[inline(always)]
    pub(super) fn run_counting<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(level) = self.0.as_sse4_2() {
            return level.vectorize(work);
        }
        self.run(work)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({:?})", self.0)
    }
}

impl<R, F: FnOnce() -> R> WithSimd for Job<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> R {
        (self.0)()
    }
}

/// Counts in how many bits each row of `rows` differs from `signs`.
#[inline(always)]
pub(super) fn distances(rows: &[u64], signs: &[u64], distances: &mut [u16]) {
    match signs.len() {
        4 => distances_of::<4>(rows, signs, distances),
        6 => distances_of::<6>(rows, signs, distances),
        8 => distances_of::<8>(rows, signs, distances),
        12 => distances_of::<12>(rows, signs, distances),
        16 => distances_of::<16>(rows, signs, distances),
        24 => distances_of::<24>(rows, signs, distances),
        48 => distances_of::<48>(rows, signs, distances),
        words => {
            for (row, distance) in rows.chunks_exact(words).zip(distances) {
                *distance = differing(row, signs);
            }
        }
    }
}

/// Known lengths let the compiler unroll the row.
#[inline(always)]
fn distances_of<const WORDS: usize>(rows: &[u64], signs: &[u64], distances: &mut [u16]) {
    let signs: &[u64; WORDS] = signs.try_into().expect("the caller matched the length");
    for (row, distance) in rows.as_chunks::<WORDS>().0.iter().zip(distances) {
        *distance = differing(row, signs);
    }
}

#[inline(always)]
fn differing(row: &[u64], signs: &[u64]) -> u16 {
    let bits: u32 = row.iter().zip(signs).map(|(a, b)| (a ^ b).count_ones()).sum();
    // Beyond 65,535 dimensions the farthest are told apart no more.
    u16::try_from(bits).unwrap_or(u16::MAX)
}

/// Returns whether one of `distances` is `cut` or less.
#[inline(always)]
pub(super) fn any_within(distances: &[u16], cut: u16) -> bool {
    distances.iter().fold(0, |any, distance| any | u16::from(*distance <= cut)) != 0
}

/// Returns the scalar product of `a` and `b`, whose length is a multiple of 16.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// Returns the scalar product of `a` and `codes`, whose length is a multiple of 16.
#[inline(always)]
pub(super) fn dot_codes(a: &[f32], codes: &[i8]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, codes) in a.as_chunks::<LANES>().0.iter().zip(codes.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * f32::from(codes[lane]);
        }
    }
    sums.iter().sum()
}

/// Returns the sum of the squares of `vector`, of any length.
#[inline(always)]
pub(super) fn square(vector: &[f32]) -> f32 {
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane] * chunk[lane];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// Replaces `vector`, whose length is a power of two and at least 8, by its Walsh-Hadamard transform, made to keep lengths.
#[inline(always)]
pub(super) fn hadamard(vector: &mut [f32]) {
    let mut half = vector.len() / 2;
    while half >= 8 {
        for block in vector.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
    let scale = 1.0 / (vector.len() as f32).sqrt();
    for block in vector.as_chunks_mut::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *block;
        let [a, b, c, d, e, f, g, h] = [a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h];
        let [a, b, c, d, e, f, g, h] = [a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h];
        *block = [a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h].map(|x| x * scale);
    }
}

/// Writes the sign of each component of `vector` into a bit of `signs`: a set bit is a negative number.
#[inline(always)]
pub(super) fn pack_signs(vector: &[f32], signs: &mut [u64]) {
    for (components, word) in vector.as_chunks::<64>().0.iter().zip(signs) {
        let mut bits = 0;
        for (at, component) in components.iter().enumerate() {
            bits |= u64::from(component.to_bits() >> 31) << at;
        }
        *word = bits;
    }
}

/// Writes `vector` into `codes`, the greatest component as ±127, and returns the length of what was written.
#[inline(always)]
pub(super) fn quantise(vector: &[f32], codes: &mut [i8]) -> f32 {
    let mut greatest = [0.0_f32; LANES];
    for chunk in vector.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            greatest[lane] = if chunk[lane].abs() > greatest[lane] { chunk[lane].abs() } else { greatest[lane] };
        }
    }
    let scale = 127.0 / greatest.iter().fold(f32::MIN_POSITIVE, |a, b| a.max(*b));
    let mut sums = [0; LANES];
    for (chunk, codes) in vector.as_chunks::<LANES>().0.iter().zip(codes.as_chunks_mut::<LANES>().0) {
        for lane in 0..LANES {
            // Added to 1.5 · 2²³, a small number is rounded to a whole one, found in the lowest bits.
            let code = (chunk[lane] * scale + 12_582_912.0).to_bits() as i8;
            codes[lane] = code;
            sums[lane] += i32::from(code) * i32::from(code);
        }
    }
    (sums.iter().map(|sum| i64::from(*sum)).sum::<i64>() as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_extras_computes_the_same() {
        let best = Kernel::detect();
        let plain = Kernel(Level::baseline());
        let vector: Vec<f32> = (0..384).map(|x| ((x * 37 % 101) as f32 - 50.0) / 100.0).collect();
        let rows: Vec<u64> = (0..60_u64).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let run = |kernel: Kernel| {
            kernel.run(|| {
                let mut rotated = vector.clone();
                hadamard(&mut rotated[..256]);
                let mut signs = [0; 6];
                pack_signs(&rotated, &mut signs);
                let mut counts = [0; 10];
                distances(&rows, &signs, &mut counts);
                let mut codes = [0; 384];
                let length = quantise(&vector, &mut codes);
                (signs, counts, codes, length, dot(&vector, &rotated))
            })
        };
        let (best, plain) = (run(best), run(plain));
        assert_eq!((best.0, best.1, best.2, best.3), (plain.0, plain.1, plain.2, plain.3));
        // A fused multiplication rounds once.
        assert!((best.4 - plain.4).abs() < 1e-5);
    }

    #[test]
    fn rows_of_every_length_are_counted() {
        for words in 1..60 {
            let signs: Vec<u64> = (0..words).map(|x| u64::MAX >> x).collect();
            let rows: Vec<u64> = signs.iter().copied().chain(signs.iter().map(|x| !x)).collect();
            let mut counts = [7; 2];
            distances(&rows, &signs, &mut counts);
            assert_eq!(counts, [0, words * 64]);
        }
    }

    #[test]
    fn the_transform_keeps_lengths_and_is_its_own_inverse() {
        let vector: Vec<f32> = (0..64).map(|x| x as f32 / 8.0).collect();
        let mut twice = vector.clone();
        hadamard(&mut twice);
        assert!((square(&twice) - square(&vector)).abs() < 0.01);
        hadamard(&mut twice);
        assert!(twice.iter().zip(&vector).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn codes_are_rounded_to_the_nearest() {
        let mut vector = [0.0; 16];
        vector[..6].copy_from_slice(&[1.0, -1.0, 0.4, -0.4, 0.003, 0.005]);
        let mut codes = [9; 16];
        let length = quantise(&vector, &mut codes);
        assert_eq!(codes[..7], [127, -127, 51, -51, 0, 1, 0]);
        assert!((length - f32::sqrt(2.0 * 127.0 * 127.0 + 2.0 * 51.0 * 51.0 + 1.0)).abs() < 1e-3);
    }
}
