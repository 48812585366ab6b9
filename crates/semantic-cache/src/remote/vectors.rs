//! Vectors as Redis has them: what is sent, and what is told.

use super::wire::{Reader, Writer};
use crate::{
    Key,
    policy::Record,
    semantic::{Known, Name, Standing},
};

/// An element of a vector set: the key of an answer, and the name of a question that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) answer: Key,
    pub(super) name: Name,
}

/// What Redis says of an element: the question, how often its answer was right and wrong, whether it is bad, and how many questions
/// it has. No question if it is gone.
pub(super) type Told = (Vec<u8>, u64, u64, u64, u64);

/// A question, as it is kept beside its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) sender: u64,
    pub(super) text: Box<str>,
}

/// The longest text that is kept, in bytes.
const TEXT: usize = 8_192;
/// The most dimensions.
const DIMENSIONS: usize = 8_192;
/// What an unpacked question takes at most, in bytes.
pub(super) const SAID: usize = TEXT + 64;

// === impl Element ===

impl Element {
    pub(super) fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(&self.answer.to_bytes());
        bytes[32..].copy_from_slice(&self.name);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (answer, name) = bytes.split_first_chunk()?;
        Some(Self { answer: Key::from_bytes(*answer), name: name.try_into().ok()? })
    }
}

/// Writes a vector: each component in four bytes, little end first. Nothing if it has no direction, or none that can be compared.
pub(super) fn blob(vector: &[f32]) -> Option<Vec<u8>> {
    let fits = (1..=DIMENSIONS).contains(&vector.len()) && vector.iter().all(|x| x.is_finite());
    let has_direction = vector.iter().any(|x| *x != 0.0);
    (fits && has_direction).then(|| vector.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// Reads what was found, of the nearest first, with a cosine of 0 and more. What is no element is left out.
///
/// Redis scores by `(1 + cosine) / 2`.
pub(super) fn found(told: Vec<(Vec<u8>, f64)>, most: usize) -> Vec<(Element, f32)> {
    let near = |(element, score): (Vec<u8>, f64)| Some((Element::read(&element)?, cosine(score)?));
    let mut found: Vec<_> = told.into_iter().filter_map(near).take(most).collect();
    found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    found
}

#[expect(clippy::cast_possible_truncation, reason = "a number from 0 to 1")]
fn cosine(score: f64) -> Option<f32> {
    let cosine = 2.0 * score - 1.0;
    (cosine >= 0.0).then_some(cosine.min(1.0) as f32)
}

/// Writes a question. Nothing if it is larger than what is kept.
pub(super) fn say(sender: u64, text: &str) -> Option<Vec<u8>> {
    let mut out = Writer::default();
    out.number(sender);
    out.bytes(text.as_bytes());
    (text.len() <= TEXT).then_some(out.0)
}

/// Reads a question.
pub(super) fn said(bytes: &[u8]) -> Option<Said> {
    let mut from = Reader(bytes);
    let sender = from.number()?;
    let text = str::from_utf8(from.bytes()?).ok().filter(|text| text.len() <= TEXT)?;
    from.is_done().then(|| Said { sender, text: text.into() })
}

// === impl Known ===

impl Known<Key> {
    pub(super) fn new(element: Element, similarity: f32, said: Said, (_, right, wrong, bad, questions): &Told) -> Self {
        let small = |number: &u64| u32::try_from(*number).unwrap_or(u32::MAX);
        let record = Record { right: small(right), wrong: small(wrong) };
        let standing = Standing { questions: small(questions), record, quarantined: *bad != 0 };
        let Said { sender, text } = said;
        Self { name: element.name, answer: element.answer, text, sender, similarity, standing }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ELEMENT: Element = Element { answer: Key::from_bytes([7; 32]), name: [9; 16] };

    proptest! {
        #[test]
        fn an_element_and_a_question_are_read_as_they_were_written(
            answer: [u8; 32], name: [u8; 16], sender: u64, text in "\\PC{0,60}",
        ) {
            let element = Element { answer: Key::from_bytes(answer), name };
            prop_assert_eq!(Element::read(&element.to_bytes()), Some(element));
            let bytes = say(sender, &text).expect("it is short");
            prop_assert_eq!(said(&bytes), Some(Said { sender, text: text.into() }));
        }

        #[test]
        fn garbage_is_no_element_and_breaks_no_bound(garbage: Vec<u8>, scores: Vec<f64>) {
            prop_assert!(Element::read(&garbage).is_none() || garbage.len() == 48);
            prop_assert!(said(&garbage).is_none_or(|said| said.text.len() < garbage.len()));
            let told = scores.iter().map(|score| (ELEMENT.to_bytes().to_vec(), *score)).collect();
            let found = found(told, 3);
            prop_assert!(found.len() <= 3 && found.iter().all(|(_, cosine)| (0.0..=1.0).contains(cosine)));
        }
    }

    #[test]
    fn a_score_becomes_a_cosine_and_what_points_away_is_left_out() {
        let told = [0.5, 1.0, 0.95, 0.4, f64::NAN, 1.000_001].map(|score| (ELEMENT.to_bytes().to_vec(), score));
        let cosines: Vec<f32> = found(told.to_vec(), 16).into_iter().map(|(_, cosine)| cosine).collect();
        assert_eq!(cosines, [1.0, 1.0, 0.9, 0.0]);
        assert!(found(vec![(b"short".to_vec(), 1.0)], 16).is_empty());
    }

    #[test]
    fn what_is_no_vector_or_too_long_is_not_sent() {
        assert_eq!(blob(&[1.0, -0.5]), Some(vec![0, 0, 128, 63, 0, 0, 0, 191]));
        for wrong in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY], &[1.0; DIMENSIONS + 1]] {
            assert_eq!(blob(wrong), None);
        }
        assert!(say(u64::MAX, &"x".repeat(TEXT)).is_some_and(|bytes| bytes.len() <= SAID));
        assert_eq!(say(1, &"x".repeat(TEXT + 1)), None);
    }
}
