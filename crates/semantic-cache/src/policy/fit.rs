//! Logistic regression.

use super::evidence::FOLDS;
use super::features::{COUNT, Features};

/// How much each measurement says about whether a candidate is right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    weights: [f64; WIDTH],
    means: [f64; COUNT],
    scales: [f64; COUNT],
}

/// One judged candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Example<'a> {
    pub(super) features: &'a Features,
    pub(super) right: bool,
    pub(super) weight: f64,
    /// Which part of the examples it is in, when some are left out.
    pub(super) fold: usize,
}

const WIDTH: usize = COUNT + 1;
const STEPS: usize = 12;
const STEPS_AGAIN: usize = 4;
const RIDGE: f64 = 1.0;
/// The constant term is as good as free.
const RIDGE_OF_CONSTANT: f64 = 1e-3;

type Row = [f64; WIDTH];

// === impl Model ===

impl Model {
    /// Finds the weights that explain `examples` best, by Newton's method, with a penalty on their squares.
    pub(super) fn fit(examples: &[Example<'_>]) -> Self {
        let (means, scales) = standard(examples);
        Self { weights: [0.0; WIDTH], means, scales }.fitted_to(examples, STEPS)
    }

    /// The same, of examples that are most of those it was fitted to.
    fn refit(&self, examples: &[Example<'_>]) -> Self {
        self.clone().fitted_to(examples, STEPS_AGAIN)
    }

    /// Models of which each has not seen one fold.
    pub(super) fn folds(&self, examples: &[Example<'_>]) -> [Self; FOLDS] {
        std::array::from_fn(|fold| {
            let others: Vec<Example<'_>> = examples.iter().filter(|example| example.fold != fold).copied().collect();
            self.refit(&others)
        })
    }

    fn fitted_to(self, examples: &[Example<'_>], steps: usize) -> Self {
        let mut model = self;
        let rows: Vec<Row> = examples.iter().map(|example| model.row(example.features)).collect();
        for _ in 0..steps {
            let (gradient, hessian) = model.slope(examples, &rows);
            let step = solve(hessian, gradient);
            let mut longest = 0.0_f64;
            for (weight, step) in model.weights.iter_mut().zip(step) {
                *weight += step;
                longest = longest.max(step.abs());
            }
            if longest < 1e-3 {
                break;
            }
        }
        model
    }

    /// The logarithm of the odds that a candidate is right. Finite, whatever the measurements.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        let score = dot(&self.weights, &self.row(features));
        if score.is_finite() { score } else { f64::MIN }
    }

    fn row(&self, features: &Features) -> Row {
        let mut row = [1.0; WIDTH];
        for (at, &value) in features.0.iter().enumerate() {
            row[at] = (f64::from(value) - self.means[at]) / self.scales[at];
        }
        row
    }

    fn slope(&self, examples: &[Example<'_>], rows: &[Row]) -> (Row, [Row; WIDTH]) {
        let mut gradient = [0.0; WIDTH];
        let mut hessian = [[0.0; WIDTH]; WIDTH];
        for at in 0..WIDTH {
            let ridge = if at == COUNT { RIDGE_OF_CONSTANT } else { RIDGE };
            gradient[at] = -ridge * self.weights[at];
            hessian[at][at] = ridge;
        }
        for (example, row) in examples.iter().zip(rows) {
            let chance = chance(dot(&self.weights, row));
            let error = example.weight * (f64::from(u8::from(example.right)) - chance);
            let spread = example.weight * chance * (1.0 - chance);
            for (at, value) in row.iter().enumerate() {
                gradient[at] += error * value;
                let scaled = spread * value;
                for (entry, other) in hessian[at][..=at].iter_mut().zip(row) {
                    *entry += scaled * other;
                }
            }
        }
        (gradient, hessian)
    }
}

/// The probability that a score stands for.
pub(crate) fn chance(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn dot(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn standard(examples: &[Example<'_>]) -> ([f64; COUNT], [f64; COUNT]) {
    let count = f64::from(u32::try_from(examples.len().max(1)).unwrap_or(u32::MAX));
    let mut means = [0.0; COUNT];
    let mut scales = [0.0; COUNT];
    for example in examples {
        means.iter_mut().zip(example.features.0).for_each(|(mean, value)| *mean += f64::from(value) / count);
    }
    for example in examples {
        for (at, &value) in example.features.0.iter().enumerate() {
            scales[at] += (f64::from(value) - means[at]).powi(2) / count;
        }
    }
    // What never varied says nothing yet, and must not speak loudly when it does for the first time.
    scales.iter_mut().for_each(|scale| *scale = if *scale > 1e-12 { scale.sqrt() } else { 1.0 });
    (means, scales)
}

/// Solves `matrix · x = vector` by Cholesky's method; of the matrix, only the lower half is read.
fn solve(mut matrix: [Row; WIDTH], mut vector: Row) -> Row {
    for i in 0..WIDTH {
        for j in 0..=i {
            let sum = matrix[i][j] - (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum::<f64>();
            matrix[i][j] = if i == j { sum.max(1e-9).sqrt() } else { sum / matrix[j][j] };
        }
        let sum = vector[i] - (0..i).map(|k| matrix[i][k] * vector[k]).sum::<f64>();
        vector[i] = sum / matrix[i][i];
    }
    for i in (0..WIDTH).rev() {
        let sum = vector[i] - (i + 1..WIDTH).map(|k| matrix[k][i] * vector[k]).sum::<f64>();
        vector[i] = sum / matrix[i][i];
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_gets_the_weight_and_the_rest_gets_none() {
        let mut seed = 1_u32;
        let mut draw = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(seed >> 16).expect("sixteen bits")) / 65_536.0
        };
        let examples: Vec<(Features, bool)> = (0..2000)
            .map(|_| {
                let mut features = Features([0.0; COUNT]);
                features.0[..3].iter_mut().for_each(|value| *value = draw());
                let right = features.0[1] + 0.2 * draw() > 0.6;
                (features, right)
            })
            .collect();
        let examples: Vec<Example<'_>> = examples
            .iter()
            .map(|(features, right)| Example { features, right: *right, weight: 1.0, fold: 0 })
            .collect();
        let model = Model::fit(&examples);
        let agreed = examples.iter().filter(|example| (model.score(example.features) > 0.0) == example.right).count();
        assert!(agreed > 1850, "{agreed}");
        assert!(model.weights[1] > 10.0 * model.weights[0].abs().max(model.weights[2].abs()), "{:?}", model.weights);
    }

    #[test]
    fn odd_measurements_and_one_sided_examples_give_finite_scores() {
        let features = Features([f32::MAX; COUNT]);
        let model = Model::fit(&[Example { features: &features, right: true, weight: 1.0, fold: 0 }]);
        assert!(model.score(&features).is_finite());
        assert!(model.score(&Features([f32::NAN; COUNT])) < -1e300);
    }
}
