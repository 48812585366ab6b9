//! A matrix to multiply rows with, laid out for it.

use fearless_simd::{Simd, SimdBase as _, SimdFloat as _, f32x8};

/// So many columns are computed together: two registers of eight.
const PANEL: usize = 16;
/// So many rows are computed together: with them, the sums fill twelve registers of sixteen.
const TILE: usize = 6;

/// An affine map of rows with `inputs` numbers to rows with `outputs`.
#[derive(Debug)]
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    /// For each 16 outputs, for each input, the 16 weights between: in the order in which they are read.
    panels: Vec<[f32; PANEL]>,
    /// Of each 16 outputs, the offsets.
    biases: Vec<[f32; PANEL]>,
}

// === impl Linear ===

impl Linear {
    /// Creates the map with these `weights`, a row for each output, and an offset for each. `None` if their lengths do not fit.
    pub(super) fn new(inputs: usize, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let outputs = bias.len();
        if inputs == 0 || weights.len() != inputs.checked_mul(outputs)? {
            return None;
        }
        let count = outputs.div_ceil(PANEL);
        let mut panels = vec![[0.0; PANEL]; count * inputs];
        let mut biases = vec![[0.0; PANEL]; count];
        for (output, (row, offset)) in weights.chunks_exact(inputs).zip(bias).enumerate() {
            let (panel, lane) = (output / PANEL, output % PANEL);
            biases[panel][lane] = *offset;
            for (weights, weight) in panels[panel * inputs..].iter_mut().zip(row) {
                weights[lane] = *weight;
            }
        }
        Some(Self { inputs, outputs, panels, biases })
    }

    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Maps each row of `rows` to one of `out`.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, simd: S, rows: &[f32], out: &mut [f32]) {
        for (at, (panel, bias)) in self.panels.chunks_exact(self.inputs).zip(&self.biases).enumerate() {
            let tiles = rows.chunks(TILE * self.inputs).zip(out.chunks_mut(TILE * self.outputs));
            for (rows, out) in tiles {
                let first = at * PANEL;
                match rows.len() / self.inputs {
                    1 => self.tile::<S, 1>(simd, rows, panel, bias, out, first),
                    2 => self.tile::<S, 2>(simd, rows, panel, bias, out, first),
                    3 => self.tile::<S, 3>(simd, rows, panel, bias, out, first),
                    4 => self.tile::<S, 4>(simd, rows, panel, bias, out, first),
                    5 => self.tile::<S, 5>(simd, rows, panel, bias, out, first),
                    _ => self.tile::<S, TILE>(simd, rows, panel, bias, out, first),
                }
            }
        }
    }

    /// Computes 16 columns from `first` on, of `ROWS` rows.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        rows: &[f32],
        panel: &[[f32; PANEL]],
        bias: &[f32; PANEL],
        out: &mut [f32],
        first: usize,
    ) {
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row * self.inputs..][..self.inputs]);
        let panel = &panel[..self.inputs];
        let halves =
            |weights: &[f32; PANEL]| (f32x8::from_slice(simd, &weights[..8]), f32x8::from_slice(simd, &weights[8..]));
        let mut sums = [halves(bias); ROWS];
        for input in 0..self.inputs {
            let (low, high) = halves(&panel[input]);
            for row in 0..ROWS {
                let x = f32x8::splat(simd, rows[row][input]);
                sums[row] = (x.mul_add(low, sums[row].0), x.mul_add(high, sums[row].1));
            }
        }
        let width = PANEL.min(self.outputs - first);
        for (row, (low, high)) in sums.iter().enumerate() {
            let mut columns = [0.0; PANEL];
            low.store_slice(&mut columns[..8]);
            high.store_slice(&mut columns[8..]);
            out[row * self.outputs + first..][..width].copy_from_slice(&columns[..width]);
        }
    }
}
