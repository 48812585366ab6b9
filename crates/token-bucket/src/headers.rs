//! What callers are told of their rates.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Dimension, Limit, RateLimited,
    shortage::{Stand, Stands},
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const NOW: HeaderName = HeaderName::from_static("ratelimit");

/// The limit, what remains, and when it is full: of requests.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

/// The same of tokens.
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// How many headers are written at most.
const MOST: usize = 8;

/// So much longer than the policy are all other values together, where numbers are no larger than they usually are. If they are, one
/// more piece of memory is taken.
const ROOM: usize = 160;

/// Writes `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `x-ratelimit-*` as OpenAI does.
/// `Retry-After` is written by who makes the refusal.
pub(crate) fn write(headers: &mut HeaderMap, stand: &Stand, refused: Option<&RateLimited>) {
    headers.reserve(MOST);
    let policy = stand.limits().policy();
    // All values lie in one piece of memory, which each has a part of.
    let mut text = BytesMut::with_capacity(policy.as_ref().map_or(0, HeaderValue::len) + ROOM);
    insert(headers, POLICY, policy);
    let (mut requests, mut tokens) = (None, None);
    for (at, stands) in stand.each().enumerate() {
        state(&mut text, at, &stands, refused);
        match stands.limit.dimension() {
            Dimension::REQUESTS => tighten(&mut requests, stands),
            Dimension::TOKENS | Dimension::INPUT_TOKENS | Dimension::OUTPUT_TOKENS => tighten(&mut tokens, stands),
            _ => {}
        }
    }
    insert(headers, NOW, value(&mut text));
    for (names, tightest) in [(REQUESTS, requests), (TOKENS, tokens)] {
        if let Some(stands) = tightest {
            openai(headers, &mut text, names, &stands);
        }
    }
}

/// Keeps the limit of which the smallest part is left; of equals, the first.
fn tighten<'a>(tightest: &mut Option<Stands<'a>>, stands: Stands<'a>) {
    // Of two fractions, each is multiplied by what the other is a fraction of.
    let part = |of: &Stands<'_>, by: &Stands<'_>| u128::from(of.left()) * u128::from(by.limit.capacity());
    if tightest.as_ref().is_none_or(|known| part(&stands, known) < part(known, &stands)) {
        *tightest = Some(stands);
    }
}

fn openai(headers: &mut HeaderMap, text: &mut BytesMut, names: [HeaderName; 3], stands: &Stands<'_>) {
    let [limit, remaining, reset] = names;
    number(text, stands.limit.capacity());
    insert(headers, limit, value(text));
    number(text, stands.left());
    insert(headers, remaining, value(text));
    go_duration(text, stands.full_in);
    insert(headers, reset, value(text));
}

/// Takes what was written as a value.
pub(crate) fn value(text: &mut BytesMut) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(text.split().freeze()).ok()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

pub(crate) fn put(text: &mut BytesMut, what: &str) {
    text.extend_from_slice(what.as_bytes());
}

fn number(text: &mut BytesMut, number: u64) {
    put(text, itoa::Buffer::new().format(number));
}

/// Writes a number as a structured field can hold it (RFC 9651, section 3.3.1).
pub(crate) fn integer(text: &mut BytesMut, of: u64) {
    number(text, of.min(999_999_999_999_999));
}

/// Writes nanoseconds as whole seconds, rounded up.
fn seconds(text: &mut BytesMut, nanos: u64) {
    integer(text, nanos.div_ceil(1_000_000_000));
}

/// Writes how one limit stands.
fn state(text: &mut BytesMut, at: usize, stands: &Stands<'_>, refused: Option<&RateLimited>) {
    name(text, at, stands.limit);
    put(text, ";r=");
    integer(text, stands.left());
    // `Retry-After` must not be earlier than any `t`: of a refusal, only what it waits for is told.
    let time = match refused {
        Some(refused) => refused.wait_at(at),
        None => Some(stands.full_in),
    };
    if let Some(time) = time {
        put(text, ";t=");
        seconds(text, time);
    }
}

pub(crate) fn name(text: &mut BytesMut, at: usize, limit: &Limit) {
    put(text, if at == 0 { "\"" } else { ", \"" });
    put(text, limit.name().as_str());
    put(text, "\"");
}

/// Writes nanoseconds as Go writes a time, and as the clients of OpenAI read it: `6m0s`, `1.5s`, `12ms`. Rounded up to
/// milliseconds.
fn go_duration(text: &mut BytesMut, nanos: u64) {
    let millis = nanos.div_ceil(1_000_000);
    if millis > 0 && millis < 1_000 {
        number(text, millis);
        return put(text, "ms");
    }
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    if hours > 0 {
        number(text, hours);
        put(text, "h");
    }
    if hours > 0 || minutes > 0 {
        number(text, minutes);
        put(text, "m");
    }
    number(text, seconds % 60);
    if millis > 0 {
        put(text, ".");
        // With a thousand more, zeros before the other digits are written too.
        put(text, itoa::Buffer::new().format(1_000 + millis)[1..].trim_end_matches('0'));
    }
    put(text, "s");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them_and_never_too_short() {
        let text = |nanos| {
            let mut text = BytesMut::new();
            go_duration(&mut text, nanos);
            String::from_utf8(text.into()).unwrap()
        };
        let times = [0, 1, 12_000_000, 1_000_000_000, 1_500_000_000, 360_000_000_000, 3_723_500_000_000].map(text);
        assert_eq!(times, ["0s", "1ms", "12ms", "1s", "1.5s", "6m0s", "1h2m3.5s"]);
        let fractions = [1_050, 1_005, 60_120].map(|millis| text(millis * 1_000_000));
        assert_eq!(fractions, ["1.05s", "1.005s", "1m0.12s"]);
        assert_eq!(text(u64::MAX), "5124095h34m33.71s");
    }
}
