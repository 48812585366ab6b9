//! What must hold for any bytes at all. The fuzz targets and the tests of the corpora share these functions.

#![allow(dead_code, reason = "each fuzz target uses one of them")]
#![allow(clippy::unwrap_used, reason = "a property fails by panicking, its helpers too")]

mod events;

use std::{
    fmt::Debug,
    time::{Duration, SystemTime},
};

use buttress_core::{Class, RetryHint, Verdict};
use buttress_llm::{
    Dialect, NdjsonKind, NdjsonReader, RequestFacts, SseEvent, SseItem, SseKind, SseReader, StreamErrorKind,
    StreamLimits, classify, classify_event,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

pub(crate) use self::events::events;

const DIALECTS: [Dialect; 6] =
    [Dialect::OpenAi, Dialect::Azure, Dialect::AzureV1, Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama];

const STATUSES: [u16; 12] = [200, 400, 401, 402, 403, 404, 413, 422, 429, 498, 500, 529];

/// Limits that any input meets: of a line, and of an event.
const SMALL: (usize, usize) = (48, 80);
const LARGE: (usize, usize) = (4 << 20, 4 << 20);

/// What was read, and why it stopped.
type Reading = (Vec<String>, Option<StreamErrorKind>);

// === streams ===

/// However a stream of events is cut, what is read of it is the same, in order and within the bound.
pub(crate) fn sse(stream: &[u8]) {
    for (line, event) in [LARGE, SMALL] {
        let read = |chunks: &[&[u8]]| read_sse(StreamLimits::DEFAULT.line(line).event(event), line + 2 * event, chunks);
        same_however_cut(stream, read);
    }
}

/// However a stream of lines is cut, what is read of it is the same, in order and within the bound.
pub(crate) fn ndjson(stream: &[u8]) {
    for (line, _) in [LARGE, SMALL] {
        let read = |chunks: &[&[u8]]| read_ndjson(StreamLimits::DEFAULT.line(line), line, chunks);
        same_however_cut(stream, read);
    }
}

fn same_however_cut(stream: &[u8], read: impl Fn(&[&[u8]]) -> Reading) {
    let whole = read(&[stream]);
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(whole, read(&bytes), "byte by byte");
    let cut = cut(stream);
    assert_eq!(whole, read(&cut), "{:?}", cut.iter().map(|chunk| chunk.len()).collect::<Vec<_>>());
}

/// Cuts a stream into pieces of sizes that depend on its bytes, some of them empty.
fn cut(stream: &[u8]) -> Vec<&[u8]> {
    let (mut random, mut rest, mut chunks) = (Random::new(hash(stream)), stream, Vec::new());
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(random.below(12).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks
}

fn read_sse(limits: StreamLimits, bound: usize, chunks: &[&[u8]]) -> Reading {
    let (mut reader, mut seen, mut last) = (SseReader::new(limits), Vec::new(), (0, 0));
    let mut see = |item: SseItem<'_>| {
        assert!(last.0 <= item.end && last.1 <= item.cut && item.cut <= item.end, "{last:?} before {item:?}");
        last = (item.end, item.cut);
        let parts = |SseEvent { name, data, id, .. }: SseEvent<'_>| format!("{name:?} {data:?} {id:?}");
        seen.push(match item.kind {
            SseKind::Event(event) => format!("event {} {} {}", parts(event), item.end, item.cut),
            SseKind::Unfinished(event) => format!("unfinished {} {} {}", parts(event), item.end, item.cut),
            other => format!("{other:?} {} {}", item.end, item.cut),
        });
    };
    for chunk in chunks {
        let mut rest = *chunk;
        loop {
            match reader.read(&mut rest) {
                Ok(Some(item)) => see(item),
                Ok(None) => break,
                Err(error) => return (seen, Some(error.kind())),
            }
            assert!(reader.held() <= bound + 8 * 1024, "{} bytes held", reader.held());
        }
        assert!(rest.is_empty() && reader.held() <= bound + 8 * 1024, "{} bytes held", reader.held());
    }
    loop {
        match reader.finish() {
            Ok(Some(item)) => see(item),
            Ok(None) => break,
            Err(error) => return (seen, Some(error.kind())),
        }
    }
    assert_eq!(reader.offset(), chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    assert_eq!(reader.held(), 0);
    (seen, None)
}

fn read_ndjson(limits: StreamLimits, bound: usize, chunks: &[&[u8]]) -> Reading {
    let (mut reader, mut seen, mut last) = (NdjsonReader::new(limits), Vec::new(), 0);
    let mut see = |kind: NdjsonKind<'_>, end: u64| {
        assert!(last <= end, "{last} before {end}");
        last = end;
        seen.push(format!("{kind:?} {end}"));
    };
    for chunk in chunks {
        let mut rest = *chunk;
        loop {
            match reader.read(&mut rest) {
                Ok(Some(item)) => see(item.kind, item.end),
                Ok(None) => break,
                Err(error) => return (seen, Some(error.kind())),
            }
            assert!(reader.held() <= bound, "{} bytes held", reader.held());
        }
        assert!(rest.is_empty() && reader.held() <= bound, "{} bytes held", reader.held());
    }
    loop {
        match reader.finish() {
            Ok(Some(item)) => see(item.kind, item.end),
            Ok(None) => break,
            Err(error) => return (seen, Some(error.kind())),
        }
    }
    assert_eq!(reader.offset(), chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    assert_eq!(reader.held(), 0);
    (seen, None)
}

/// Chooses by the bytes, so that an input needs no part that is not what is read (FNV-1a).
fn hash(input: &[u8]) -> u64 {
    let more = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    input.iter().fold(0xcbf2_9ce4_8422_2325, more)
}

fn dialect(input: &[u8]) -> Dialect {
    DIALECTS[Random::new(hash(input)).below(DIALECTS.len())]
}

// === answers ===

/// Whatever the headers of an answer say, the wait is bounded, the provider's own word is kept, and a header that tells a
/// plain wait is obeyed before all else.
///
/// The input is lines of `name: value`, then a blank one, then the body.
pub(crate) fn hint(input: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    let (headers, body) = answer(input);
    let dialect = dialect(input);
    for status in STATUSES {
        let ask = |headers: &HeaderMap| of(dialect, status, headers, body, now);
        let class = ask(&headers);
        match headers.get("x-should-retry").map(HeaderValue::as_bytes) {
            Some(b"true") if status >= 400 => assert_eq!(class.hint.should_retry, Some(true)),
            Some(b"false") if status >= 400 => assert_eq!(class.hint.should_retry, Some(false)),
            _ => assert_ne!(class.hint.should_retry, Some(true)),
        }
        let mut told = headers.clone();
        told.insert("retry-after-ms", HeaderValue::from_static("1500"));
        let told = ask(&told);
        assert_eq!(told.verdict, class.verdict, "how long to wait says nothing of why");
        if status >= 400 {
            assert_eq!(told.hint.after, Some(Duration::from_millis(1_500)));
        }
        let standard = RetryHint::from_headers(&headers, now).after;
        if standard.is_some() && status >= 400 {
            assert_eq!(class.hint.after, standard);
        }
    }
}

fn answer(input: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), input);
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

/// Whatever a body holds: what it means does not depend on the space around it or on an array about it, and words that a
/// caller could have put there spoil neither credential nor model.
pub(crate) fn error_body(body: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    let headers = HeaderMap::new();
    let is_object = serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object());
    let echo = serde_json::json!({"error": {"message": format!("Invalid value: '{}'", String::from_utf8_lossy(body))}});
    let echo = echo.to_string();
    let dialect = dialect(body);
    for status in STATUSES {
        let class = of(dialect, status, &headers, body, now);
        assert_eq!(class.verdict == Verdict::Success, status < 400);
        if is_object {
            let spaced = [b" \r\n\t", body, b"\n\n"].concat();
            assert_eq!(of(dialect, status, &headers, &spaced, now), class, "space around");
            let listed = [b"[", body, b"]"].concat();
            assert_eq!(of(dialect, status, &headers, &listed, now), class, "an array about it");
        }
        let _ = of(dialect, status, &headers, &body[..body.len() / 2], now);
    }
    for status in [400, 422, 500] {
        spoils_nothing(of(dialect, status, &headers, echo.as_bytes(), now));
    }
    spoils_nothing(bounded(classify_event(dialect, echo.as_bytes(), now).expect("an error")));
    if let Some(class) = classify_event(dialect, body, now) {
        assert_ne!(bounded(class).verdict, Verdict::Success);
    }
}

