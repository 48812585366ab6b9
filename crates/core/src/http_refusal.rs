//! A refusal as an HTTP response.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, header};

use crate::Refusal;

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// So many headers go into the map that is made for a refusal: its own four, and eight of layers that say more of it.
const ROOM: usize = 12;

/// The JSON error is no longer than this without its message.
const JSON: usize = 112;

/// The longest number.
const DIGITS: usize = 20;

pub(crate) fn response<B: From<Bytes>>(refusal: Refusal) -> Response<B> {
    // Body and values lie in one piece of memory, which each has a part of: a flood is answered with refusals.
    let mut text = BytesMut::with_capacity(refusal.message().len() + JSON + 2 * DIGITS);
    json(&mut text, &refusal);
    let mut response = Response::new(B::from(text.split().freeze()));
    *response.status_mut() = refusal.kind().status();
    let headers = response.headers_mut();
    headers.reserve(ROOM);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(if refusal.should_retry() { "true" } else { "false" }));
    if let Some(after) = refusal.retry_after() {
        let mut insert = |name, number| {
            text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            let value = HeaderValue::from_maybe_shared(text.split().freeze()).expect("digits are visible ASCII");
            headers.insert(name, value);
        };
        insert(header::RETRY_AFTER, whole_seconds(after));
        insert(RETRY_AFTER_MS, whole_millis(after));
    }
    response.extensions_mut().insert(refusal.class());
    response.extensions_mut().insert(refusal);
    response
}

/// Rounds up: a caller must not come back before the time.
pub(crate) const fn whole_seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add((after.subsec_nanos() > 0) as u64)
}

fn whole_millis(after: Duration) -> u64 {
    let part = u64::from(after.subsec_nanos().div_ceil(1_000_000));
    after.as_secs().saturating_mul(1_000).saturating_add(part)
}

fn json(text: &mut BytesMut, refusal: &Refusal) {
    text.extend_from_slice(br#"{"error":{"message":""#);
    escaped(text, refusal.message());
    for part in
        [r#"","type":""#, refusal.kind().family(), r#"","param":null,"code":""#, refusal.kind().code(), r#""}}"#]
    {
        text.extend_from_slice(part.as_bytes());
    }
}

/// Writes a text inside a JSON string (RFC 8259, section 7).
fn escaped(text: &mut BytesMut, message: &str) {
    let mut rest = message.as_bytes();
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..=0x1f);
    // As nearly always: to ask for all bytes whether one is special is far cheaper than to look for the first.
    if !rest.iter().fold(false, |any, byte| any | special(byte)) {
        return text.extend_from_slice(rest);
    }
    while let Some(at) = rest.iter().position(special) {
        text.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => text.extend_from_slice(b"\\n"),
            byte @ (b'"' | b'\\') => text.extend_from_slice(&[b'\\', byte]),
            byte => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
}
