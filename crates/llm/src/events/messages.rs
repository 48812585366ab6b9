//! Anthropic's messages.

use super::{Fault, Found, Tally};
use crate::{
    scan::{Scan, Scanned},
    value::Value,
};

pub(super) fn read<'a>(scan: &mut Scan<'a>, name: Option<&[u8]>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    let (mut kind, mut stopped, mut block) = (None, false, false);
    scan.object(|scan, name| match name {
        b"type" => {
            kind = scan.value()?.text();
            Ok(())
        }
        b"delta" => scan.object(|scan, name| match name {
            b"stop_reason" => {
                stopped = scan.value()?.is_something();
                Ok(())
            }
            _ => scan.pass(),
        }),
        b"content_block" => scan.object(|scan, name| {
            block |= reveals(name, scan.value()?);
            Ok(())
        }),
        b"message" => scan.object(|scan, name| match name {
            b"usage" => tally.counts.read_messages(scan),
            _ => scan.pass(),
        }),
        b"usage" => tally.counts.read_messages(scan),
        _ => found.read_common(scan, name),
    })?;
    match kind.or(name) {
        Some(b"content_block_delta") => found.content = true,
        Some(b"content_block_start") => found.content = block,
        Some(b"message_delta") => found.terminal = stopped,
        Some(b"message_stop") => found.done = true,
        Some(b"ping") => found.keep_alive = true,
        Some(b"error") if found.fault.is_none() => found.fault = Some(Fault::Whole(b"")),
        _ => {}
    }
    Ok(found)
}

/// Whether a member of a block shows content as soon as the block begins: the name of a tool, a tool's result, a text.
/// A text and a thought begin empty.
fn reveals(name: &[u8], value: Value<'_>) -> bool {
    match name {
        b"type" => !matches!(value.text(), Some(b"text" | b"thinking")),
        b"text" | b"thinking" => value.is_something(),
        _ => false,
    }
}
