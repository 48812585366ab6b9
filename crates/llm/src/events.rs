//! What the events of an answer mean, format by format.
//!
//! One module per format, and none per provider: what the servers of a format do differently never contradicts, so each
//! module knows all of it at once.

mod chat;
mod gemini;
mod messages;
mod ollama;
mod responses;

use crate::{
    Format,
    scan::{Malformed, Scan, Scanned},
    usage::Counts,
    value::Value,
};

pub(crate) use self::responses::Opened;

/// What is known of an answer from its events so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    choices: Choices,
    pub(crate) opened: Opened,
}

/// What one event holds.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) content: bool,
    pub(crate) terminal: bool,
    /// Nothing more comes, which does not say that all went well.
    pub(crate) done: bool,
    pub(crate) keep_alive: bool,
    pub(crate) fault: Option<Fault<'a>>,
}

/// How an event tells of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault<'a> {
    /// By a field with the error in it.
    Field(&'a [u8]),
    /// By being one.
    Whole(&'a [u8]),
    /// By words that are not JSON.
    Text(&'a [u8]),
    /// By a word in the place of the reason why it ended.
    Word(&'static str),
}

/// Which of several answers to one request have begun and which have ended. Only the first 128 are watched.
#[derive(Debug, Default)]
struct Choices {
    begun: u128,
    ended: u128,
}

/// Reads an event's `data`, which bears `name`.
pub(crate) fn read<'a>(
    format: Format,
    name: Option<&[u8]>,
    data: &'a [u8],
    tally: &mut Tally,
) -> Result<Found<'a>, Malformed> {
    let mut scan = match Scan::new(data) {
        Err(_) if name == Some(b"error") => return Ok(Found::failed(Fault::Text(data))),
        scan => scan?,
    };
    let found = match format {
        Format::Chat | Format::Completions => chat::read(&mut scan, tally),
        Format::Responses => responses::read(&mut scan, name, tally),
        Format::Messages => messages::read(&mut scan, name, tally),
        Format::Gemini => gemini::read(&mut scan, tally),
        Format::Ollama => ollama::read(&mut scan, tally),
        Format::Json => read_json(&mut scan, tally),
    };
    match found.and_then(|found| scan.end().map(|()| found)) {
        Err(_) if name == Some(b"error") => Ok(Found::failed(Fault::Text(data))),
        Ok(found) if name == Some(b"error") && found.fault.is_none() => Ok(Found::failed(Fault::Whole(data))),
        Ok(Found { fault: Some(Fault::Whole(_)), .. }) => Ok(Found::failed(Fault::Whole(data))),
        found => found,
    }
}

fn read_json<'a>(scan: &mut Scan<'a>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    scan.object(|scan, name| match name {
        b"usage" => tally.counts.read_openai(scan),
        _ => found.read_common(scan, name),
    })?;
    Ok(found)
}

// === impl Found ===

impl<'a> Found<'a> {
    fn failed(fault: Fault<'a>) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// Reads a member that means the same in every format, or passes over it.
    fn read_common(&mut self, scan: &mut Scan<'a>, name: &[u8]) -> Scanned {
        match name {
            b"error" => self.set_error(scan.value()?),
            b"type" | b"object" | b"event_type" => {
                let value = scan.value()?;
                if value.text() == Some(b"error") && self.fault.is_none() {
                    self.fault = Some(Fault::Whole(value.raw));
                }
            }
            _ => return scan.pass(),
        }
        Ok(())
    }

    /// Takes the value of a field with an error, which may be empty. It says more than anything else.
    fn set_error(&mut self, value: Value<'a>) {
        if value.is_something() && !matches!(self.fault, Some(Fault::Field(_))) {
            self.fault = Some(Fault::Field(value.raw));
        }
    }

    fn set_word(&mut self, word: &'static str) {
        self.fault.get_or_insert(Fault::Word(word));
    }
}

// === impl Choices ===

impl Choices {
    /// Puts down that one of the answers is there or has `ended`, and returns whether this ended the last.
    const fn see(&mut self, index: u64, ended: bool) -> bool {
        if index < 128 {
            self.begun |= 1 << index;
            if ended {
                self.ended |= 1 << index;
            }
        }
        ended && self.begun & !self.ended == 0
    }
}
