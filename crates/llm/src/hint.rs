//! How long a provider asked to be left alone.

use std::time::{Duration, SystemTime};

use buttress_core::{RetryHint, Verdict};
use http::HeaderMap;

use crate::error_body::ErrorBody;

/// What a provider limits: the names of the headers that tell what remains, and when it is whole again.
const LIMITS: [(&str, &str); 4] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    (TOKENS.0, TOKENS.1),
    ("x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens"),
    ("x-ratelimit-remaining-tokens_usage_based", "x-ratelimit-reset-tokens_usage_based"),
];
const TOKENS: (&str, &str) = ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens");

/// Before these words of a message, in lower case, stands how long to wait.
const BEFORE: [&str; 3] = ["try again in ", "retry in ", "retry after "];

/// A greater number of seconds is a time since 1970 rather than a wait.
const EPOCH: f64 = 1e9;

/// Reads the hint of a failed answer: the standard headers, then the body, then the limit that was hit.
pub(crate) fn read(headers: &HeaderMap, body: &ErrorBody, verdict: Verdict, now: SystemTime) -> RetryHint {
    let mut hint = RetryHint::from_headers(headers, now);
    let limited = verdict == Verdict::RateLimited;
    // Elsewhere the message may repeat the caller's words, or speak of something else.
    if hint.after.is_none() && (limited || matches!(verdict, Verdict::CapacityByDesign | Verdict::Transient)) {
        hint.after = body.retry_after.as_deref().and_then(|text| wait(text, now)).or_else(|| in_words(body.message()));
    }
    // Every answer tells its limits; only where one was hit does it matter when it is whole again.
    if hint.after.is_none() && limited {
        hint.after = reset(headers, now);
    }
    hint
}

/// Reads the reset of what is used up, the longest if several are. If nothing is, one request was larger than the tokens
/// that remained.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let spent = |name: &str| text(name).and_then(number) == Some(0.0);
    let mut used_up = LIMITS.iter().filter(|(remaining, _)| spent(remaining)).peekable();
    let reset = |name: &str| text(name).and_then(|text| wait(text, now));
    if used_up.peek().is_none() {
        return reset(TOKENS.1);
    }
    used_up.filter_map(|(_, name)| reset(name)).max()
}

/// Reads a wait in any of its forms: a number of seconds, a time since 1970, or `1h2m3.5s`.
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    match number(text) {
        Some(seconds) if seconds > EPOCH => {
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Some(bounded(seconds - since.as_secs_f64()))
        }
        Some(seconds) => Some(bounded(seconds)),
        None => compound(text),
    }
}

/// Finds the wait in a message: `try again in 1m12s`, `retry after 20 seconds`.
fn in_words(message: &str) -> Option<Duration> {
    BEFORE.iter().find_map(|words| {
        let (_, rest) = message.split_once(words)?;
        let mut tokens = rest.split_ascii_whitespace();
        let token = tokens.next()?;
        let first = token.trim_end_matches([',', ';', '.', ')', '!']);
        match number(first) {
            Some(count) if first.len() < token.len() => Some(bounded(count)),
            Some(count) => Some(bounded(count * spelled(tokens.next().unwrap_or_default())?)),
            None => compound(first),
        }
    })
}

/// A word for a unit, in seconds. A number at the end of the text means seconds.
fn spelled(word: &str) -> Option<f64> {
    match word.trim_end_matches(|c: char| !c.is_ascii_alphabetic()) {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "ms" | "millisecond" | "milliseconds" => Some(1e-3),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3_600.0),
        "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// Reads `1h2m3.5s`: numbers, each with its unit.
fn compound(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6), // micro sign
        ("μs", 1e-6), // Greek mu
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3_600.0),
    ];
    let (mut rest, mut seconds) = (text, None);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, tail) = rest.split_at(digits);
        let (unit, length) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        seconds = Some(seconds.unwrap_or(0.0) + number(count)? * length);
        rest = &tail[unit.len()..];
    }
    seconds.map(bounded)
}

/// Parses a plain decimal number without a sign: a negative one means *unknown* here.
fn number(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.bytes().any(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Makes a bounded duration of any number of seconds. It rounds up to whole microseconds, so that nobody comes back too
/// soon and the inexactness of the sum does not show.
fn bounded(seconds: f64) -> Duration {
    let micros = seconds.clamp(0.0, RetryHint::MAX.as_secs_f64()) * 1e6;
    // Less than a thousandth of a microsecond above is inexactness.
    Duration::from_micros((micros - 1e-3).ceil().max(0.0) as u64)
}
