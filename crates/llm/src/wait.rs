//! The forms in which providers write how long to wait.

use std::time::{Duration, SystemTime};

use buttress_core::RetryHint;

use crate::moment;

/// Before these words of a message, in lower case, stands how long to wait.
const BEFORE: [&str; 3] = ["try again in ", "retry in ", "retry after "];

/// How often these words are looked for, and how many words of a wait are read.
const MAX_PLACES: usize = 16;
const MAX_WORDS: usize = 16;

/// A greater number of seconds is a time since 1970 rather than a wait.
const EPOCH: f64 = 1e9;

/// Reads a wait in any of its forms, as seen at `now`: seconds, `1h2m3.5s`, a time since 1970, or a moment as RFC 3339 has it.
///
/// What is past is zero. What has a sign, or is none of these, is nothing.
pub(crate) fn read(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match number(text) {
        Some(seconds) if seconds > EPOCH => Some(until_epoch(seconds, now)),
        Some(seconds) => Some(bounded(seconds)),
        None => compound(text).map(bounded).or_else(|| {
            let moment = moment::rfc3339(text)?;
            Some(moment.duration_since(now).unwrap_or_default().min(RetryHint::MAX))
        }),
    }
}

/// Returns whether `text` may say a time rather than a wait, so that it matters what time it is.
pub(crate) const fn may_be_moment(text: &str) -> bool {
    // What is greater than `EPOCH` has ten digits, and a moment twenty characters.
    text.len() >= 10
}

/// Some write the time in milliseconds. It is one if it is then a moment that a limit can end at: about now, or within a year.
fn until_epoch(time: f64, now: SystemTime) -> Duration {
    const DAY: f64 = 86_400.0;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let of_millis = time / 1e3 - since;
    let is_near = since > EPOCH && (-DAY..RetryHint::MAX.as_secs_f64()).contains(&of_millis);
    bounded(if is_near { of_millis } else { time - since })
}

/// Finds the first wait in a message in lower case: `try again in 1m12s`, `retry after 20 seconds`.
pub(crate) fn in_words(message: &str) -> Option<Duration> {
    let mut rest = message;
    for _ in 0..MAX_PLACES {
        let ends = BEFORE.iter().filter_map(|words| Some(rest.find(words)? + words.len()));
        rest = &rest[ends.min()?..];
        if let Some(seconds) = spoken(rest) {
            return Some(bounded(seconds));
        }
    }
    None
}

/// Reads the seconds that a text begins with: `1m12s.`, `20 seconds`, `1 hour, 2 minutes and 5 seconds`.
fn spoken(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace().take(MAX_WORDS);
    let mut sum = None;
    while let Some(word) = words.next() {
        if sum.is_some() && word == "and" {
            continue;
        }
        let (first, first_ends) = bare(word);
        let (seconds, ends) = match number(first) {
            Some(count) if first.len() < word.len() => (Some(count), first_ends),
            // A number at the end of the text means seconds.
            Some(count) => match words.next().map(bare) {
                Some((unit, ends)) => (spelled(unit).map(|length| count * length), ends),
                None => (Some(count), true),
            },
            None => (compound(first), first_ends),
        };
        let Some(seconds) = seconds else { break };
        sum = Some(sum.unwrap_or(0.0) + seconds);
        if ends {
            break;
        }
    }
    sum
}

/// Returns a word without the marks after it, and whether they end its clause.
fn bare(word: &str) -> (&str, bool) {
    let bare = word.trim_end_matches([',', ';', '.', ')', '!', '"', '\'', '`']);
    (bare, bare.len() < word.len() && !word.ends_with(','))
}

/// A word for a unit, in seconds.
fn spelled(word: &str) -> Option<f64> {
    match word {
        "s" | "sec" | "secs" | "second" | "seconds" | "second(s" => Some(1.0),
        "ms" | "millisecond" | "milliseconds" => Some(1e-3),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600.0),
        "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// Reads the seconds of `1h2m3.5s`: numbers, each with its unit, as Go prints a duration and protobuf's JSON does.
fn compound(text: &str) -> Option<f64> {
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
    seconds
}

/// Parses a plain decimal number without a sign: a negative one means *unknown* here.
pub(crate) fn number(text: &str) -> Option<f64> {
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
