//! Functions of single numbers and of rows.

/// e to the power of `x`, right to about 1 in 10⁷, and written so that it is vectorised.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these, the result is 0 or infinite in an `f32`.
    let x = x.clamp(-87.0, 88.0);
    // x = n ln 2 + rest. Added to 1.5 · 2²³, a number is rounded to a whole one.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let rest = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    // The series of the exponential, to the sixth power: the rest is less than 0.35.
    let mut sum = 1.0 / 720.0;
    for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + factor;
    }
    // 2ⁿ has n in the bits of its exponent; the lowest bits of the shifted number are n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    sum * power
}

/// The Gaussian error linear unit: x times the share of the normal distribution below x.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: off by 1.5 · 10⁻⁷ at most.
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut sum = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum * t + factor;
    }
    let erf = (1.0 - sum * t * exp(-z * z)).copysign(x);
    0.5 * x * (1.0 + erf)
}

/// Makes `row` a distribution: each the exponential of what it was, divided by the sum of all.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) {
    let greatest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    for x in row.iter_mut() {
        *x = exp(*x - greatest);
    }
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

/// Gives each row of `width` a mean of 0 and a variance of 1, then a scale and an offset to each column.
#[inline(always)]
pub(super) fn layer_norm(rows: &mut [f32], width: usize, scale: &[f32], offset: &[f32], epsilon: f32) {
    for row in rows.chunks_exact_mut(width) {
        let mean = row.iter().sum::<f32>() / width as f32;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
        let by = 1.0 / (variance + epsilon).sqrt();
        for ((x, scale), offset) in row.iter_mut().zip(scale).zip(offset) {
            *x = (*x - mean) * by * scale + offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_a_ten_millionth() {
        for at in -8600..8700 {
            let x = at as f32 / 100.0;
            let right = f64::from(x).exp();
            let off = (f64::from(exp(x)) - right).abs() / right;
            assert!(off < 4e-7, "exp({x}) is off by {off:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn gelu_is_as_tabled() {
        // Values of x Φ(x) to seven digits.
        for (x, right) in [
            (-3.0, -0.004_049_69),
            (-1.0, -0.158_655_25),
            (-0.1, -0.046_017_22),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.0, 1.954_499_7),
        ] {
            assert!((gelu(x) - right).abs() < 1e-6, "gelu({x}) = {}", gelu(x));
        }
        assert!((gelu(30.0) - 30.0).abs() < 1e-5 && gelu(-30.0).abs() < 1e-5);
    }

    #[test]
    fn a_softmax_of_anything_sums_to_one() {
        for mut row in [vec![0.0; 3], vec![1000.0, -1000.0, 999.0], vec![-5.0]] {
            softmax(&mut row);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
