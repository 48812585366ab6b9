//! OpenAI's responses.

use memchr::memmem;

use super::{Fault, Found, Tally};
use crate::{
    scan::{Scan, Scanned},
    value::Value,
};

/// What the stream said of the response, to be said again if it must be ended.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The id as it stands there, with its quotes.
    pub(crate) id: Option<Box<[u8]>>,
    /// The model as it stands there, with its quotes.
    pub(crate) model: Option<Box<[u8]>>,
    pub(crate) created_at: Option<u64>,
    /// The number of the last event.
    pub(crate) sequence: Option<u64>,
}

/// A longer id or name is not kept.
const MAX_NAME: usize = 256;

pub(super) fn read<'a>(scan: &mut Scan<'a>, name: Option<&[u8]>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    let mut kind = None;
    scan.object(|scan, name| match name {
        b"type" => {
            kind = scan.value()?.text();
            Ok(())
        }
        b"sequence_number" => {
            let number = scan.value()?.count();
            tally.opened.sequence = number.or(tally.opened.sequence);
            Ok(())
        }
        b"response" => scan.object(|scan, name| member(scan, name, &mut found, tally)),
        _ => member(scan, name, &mut found, tally),
    })?;
    match kind.or(name).unwrap_or_default() {
        b"response.completed" | b"response.incomplete" => found.terminal = true,
        b"response.failed" => found.set_word("failed"),
        b"error" if found.fault.is_none() => found.fault = Some(Fault::Whole(b"")),
        kind => found.content = is_content(kind),
    }
    Ok(found)
}

/// Deltas of any kind, and what is told of a tool's progress.
fn is_content(kind: &[u8]) -> bool {
    kind.ends_with(b".delta")
        || (kind.starts_with(b"response.") && memmem::find(kind, b"_call.").is_some() && !ends_part(kind))
}

/// What ends a part repeats what was content before.
fn ends_part(kind: &[u8]) -> bool {
    kind.ends_with(b".done")
}

/// Reads a member of a response: of one that an event holds, or of one that is the whole answer.
fn member<'a>(scan: &mut Scan<'a>, name: &[u8], found: &mut Found<'a>, tally: &mut Tally) -> Scanned {
    let opened = &mut tally.opened;
    match name {
        b"id" => keep(&mut opened.id, scan.value()?),
        b"model" => keep(&mut opened.model, scan.value()?),
        b"created_at" => opened.created_at = scan.value()?.count().or(opened.created_at),
        b"status" => {
            if scan.value()?.text() == Some(b"failed") {
                found.set_word("failed");
            }
        }
        b"usage" => return tally.counts.read_openai(scan),
        _ => return found.read_common(scan, name),
    }
    Ok(())
}

fn keep(kept: &mut Option<Box<[u8]>>, value: Value<'_>) {
    if kept.is_none() && value.some_text().is_some() && value.raw.len() <= MAX_NAME {
        *kept = Some(value.raw.into());
    }
}
