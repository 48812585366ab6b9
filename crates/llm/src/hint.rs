//! How long a provider asked to be left alone.

use std::{
    cell::LazyCell,
    time::{Duration, SystemTime},
};

use buttress_core::{Headroom, Measure, RetryHint, Room, Verdict};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    error_body::{ErrorBody, Quota},
    moment, wait,
};

/// A limit of a provider: the header that tells what remains, or that nothing does, the one that tells how much there is, the one
/// that tells when it is whole again, and what it counts, where its name says so.
struct Limit {
    remaining: &'static str,
    limit: &'static str,
    reset: &'static str,
    measure: Option<Measure>,
}

const REQUESTS: Option<Measure> = Some(Measure::Requests);
const TOKENS: Option<Measure> = Some(Measure::Tokens);
const INPUT: Option<Measure> = Some(Measure::InputTokens);
const OUTPUT: Option<Measure> = Some(Measure::OutputTokens);

/// What providers limit. The first ones count, in this order, where no limit is known to be used up.
#[rustfmt::skip]
const LIMITS: [Limit; 13] = [
    Limit { remaining: "x-ratelimit-remaining-tokens", limit: "x-ratelimit-limit-tokens", reset: "x-ratelimit-reset-tokens", measure: TOKENS },
    Limit { remaining: "x-ratelimit-remaining-requests", limit: "x-ratelimit-limit-requests", reset: "x-ratelimit-reset-requests", measure: REQUESTS },
    Limit { remaining: "x-ratelimit-remaining", limit: "x-ratelimit-limit", reset: "x-ratelimit-reset", measure: None },
    Limit { remaining: "anthropic-ratelimit-unified-status", limit: "", reset: "anthropic-ratelimit-unified-reset", measure: None },
    Limit { remaining: "x-ratelimit-remaining-project-tokens", limit: "x-ratelimit-limit-project-tokens", reset: "x-ratelimit-reset-project-tokens", measure: TOKENS },
    Limit { remaining: "x-ratelimit-remaining-tokens_usage_based", limit: "x-ratelimit-limit-tokens_usage_based", reset: "x-ratelimit-reset-tokens_usage_based", measure: TOKENS },
    Limit { remaining: "anthropic-ratelimit-requests-remaining", limit: "anthropic-ratelimit-requests-limit", reset: "anthropic-ratelimit-requests-reset", measure: REQUESTS },
    Limit { remaining: "anthropic-ratelimit-tokens-remaining", limit: "anthropic-ratelimit-tokens-limit", reset: "anthropic-ratelimit-tokens-reset", measure: TOKENS },
    Limit { remaining: "anthropic-ratelimit-input-tokens-remaining", limit: "anthropic-ratelimit-input-tokens-limit", reset: "anthropic-ratelimit-input-tokens-reset", measure: INPUT },
    Limit { remaining: "anthropic-ratelimit-output-tokens-remaining", limit: "anthropic-ratelimit-output-tokens-limit", reset: "anthropic-ratelimit-output-tokens-reset", measure: OUTPUT },
    Limit { remaining: "anthropic-priority-input-tokens-remaining", limit: "", reset: "anthropic-priority-input-tokens-reset", measure: INPUT },
    Limit { remaining: "anthropic-priority-output-tokens-remaining", limit: "", reset: "anthropic-priority-output-tokens-reset", measure: OUTPUT },
    Limit { remaining: "ratelimit-remaining", limit: "ratelimit-limit", reset: "ratelimit-reset", measure: None },
];

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
    let told = Told::of(headers)?;
    let own_time = LazyCell::new(|| own_time(headers, now));
    // Who has used up its priority is served all the same, with the others.
    let limits = LIMITS
        .iter()
        .filter(|limit| told.any_like(limit.remaining) && !limit.remaining.starts_with("anthropic-priority-"));
    let rooms = limits.filter_map(|limit| {
        let left = wait::number(told.by_name(limit.remaining)?)? as u64;
        let reset = told.by_name(limit.reset)?;
        let returns = wait::read(reset, if wait::may_be_moment(reset) { *own_time } else { now })?;
        let all = told.by_name(limit.limit).and_then(wait::number).map(|all| all as u64);
        Some((limit.measure, Room::new(left, all, returns)))
    });
    rooms.fold(None, |headroom: Option<Headroom>, (measure, room)| {
        let headroom = headroom.unwrap_or_default();
        Some(measure.map_or_else(|| headroom.with(room), |measure| headroom.with_measured(measure, room)))
    })
}

/// The headers that tell of limits. An answer has few, and to look through them takes less than to make a name of each text that is
/// looked for.
struct Told<'h>([(&'h str, Option<&'h HeaderValue>); MOST_TOLD]);

/// More than any provider sends.
const MOST_TOLD: usize = 32;

impl<'h> Told<'h> {
    fn of(headers: &'h HeaderMap) -> Option<Self> {
        const BEGIN: [&str; 3] = ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit-"];
        let tells = |name: &str| BEGIN.iter().any(|begin| name.starts_with(begin));
        let mut told = headers.iter().map(|(name, value)| (name.as_str(), Some(value))).filter(|(name, _)| tells(name));
        let first = told.next()?;
        let mut all = Self([("", None); MOST_TOLD]);
        std::iter::once(first).chain(told).zip(&mut all.0).for_each(|(told, place)| *place = told);
        Some(all)
    }

    /// Returns whether any of them begins as `name` does, without which none is called that.
    fn any_like(&self, name: &str) -> bool {
        let first = name.as_bytes().first();
        self.0.iter().take_while(|(_, value)| value.is_some()).any(|(told, _)| told.as_bytes().first() == first)
    }

    /// Reads the first header called `name`.
    fn by_name(&self, name: &str) -> Option<&'h str> {
        let told = self.0.iter().take_while(|(_, value)| value.is_some());
        let (_, value) = told.into_iter().find(|(told, _)| *told == name)?;
        (*value)?.to_str().ok().map(str::trim)
    }
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
    let reset = |limit: &Limit| text(headers, limit.reset).and_then(|text| wait::read(text, now));
    let used_up = LIMITS.iter().filter(|limit| text(headers, limit.remaining).is_some_and(is_used_up));
    let mut used_up = used_up.peekable();
    if used_up.peek().is_some() {
        return used_up.filter_map(reset).max();
    }
    // Where tokens remain, one request may have been larger than that.
    let untold = |(at, limit): &(usize, &Limit)| *at == 0 || !headers.contains_key(limit.remaining);
    LIMITS[..SPEAKERS].iter().enumerate().filter(untold).find_map(|(_, limit)| reset(limit))
}

/// Nothing remains; or a subscription's limit, which tells no number, refuses.
fn is_used_up(remaining: &str) -> bool {
    wait::number(remaining) == Some(0.0) || remaining == "rejected"
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
