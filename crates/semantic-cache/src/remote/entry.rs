//! An answer as bytes.

use std::time::Duration;

use buttress_core::Usage;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::wire::{Reader, Writer};
use crate::{
    Shape, Stored,
    freshness::Span,
    stored::{Part, lasting},
};

/// An answer, how long it is good, and when it came by the clock of who had it, in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) answer: Stored,
    pub(super) span: Span,
    pub(super) came_ms: u64,
}

/// No answer that is kept has more headers.
const HEADERS: usize = 256;

/// Writes an answer.
pub(super) fn write(answer: &Stored, span: &Span, came_ms: u64) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(answer.weight() + 64));
    out.number(came_ms);
    for time in [span.fresh, span.while_revalidate, span.if_error] {
        out.number(millis(time));
    }
    out.number(u64::from(answer.status.as_u16()));
    out.number(u64::from(answer.shape.stream) | u64::from(answer.shape.usage) << 1);
    out.number(u64::from(answer.usage.is_some()));
    if let Some(Usage { input, cached_input, cache_write, output, reasoning, .. }) = answer.usage {
        [input, cached_input, cache_write, output, reasoning].into_iter().for_each(|count| out.number(count));
    }
    out.number(answer.headers.len() as u64);
    for (name, value) in &answer.headers {
        out.bytes(name.as_str().as_bytes());
        out.bytes(value.as_bytes());
    }
    out.number(answer.parts.len() as u64);
    let (mut end, mut after) = (0, 0);
    for part in &answer.parts {
        let micros = u64::try_from(part.after.as_micros()).unwrap_or(u64::MAX).max(after);
        out.number((part.end - end) as u64);
        out.number(micros - after);
        (end, after) = (part.end, micros);
    }
    out.bytes(&answer.body);
    out.0
}

/// Reads an answer. Nothing if anything about it is not as it was written.
pub(super) fn read(bytes: &[u8]) -> Option<Entry> {
    let mut from = Reader(bytes);
    let came_ms = from.number()?;
    let mut time = || from.number().map(Duration::from_millis);
    let span = Span { fresh: time()?, while_revalidate: time()?, if_error: time()? };
    let status = StatusCode::from_u16(u16::try_from(from.number()?).ok()?).ok()?;
    let shape = from.number().filter(|bits| *bits < 4)?;
    let shape = Shape { stream: shape & 1 != 0, usage: shape & 2 != 0 };
    let usage = match from.number()? {
        0 => None,
        1 => Some(usage(&mut from)?),
        _ => return None,
    };
    let headers = headers(&mut from)?;
    let parts = parts(&mut from)?;
    let body = from.bytes()?;
    let whole = parts.last().map_or(0, |part| part.end);
    // Only what is written by this code is given to callers: whole, of success, and without what is of one exchange.
    let fits = from.is_done() && whole == body.len() && status == StatusCode::OK;
    let answer = Stored { status, headers, shape, body: Bytes::copy_from_slice(body), parts, usage };
    fits.then_some(Entry { answer, span, came_ms })
}

fn usage(from: &mut Reader<'_>) -> Option<Usage> {
    let mut usage = Usage::default();
    usage.input = from.number()?;
    usage.cached_input = from.number()?;
    usage.cache_write = from.number()?;
    usage.output = from.number()?;
    usage.reasoning = from.number()?;
    Some(usage)
}

fn headers(from: &mut Reader<'_>) -> Option<HeaderMap> {
    let count = from.length().filter(|count| *count <= HEADERS)?;
    let mut headers = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let name = HeaderName::from_bytes(from.bytes()?).ok()?;
        headers.append(name, HeaderValue::from_bytes(from.bytes()?).ok()?);
    }
    Some(lasting(&headers))
}

fn parts(from: &mut Reader<'_>) -> Option<Box<[Part]>> {
    // Each takes two bytes at least, so that no more is allocated than was sent.
    let count = from.length().filter(|count| *count <= from.0.len() / 2)?;
    let (mut parts, mut end, mut after) = (Vec::with_capacity(count), 0_usize, 0_u64);
    for _ in 0..count {
        end = end.checked_add(from.length()?)?;
        after = after.checked_add(from.number()?)?;
        parts.push(Part { end, after: Duration::from_micros(after) });
    }
    Some(parts.into())
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(lengths: &[usize], value: &str) -> Stored {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/event-stream"));
        headers.append("x-twice", HeaderValue::from_str(value).expect("it can stand in a header"));
        headers.append("x-twice", HeaderValue::from_static("b"));
        let mut end = 0;
        let part = |(at, length): (usize, &usize)| {
            end += length;
            Part { end, after: Duration::from_micros(at as u64 * 1_500) }
        };
        let parts: Box<[Part]> = lengths.iter().enumerate().map(part).collect();
        let mut usage = Usage::default();
        (usage.input, usage.output) = (7, 1_000_000);
        let body = Bytes::from(vec![b'z'; end]);
        let shape = Shape { stream: true, usage: false };
        Stored { status: StatusCode::OK, headers, shape, body, parts, usage: Some(usage) }
    }

    const SPAN: Span = Span {
        fresh: Duration::from_secs(60),
        while_revalidate: Duration::from_secs(90),
        if_error: Duration::from_millis(120_001),
    };

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_was(lengths in prop::collection::vec(0_usize..300, 0..20), value in "[a-z ]{0,20}") {
            let answer = stored(&lengths, value.trim());
            let entry = read(&write(&answer, &SPAN, 1_795_249_309_475)).expect("it was written here");
            prop_assert_eq!(&entry.answer.headers, &answer.headers);
            prop_assert_eq!((&entry.answer.body, &entry.answer.parts), (&answer.body, &answer.parts));
            prop_assert_eq!((entry.answer.usage, entry.answer.shape), (answer.usage, answer.shape));
            prop_assert_eq!((entry.span, entry.came_ms), (SPAN, 1_795_249_309_475));
        }

        #[test]
        fn what_is_cut_off_or_has_more_behind_is_nothing(at: prop::sample::Index) {
            let mut bytes = write(&stored(&[3, 400, 0, 9], "a"), &SPAN, 5);
            prop_assert!(read(&bytes[..at.index(bytes.len())]).is_none());
            bytes.push(0);
            prop_assert!(read(&bytes).is_none());
        }

        #[test]
        fn whatever_is_read_neither_panics_nor_breaks_its_bounds(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(entry) = read(&garbage) {
                let whole = entry.answer.parts.last().map_or(0, |part| part.end);
                prop_assert_eq!(whole, entry.answer.body.len());
            }
        }
    }

    #[test]
    fn headers_of_one_exchange_do_not_come_back_whoever_wrote_them() {
        let mut answer = stored(&[3], "a");
        answer.headers.append("set-cookie", HeaderValue::from_static("a=b"));
        let entry = read(&write(&answer, &SPAN, 5)).expect("it was written here");
        assert!(!entry.answer.headers.contains_key("set-cookie") && entry.answer.headers.contains_key("x-twice"));
    }
}