#[track_caller]
fn spoils_nothing(class: Class) {
    assert!(!class.verdict.cools_target(), "{class:?}");
}

#[track_caller]
fn of(dialect: Dialect, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Class {
    bounded(classify(dialect, StatusCode::from_u16(status).unwrap(), headers, body, now))
}

#[track_caller]
fn bounded(class: Class) -> Class {
    assert!(class.hint.after.is_none_or(|wait| wait <= RetryHint::MAX), "{class:?}");
    class
}

// === requests ===

/// What is read of a request is what JSON says; another model changes the model, and not a byte elsewhere.
pub(crate) fn facts(body: &[u8]) {
    let Ok(facts) = RequestFacts::read(body) else { return };
    let (model, stream) = (facts.model.as_deref(), facts.stream);
    // What is nested too deeply, or holds too large a number, is passed over, but makes no tree.
    let tree = serde_json::from_slice::<Value>(body).ok();
    if let Some(tree) = &tree {
        assert!(tree.is_object());
        assert_eq!(tree.get("model").and_then(Value::as_str), model);
        assert_eq!(tree.get("stream").and_then(Value::as_bool), stream);
    }
    for name in ["gpt-4o", "a \"quoted\" \\ name\n\u{1f600}"] {
        let renamed = facts.with_model(body, name);
        let again = RequestFacts::read(&renamed).expect("it is still a request");
        assert_eq!((again.model.as_deref(), again.stream), (Some(name), stream));
        if let Some(range) = facts.model_range() {
            assert!(renamed.starts_with(&body[..range.start]) && renamed.ends_with(&body[range.end..]));
        } else {
            assert!(body.iter().filter(|byte| !renamed.contains(byte)).count() == 0);
        }
        if let Some(mut tree) = tree.clone() {
            tree["model"] = name.into();
            same(&tree, &serde_json::from_slice::<Value>(&renamed).unwrap());
        }
        if let Some(model) = model {
            let back =
                RequestFacts::read(&again.with_model(&renamed, model)).map(|facts| facts.model.unwrap().into_owned());
            same(&back.as_deref(), &Ok(model));
        }
    }
}

#[track_caller]
fn same<T: PartialEq + Debug>(left: &T, right: &T) {
    assert_eq!(left, right);
}

// === chance ===

/// Numbers by chance, the same for the same seed (SplitMix64, by Sebastiano Vigna, in the public domain).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number less than `bound`, which is not zero.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
