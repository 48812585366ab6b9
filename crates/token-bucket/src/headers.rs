//! What callers are told of their rates.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Dimension, RateLimited, Standing};

/// Writes `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `x-ratelimit-*` as OpenAI does.
/// `Retry-After` is written by who makes the refusal.
pub(crate) fn write(headers: &mut HeaderMap, standings: &[Standing], refused: Option<&RateLimited>) {
    let (mut policy, mut now) = (String::new(), String::new());
    for (at, standing) in standings.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // A String takes all that is written.
        let _ = write!(policy, "{comma}{}", Policy(standing));
        let _ = write!(now, "{comma}{}", State { standing, refused });
    }
    insert(headers, HeaderName::from_static("ratelimit-policy"), policy);
    insert(headers, HeaderName::from_static("ratelimit"), now);
    if let Some(requests) = tightest(standings, &[Dimension::REQUESTS]) {
        let names = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        openai(headers, names, requests);
    }
    let tokens = [Dimension::TOKENS, Dimension::INPUT_TOKENS, Dimension::OUTPUT_TOKENS];
    if let Some(tokens) = tightest(standings, &tokens) {
        let names = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
        openai(headers, names, tokens);
    }
}

/// Returns the limit of which the smallest part is left.
fn tightest<'a>(standings: &'a [Standing], dimensions: &[Dimension]) -> Option<&'a Standing> {
    let of_kind = standings.iter().filter(|standing| dimensions.contains(&standing.limit.dimension()));
    of_kind.min_by_key(|standing| (u128::from(left(standing)) << 32) / u128::from(standing.limit.capacity()))
}

fn openai(headers: &mut HeaderMap, [limit, remaining, reset]: [&'static str; 3], standing: &Standing) {
    headers.insert(limit, HeaderValue::from(standing.limit.capacity()));
    headers.insert(remaining, HeaderValue::from(left(standing)));
    insert(headers, HeaderName::from_static(reset), GoDuration(standing.full_in).to_string());
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn left(standing: &Standing) -> u64 {
    u64::try_from(standing.level.max(0)).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up, as a structured field can hold them (RFC 9651, section 3.3.1).
fn seconds(time: Duration) -> u64 {
    integer(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

struct Policy<'a>(&'a Standing);

impl fmt::Display for Policy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.0.limit;
        write!(f, "\"{}\";q={}", limit.name().as_str(), integer(limit.refill()))?;
        if limit.dimension() != Dimension::REQUESTS {
            write!(f, ";qu=\"{}\"", limit.dimension().unit())?;
        }
        write!(f, ";w={}", seconds(limit.period()))
    }
}

struct State<'a> {
    standing: &'a Standing,
    refused: Option<&'a RateLimited>,
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.standing.limit;
        write!(f, "\"{}\";r={}", limit.name().as_str(), integer(left(self.standing)))?;
        // `Retry-After` must not be earlier than any `t`: of a refusal, only what it waits for is told.
        let time = match self.refused {
            Some(refused) => refused.wait_for(limit),
            None => Some(self.standing.full_in),
        };
        time.map_or(Ok(()), |time| write!(f, ";t={}", seconds(time)))
    }
}

/// A time as Go writes it, and as the clients of OpenAI read it: `6m0s`, `1.5s`, `12ms`. Rounded up to milliseconds.
struct GoDuration(Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        if millis > 0 && millis < 1_000 {
            return write!(f, "{millis}ms");
        }
        let (seconds, millis) = (millis / 1_000, millis % 1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let fraction = format!("{millis:03}");
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{point}{fraction}s", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them_and_never_too_short() {
        let text = |nanos| GoDuration(Duration::from_nanos(nanos)).to_string();
        let times = [0, 1, 12_000_000, 1_000_000_000, 1_500_000_000, 360_000_000_000, 3_723_500_000_000].map(text);
        assert_eq!(times, ["0s", "1ms", "12ms", "1s", "1.5s", "6m0s", "1h2m3.5s"]);
        assert_eq!(GoDuration(Duration::MAX).to_string(), "5124095576030431h0m16s");
    }
}
