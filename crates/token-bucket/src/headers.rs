//! What callers are told of their rates.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};

use crate::{Dimension, Limit, Limits, RateLimited, shortage::Stand};

/// Writes `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `x-ratelimit-*` as OpenAI does.
/// `Retry-After` is written by who makes the refusal.
pub(crate) fn write(headers: &mut HeaderMap, stand: &Stand, refused: Option<&RateLimited>) {
    headers.reserve(8);
    let policy = stand.limits().header(|limits| value(&mut String::new(), Policies(limits)));
    insert(headers, "ratelimit-policy", policy);
    // One text for all values: what is written into a header is copied out of it, as long as it is.
    let mut text = String::with_capacity(256);
    let now = value(&mut text, States { stand, refused });
    insert(headers, "ratelimit", now);
    let mut openai = |[limit, remaining, reset]: [&'static str; 3], dimensions: &[Dimension]| {
        if let Some((of, level, full_in)) = tightest(stand, dimensions) {
            headers.insert(limit, HeaderValue::from(of.capacity()));
            headers.insert(remaining, HeaderValue::from(left(level)));
            insert(headers, reset, value(&mut text, GoDuration(full_in)));
        }
    };
    openai(
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        &[Dimension::REQUESTS],
    );
    openai(
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        &[Dimension::TOKENS, Dimension::INPUT_TOKENS, Dimension::OUTPUT_TOKENS],
    );
}

/// Returns the limit of which the smallest part is left, how much that is, and when it is full.
fn tightest<'a>(stand: &'a Stand, dimensions: &[Dimension]) -> Option<(&'a Limit, i128, Duration)> {
    let of_kind = stand.each().filter(|(limit, ..)| dimensions.contains(&limit.dimension()));
    of_kind.min_by_key(|(limit, level, _)| (u128::from(left(*level)) << 32) / u128::from(limit.capacity()))
}

fn value(text: &mut String, shown: impl fmt::Display) -> Option<HeaderValue> {
    text.clear();
    let _ = write!(text, "{shown}"); // A String takes all that is written.
    HeaderValue::from_str(text).ok()
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn left(level: i128) -> u64 {
    u64::try_from(level.max(0)).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up, as a structured field can hold them (RFC 9651, section 3.3.1).
fn seconds(time: Duration) -> u64 {
    integer(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

struct Policies<'a>(&'a Limits);

impl fmt::Display for Policies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, limit) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}\"{}\";q={}", limit.name().as_str(), integer(limit.refill()))?;
            if limit.dimension() != Dimension::REQUESTS {
                write!(f, ";qu=\"{}\"", limit.dimension().unit())?;
            }
            write!(f, ";w={}", seconds(limit.period()))?;
        }
        Ok(())
    }
}

struct States<'a> {
    stand: &'a Stand,
    refused: Option<&'a RateLimited>,
}

impl fmt::Display for States<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (limit, level, full_in)) in self.stand.each().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}\"{}\";r={}", limit.name().as_str(), integer(left(level)))?;
            // `Retry-After` must not be earlier than any `t`: of a refusal, only what it waits for is told.
            let time = match self.refused {
                Some(refused) => refused.wait_for(limit),
                None => Some(full_in),
            };
            if let Some(time) = time {
                write!(f, ";t={}", seconds(time))?;
            }
        }
        Ok(())
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
        write!(f, "{}", seconds % 60)?;
        match millis {
            0 => {}
            _ if millis % 100 == 0 => write!(f, ".{}", millis / 100)?,
            _ if millis % 10 == 0 => write!(f, ".{:02}", millis / 10)?,
            _ => write!(f, ".{millis:03}")?,
        }
        f.write_str("s")
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
        let fractions = [1_050, 1_005, 60_120].map(|millis| text(millis * 1_000_000));
        assert_eq!(fractions, ["1.05s", "1.005s", "1m0.12s"]);
        assert_eq!(GoDuration(Duration::MAX).to_string(), "5124095576030431h0m16s");
    }
}
