//! An entry of the log.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    entry::millis,
    wire::{Reader, Writer},
};
use crate::{Fingerprint, Key, Lesson, Mark, Scope, Taught};

/// An entry of the log, as it stands there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) run: Vec<u8>,
    pub(super) number: u64,
    pub(super) origin: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) clock: u64,
    pub(super) payload: Vec<u8>,
}

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Forget(What),
    Lesson,
    /// Of a later version.
    Unknown,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Key,
    Mark,
    All,
}

/// The longest text that is told to others, in bytes.
const TEXT: usize = 8_192;
/// The most dimensions.
const DIMENSIONS: usize = 8_192;
/// What an unpacked lesson takes at most, in bytes.
pub(super) const LESSON: usize = TEXT + DIMENSIONS + 2_048;
const NAME: usize = 512;

// === impl Notice ===

impl Notice {
    /// Reads the fields of an entry. Nothing if it is not one that was written here.
    pub(super) fn read(fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut notice =
            Self { run: vec![], number: 0, origin: vec![], kind: Kind::Unknown, clock: 0, payload: vec![] };
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match &name[..] {
                b"r" => notice.run = value,
                b"n" => notice.number = number(&value)?,
                b"o" => notice.origin = value,
                b"c" => notice.clock = number(&value)?,
                b"d" => notice.payload = value,
                b"t" => {
                    notice.kind = match &value[..] {
                        b"key" => Kind::Forget(What::Key),
                        b"mark" => Kind::Forget(What::Mark),
                        b"all" => Kind::Forget(What::All),
                        b"lesson" => Kind::Lesson,
                        _ => Kind::Unknown,
                    }
                }
                _ => {}
            }
        }
        (notice.number > 0).then_some(notice)
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.payload[..].try_into().ok().map(Key::from_bytes)
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        self.payload[..].try_into().ok().map(Mark::from_bytes)
    }
}

/// Writes a lesson. Nothing if it is larger than what is told to others.
pub(super) fn write(lesson: &Lesson) -> Option<Vec<u8>> {
    let mut out = Writer::default();
    match lesson {
        Lesson::Asked(taught) => {
            let Taught { key, scope, class, sender, text, vector, space, lasting } = &**taught;
            let fits = text.len() <= TEXT
                && (1..=DIMENSIONS).contains(&vector.len())
                && space.name().len() + space.version().len() <= NAME;
            let largest = vector.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
            if !fits || !largest.is_finite() || largest == 0.0 || vector.iter().any(|x| !x.is_finite()) {
                return None;
            }
            out.number(1);
            out.raw(&key.to_bytes());
            out.raw(&scope.to_bytes());
            [*class, *sender, millis(*lasting)].into_iter().for_each(|number| out.number(number));
            out.bytes(text.as_bytes());
            out.bytes(space.name().as_bytes());
            out.bytes(space.version().as_bytes());
            out.number(space.dimensions().get() as u64);
            // One byte for each: the length of a vector is of no account.
            out.number(vector.len() as u64);
            out.0.extend(vector.iter().map(|x| (x / largest * 127.0).round() as i8 as u8));
        }
        Lesson::Judged { key, right, served } => {
            out.number(2);
            out.raw(&key.to_bytes());
            out.number(u64::from(*right) | u64::from(*served) << 1);
        }
        Lesson::Gone(key) => {
            out.number(3);
            out.raw(&key.to_bytes());
        }
    }
    Some(out.0)
}

/// Reads a lesson.
pub(super) fn read(bytes: &[u8]) -> Option<Lesson> {
    let mut from = Reader(bytes);
    let kind = from.number()?;
    let key = Key::from_bytes(from.chunk()?);
    let lesson = match kind {
        1 => Lesson::Asked(Box::new(taught(key, &mut from)?)),
        2 => {
            let bits = from.number().filter(|bits| *bits < 4)?;
            Lesson::Judged { key, right: bits & 1 != 0, served: bits & 2 != 0 }
        }
        3 => Lesson::Gone(key),
        _ => return None,
    };
    from.is_done().then_some(lesson)
}

fn taught(key: Key, from: &mut Reader<'_>) -> Option<Taught> {
    let scope = Scope::from_bytes(from.chunk()?);
    let (class, sender) = (from.number()?, from.number()?);
    let lasting = Duration::from_millis(from.number()?);
    let text = str::from_utf8(from.bytes()?).ok().filter(|text| text.len() <= TEXT)?;
    let mut name = || str::from_utf8(from.bytes()?).ok().filter(|name| name.len() <= NAME);
    let (name, version) = (name()?, name()?);
    let dimensions = NonZeroUsize::new(from.length()?)?;
    let length = from.length().filter(|length| *length == dimensions.get() && *length <= DIMENSIONS)?;
    let vector = from.raw(length)?.iter().map(|byte| f32::from(*byte as i8)).collect();
    let space = Fingerprint::new(name, version, dimensions);
    Some(Taught { key, scope, class, sender, text: text.into(), vector, space, lasting })
}

fn number(value: &[u8]) -> Option<u64> {
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(text: &str, vector: &[f32]) -> Lesson {
        let space = Fingerprint::new("lexical", "1", NonZeroUsize::new(vector.len().max(1)).expect("not zero"));
        let [key, scope] = [Key::from_bytes([1; 32]).to_bytes(), [2; 32]];
        let taught = Taught::new(Key::from_bytes(key), Scope::from_bytes(scope), text, vector.into(), space);
        Lesson::Asked(Box::new(taught.of(7, u64::MAX)))
    }

    proptest! {
        #[test]
        fn a_lesson_is_heard_as_it_was_told(text in "\\PC{0,40}", vector in prop::collection::vec(0.1_f32..9.0, 1..50)) {
            let lesson = asked(&text, &vector);
            let Some(Lesson::Asked(taught)) = write(&lesson).and_then(|bytes| read(&bytes)) else { panic!("it is one") };
            prop_assert_eq!((&*taught.text, taught.class, taught.sender), (&*text, 7, u64::MAX));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine = dot(&taught.vector, &vector)
                / (dot(&taught.vector, &taught.vector) * dot(&vector, &vector)).sqrt();
            prop_assert!(cosine > 0.999, "{}", cosine);
        }

        #[test]
        fn garbage_is_no_lesson_and_no_notice(garbage: Vec<u8>, fields: Vec<Vec<u8>>) {
            prop_assert!(read(&garbage).is_none() || garbage.len() >= 33);
            prop_assert_eq!(Notice::read(fields), None);
        }
    }

    #[test]
    fn what_is_too_large_or_no_vector_is_not_told() {
        assert!(write(&asked(&"x".repeat(TEXT + 1), &[1.0])).is_none());
        assert!(write(&asked("x", &[0.0, 0.0])).is_none());
        assert!(write(&asked("x", &[1.0, f32::NAN])).is_none());
        assert!(write(&asked("x", &[])).is_none());
        let largest = write(&asked(&"x".repeat(TEXT), &vec![1.0; DIMENSIONS])).expect("it just fits");
        assert!(largest.len() <= LESSON);
    }
}
