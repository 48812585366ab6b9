//! How long a provider asked to be left alone.

use std::time::{Duration, SystemTime};

use buttress_core::{Headroom, Measure, RetryHint, Room, Verdict};
use http::{HeaderMap, header};

use crate::{
    error_body::{ErrorBody, Quota},
    moment, wait,
};

/// What a provider limits: the header that tells what remains, or that nothing does, and the one that tells when it is whole
/// again. The first ones count, in this order, where no limit is known to be used up.
const LIMITS: [(&str, &str); 13] = [
    ("x-ratelimit-remaining-tokens", TOKENS),
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-reset"),
    ("x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens"),
    ("x-ratelimit-remaining-tokens_usage_based", "x-ratelimit-reset-tokens_usage_based"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("anthropic-priority-input-tokens-remaining", "anthropic-priority-input-tokens-reset"),
    ("anthropic-priority-output-tokens-remaining", "anthropic-priority-output-tokens-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
];
const TOKENS: &str = "x-ratelimit-reset-tokens";

/// How many of them speak for all where none is known to be used up.
const SPEAKERS: usize = 4;

/// Reads the hint of a failed answer: the standard headers, then the body, then the limit that was hit.
pub(crate) fn read(headers: &HeaderMap, body: &ErrorBody, verdict: Verdict, now: SystemTime) -> RetryHint {
    let mut hint = RetryHint::from_headers(headers, now);
    if hint.after.is_none() {
        let now = own_time(headers, now);
        hint.after = match verdict {
            // Every answer tells its limits; only where one was hit does it matter when it is whole again.
            Verdict::RateLimited => in_body(body, now).or_else(|| reset(headers, now)),
            // Elsewhere the message may repeat the caller's words, or speak of something else.
            Verdict::CapacityByDesign | Verdict::Transient => in_body(body, now),
            Verdict::QuotaExhausted if body.quota() == Quota::Day => Some(moment::until_pacific_midnight(now)),
            _ => None,
        };
    }
    hint
}

/// Reads what is left of the limits, where an answer tells: `None` if it tells of none, which costs a look at the names of its
/// headers.
pub(crate) fn headroom(headers: &HeaderMap, now: SystemTime) -> Option<Headroom> {
    const BEGIN: [&str; 3] = ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit-"];
    if !headers.keys().any(|name| BEGIN.iter().any(|begin| name.as_str().starts_with(begin))) {
        return None;
    }
    let now = own_time(headers, now);
    // Who has used up its priority is served all the same, with the others.
    let limits = LIMITS.iter().filter(|(remaining, _)| !remaining.starts_with("anthropic-priority-"));
    let rooms = limits.filter_map(|(remaining, reset)| {
        let left = wait::number(text(headers, remaining)?)? as u64;
        let returns = wait::read(text(headers, reset)?, now)?;
        Some((measure(remaining), Room::new(left, limit(headers, remaining), returns)))
    });
    rooms.fold(None, |headroom: Option<Headroom>, (measure, room)| {
        let headroom = headroom.unwrap_or_default();
        Some(measure.map_or_else(|| headroom.with(room), |measure| headroom.with_measured(measure, room)))
    })
}

/// Reads what a limit counts from the name of its header, where that says so.
fn measure(remaining: &str) -> Option<Measure> {
    let words = [
        ("input-tokens", Measure::InputTokens),
        ("output-tokens", Measure::OutputTokens),
        ("tokens", Measure::Tokens),
        ("requests", Measure::Requests),
    ];
    words.into_iter().find(|(word, _)| remaining.contains(word)).map(|(_, measure)| measure)
}

/// Reads the limit that belongs to what remains of it: the header of the same name but for one word.
fn limit(headers: &HeaderMap, remaining: &str) -> Option<u64> {
    const WORD: &str = "remaining";
    let (before, after) = remaining.split_once(WORD)?;
    let is_it = |name: &str| {
        name.strip_prefix(before).and_then(|rest| rest.strip_prefix("limit")).is_some_and(|rest| rest == after)
    };
    let value = headers.iter().find(|(name, _)| is_it(name.as_str()))?.1;
    wait::number(value.to_str().ok()?.trim()).map(|limit| limit as u64)
}

/// A clock that is off does no harm where the answer tells its own time.
fn own_time(headers: &HeaderMap, now: SystemTime) -> SystemTime {
    text(headers, header::DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now)
}

fn in_body(body: &ErrorBody, now: SystemTime) -> Option<Duration> {
    body.waits().find_map(|text| wait::read(text, now)).or_else(|| wait::in_words(body.message()))
}

/// Reads the reset of what is used up, the longest if several are. If nothing is, one request was larger than the tokens
/// that remained, or the answer does not tell what remains.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let reset = |name: &str| text(headers, name).and_then(|text| wait::read(text, now));
    let used_up = LIMITS.iter().filter(|(remaining, _)| text(headers, remaining).is_some_and(is_used_up));
    let mut used_up = used_up.peekable();
    if used_up.peek().is_some() {
        return used_up.filter_map(|(_, name)| reset(name)).max();
    }
    let untold = |(remaining, name): &&(&str, &str)| *name == TOKENS || !headers.contains_key(*remaining);
    LIMITS[..SPEAKERS].iter().filter(untold).find_map(|(_, name)| reset(name))
}

/// Nothing remains; or a subscription's limit, which tells no number, refuses.
fn is_used_up(remaining: &str) -> bool {
    wait::number(remaining) == Some(0.0) || remaining == "rejected"
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
