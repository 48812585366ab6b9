//! What replicas write to each other.

use std::{collections::HashMap, time::Duration};

use buttress_core::Label;

use crate::{Handle, Key, State};
use tokio::time::Instant;

/// The word of another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) replica: String,
    pub(crate) key: Key,
}

/// The hints that were there at the last look, and whether each has been passed on.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<Vec<u8>, bool>);

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) passed_on: u64,
    pub(crate) ignored: u64,
}

const VERSION: &str = "1";
/// The longest message: two labels, and short words.
const MAX_MESSAGE: usize = 2 * Label::MAX_LEN + 64;

/// Writes a message: version, replica, generation, target, and the model if there is one. None of them holds a space.
pub(crate) fn write(replica: &str, generation: u64, key: &Key) -> String {
    let mut message = format!("{VERSION} {replica} {generation} {}", key.target());
    if let Some(model) = key.model() {
        message.push(' ');
        message.push_str(model.as_str());
    }
    message
}

/// Reads a message. What is not one is nothing: it may be of a later version, or of somebody else.
pub(crate) fn read(message: &[u8]) -> Option<Hint> {
    if message.len() > MAX_MESSAGE {
        return None;
    }
    let mut words = std::str::from_utf8(message).ok()?.split(' ');
    if words.next()? != VERSION {
        return None;
    }
    let replica = words.next().filter(|replica| !replica.is_empty())?.to_owned();
    words.next()?.parse::<u64>().ok()?;
    let key = Key::new(Label::try_new(words.next()?).ok()?);
    let key = match words.next() {
        Some(model) => key.with_model(Label::try_new(model).ok()?),
        None => key,
    };
    words.next().is_none().then_some(Hint { replica, key })
}

// === impl Seen ===

impl Seen {
    /// Passes on what is there now, each message once. One for a circuit that is not known yet, or not closed, is kept for
    /// later: the circuit of a replica that starts is not known before its first call.
    pub(crate) fn pass_on(
        &mut self,
        found: Vec<(Vec<u8>, Duration)>,
        own: &str,
        handle: &Handle,
        now: Instant,
    ) -> Heard {
        let (mut before, mut heard) = (std::mem::take(&mut self.0), Heard::default());
        for (message, left) in found {
            let known = before.remove(&message);
            if known == Some(true) {
                self.0.insert(message, true);
                continue;
            }
            let Some(hint) = read(&message) else {
                heard.ignored += 1;
                self.0.insert(message, true);
                continue;
            };
            let mut done = hint.replica == own;
            if !done && handle.snapshot(&hint.key).is_some_and(|circuit| circuit.state == State::Closed) {
                done = handle.advise(&hint.key, left, now);
                heard.passed_on += u64::from(done);
            }
            self.0.insert(message, done);
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CircuitBreakerLayer, Settings};

    fn key(target: &str, model: Option<&str>) -> Key {
        let label = |text| Label::try_new(text).expect("a label");
        let key = Key::new(label(target));
        model.map(label).into_iter().fold(key, Key::with_model)
    }

    #[test]
    fn what_is_written_is_read() {
        for key in [key("a", None), key("azure/eu:1", Some("gpt-4o")), key(&"x".repeat(128), Some(&"y".repeat(128)))] {
            let message = write("0123456789abcdef", u64::MAX, &key);
            assert_eq!(read(message.as_bytes()), Some(Hint { replica: "0123456789abcdef".to_owned(), key }));
        }
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        for message in
            ["", " ", "2 r 1 a", "1 r x a", "1 r -1 a", "1  1 a", "1 r 1", "1 r 1 ", "1 r 1 a b c", "1 r 1 a;", "{}"]
        {
            assert_eq!(read(message.as_bytes()), None, "{message:?}");
        }
        assert_eq!(read(b"1 r 1 \xff"), None);
        assert_eq!(read(format!("1 {} 1 a", "r".repeat(MAX_MESSAGE)).as_bytes()), None);
    }

    #[test]
    fn what_is_remembered_is_what_is_there() {
        let handle = CircuitBreakerLayer::try_new(Settings::new()).expect("in range").handle();
        let (mut seen, now) = (Seen::default(), Instant::now());
        for round in 0..100 {
            let found = (0..10).map(|n| (format!("1 r {round} target-{n}").into_bytes(), Duration::MAX)).collect();
            assert_eq!(seen.pass_on(found, "own", &handle, now), Heard::default(), "nobody here knows these targets");
            assert_eq!(seen.0.len(), 10);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            drop(read(&bytes));
        }
    }
}
