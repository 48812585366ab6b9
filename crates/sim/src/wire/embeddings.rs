//! Embeddings: unit vectors that depend on the input alone.

use std::fmt::Write;

use super::quoted;
use crate::seed::Seeded;

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Float,
    /// The bytes of little-endian `f32`s.
    Base64,
}

/// The answer for `inputs`, each given by the bytes its vector depends on.
pub(crate) fn json(inputs: &[Vec<u8>], dimensions: usize, encoding: Encoding, model: &str, tokens: u32) -> String {
    let mut text = String::from(r#"{"object":"list","data":["#);
    for (index, input) in inputs.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        put(&mut text, format_args!(r#"{comma}{{"object":"embedding","index":{index},"embedding":"#));
        write_vector(&mut text, &vector(input, dimensions), encoding);
        text.push('}');
    }
    let model = quoted(model);
    put(&mut text, format_args!(r#"],"model":{model},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#));
    text
}

/// The same at every target and for every seed, so that equal inputs are equal wherever they were embedded.
fn vector(input: &[u8], dimensions: usize) -> Vec<f32> {
    let mut seeded = Seeded::from_bytes(input);
    let draws: Vec<_> = (0..dimensions).map(|_| seeded.unit() * 2.0 - 1.0).collect();
    let length = draws.iter().map(|x| x * x).sum::<f64>().sqrt();
    draws.iter().map(|x| (x / length) as f32).collect()
}

fn write_vector(text: &mut String, vector: &[f32], encoding: Encoding) {
    match encoding {
        Encoding::Float => {
            text.push('[');
            for (index, x) in vector.iter().enumerate() {
                put(text, format_args!("{}{x}", if index == 0 { "" } else { "," }));
            }
            text.push(']');
        }
        Encoding::Base64 => {
            let bytes: Vec<_> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            text.push('"');
            write_base64(text, &bytes);
            text.push('"');
        }
    }
}

fn write_base64(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= group.len();
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if shown { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
}

fn put(text: &mut String, args: std::fmt::Arguments<'_>) {
    text.write_fmt(args).expect("a string takes all it is given");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn base64_pads_as_the_standard_says() {
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut text = String::new();
            write_base64(&mut text, bytes.as_bytes());
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn equal_inputs_get_equal_vectors_and_others_do_not() {
        assert_eq!(vector(b"a", 16), vector(b"a", 16));
        assert_ne!(vector(b"a", 16), vector(b"b", 16));
    }

    #[test]
    fn the_answer_is_json_in_both_encodings() {
        let inputs = [b"a".to_vec(), b"b".to_vec()];
        let value: Value = serde_json::from_str(&json(&inputs, 3, Encoding::Float, "m", 2)).unwrap();
        assert_eq!(value["data"][1]["embedding"].as_array().unwrap().len(), 3);
        let value: Value = serde_json::from_str(&json(&inputs, 3, Encoding::Base64, "m", 2)).unwrap();
        assert_eq!(value["data"][0]["embedding"].as_str().unwrap().len(), 16);
    }

    proptest! {
        #[test]
        fn vectors_have_length_one(input: Vec<u8>, dimensions in 1_usize..512) {
            let length: f32 = vector(&input, dimensions).iter().map(|x| x * x).sum();
            prop_assert!((length - 1.0).abs() < 1e-3);
        }
    }
}
