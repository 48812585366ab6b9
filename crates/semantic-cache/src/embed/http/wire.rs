//! The embeddings protocol: what a request says, and how vectors are written in an answer.

use std::{fmt, num::NonZeroUsize};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

use super::super::Embedding;

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<NonZeroUsize>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Item>,
    /// Ollama's own form.
    #[serde(default)]
    embeddings: Vec<Vector>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vector,
}

/// Written as numbers, or as base64 of numbers of 32 bits, little-endian.
struct Vector(Vec<f32>);

struct VectorVisitor;

/// Returns a request for the vectors of `texts`.
pub(super) fn request<'a>(
    model: &str,
    texts: impl Iterator<Item = &'a str>,
    base64: bool,
    dimensions: Option<NonZeroUsize>,
) -> Vec<u8> {
    let encoding_format = base64.then_some("base64");
    let question = Question { model, input: texts.collect(), encoding_format, dimensions };
    serde_json::to_vec(&question).expect("text and numbers can be written as JSON")
}

/// Returns how many bytes an answer with so many vectors takes at most.
pub(super) const fn longest_answer(texts: usize, dimensions: usize) -> usize {
    // A number of 32 bits takes 16 characters at most, those of 64 bits 25; a server may put each on a line of its own.
    texts.saturating_mul(dimensions.saturating_mul(48).saturating_add(1024)).saturating_add(64 * 1024)
}

/// Returns the vectors in `bytes`, in the order of the texts, if they are what was asked for.
pub(super) fn answer(bytes: &[u8], texts: usize, dimensions: usize) -> Option<Vec<Embedding>> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let mut vectors = vec![None; texts];
    let numbered = answer.data.into_iter().map(|item| (item.index, item.embedding));
    let listed = answer.embeddings.into_iter().map(|vector| (None, vector));
    for (at, (index, Vector(vector))) in numbered.chain(listed).enumerate() {
        if vector.len() != dimensions || vector.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let place: &mut Option<Embedding> = vectors.get_mut(index.unwrap_or(at))?;
        if place.replace(vector.into()).is_some() {
            return None;
        }
    }
    vectors.into_iter().collect()
}

// === impl Vector ===

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

// === impl VectorVisitor ===

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or base64 of numbers")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vector, E> {
        let bytes = STANDARD.decode(text).map_err(|_| E::custom("the vector is no base64"))?;
        let (numbers, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(E::custom("the vector ends within a number"));
        }
        Ok(Vector(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::new();
        while let Some(number) = numbers.next_element()? {
            vector.push(number);
        }
        Ok(Vector(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(answered: &str, texts: usize) -> Option<Vec<Vec<f32>>> {
        Some(answer(answered.as_bytes(), texts, 2)?.iter().map(|vector| vector.to_vec()).collect())
    }

    #[test]
    fn vectors_come_as_numbers_base64_and_in_any_order() {
        let halves = Some(vec![vec![1.0, 0.5], vec![0.0, -1.0]]);
        assert_eq!(vectors(r#"{"data":[{"index":1,"embedding":[0,-1]},{"index":0,"embedding":[1,0.5]}]}"#, 2), halves);
        let base64 = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAD8="},
            {"index":1,"embedding":"AAAAAAAAgL8="}],"usage":{"prompt_tokens":3}}"#;
        assert_eq!(vectors(base64, 2), halves);
        assert_eq!(vectors(r#"{"model":"m","embeddings":[[1.0,0.5],[0.0,-1.0]]}"#, 2), halves);
    }

    #[test]
    fn answers_that_are_not_what_was_asked_for_are_none() {
        for (texts, wrong) in [
            (1, r#"{"data":[]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1,2,3]}]}"#),
            (1, r#"{"data":[{"index":1,"embedding":[1,2]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1,1e60]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":"AACAPwA"}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":"AACAPwAA"}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":"AACAfwAAAD8="}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#),
            (2, r#"{"data":[{"index":0,"embedding":[1,2]}]}"#),
            (1, r#"{"error":{"message":"no"}}"#),
            (1, "[1,2]"),
            (1, ""),
        ] {
            assert_eq!(vectors(wrong, texts), None, "{wrong}");
        }
    }

    #[test]
    fn requests_name_only_what_was_set() {
        let plain = request("m", ["a\"b"].into_iter(), false, None);
        assert_eq!(plain, br#"{"model":"m","input":["a\"b"]}"#);
        let full = request("m", ["a", "b"].into_iter(), true, NonZeroUsize::new(2));
        assert_eq!(full, br#"{"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":2}"#);
    }
}
