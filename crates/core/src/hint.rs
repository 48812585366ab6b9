//! How long a server asked to be left alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// How long, and whether, a server asked callers to come back.
///
/// Both parts are optional: most failures carry neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryHint {
    /// Come back no sooner than after this long. Zero is a real value: *at once*.
    pub after: Option<Duration>,
    /// The server's own word on whether a retry can help (`x-should-retry`).
    pub should_retry: Option<bool>,
}

// === impl RetryHint ===

impl RetryHint {
    /// No hint at all.
    pub const NONE: Self = Self { after: None, should_retry: None };

    /// The longest wait that is told apart from a longer one. Every cap in use lies far below it.
    pub const MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// Creates a hint to come back after `after`.
    #[must_use]
    pub const fn after(after: Duration) -> Self {
        Self { after: Some(after), should_retry: None }
    }

    /// Reads `x-should-retry`, `retry-after-ms`, `x-ms-retry-after-ms` and `Retry-After`, the finer form first.
    ///
    /// A value that does not parse counts as absent, and the next form is read. A negative number and a date in the past
    /// mean zero; what exceeds [`MAX`](Self::MAX) becomes `MAX`. An HTTP date (RFC 9110, its three forms) is taken
    /// relative to the answer's own `Date` where it has one, so that a skewed clock does no harm; `now` is used otherwise.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, now: SystemTime) -> Self {
        Self { after: after(headers, now), should_retry: should_retry(headers) }
    }
}

fn after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // Names that are known need not be read and checked each time.
    static MILLIS: HeaderName = HeaderName::from_static("retry-after-ms");
    static AZURE_MILLIS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = |name: &HeaderName| text(name).and_then(number).map(|ms| seconds(ms / 1_000.0));

    millis(&MILLIS).or_else(|| millis(&AZURE_MILLIS)).or_else(|| {
        let value = text(&header::RETRY_AFTER)?;
        number(value).map(seconds).or_else(|| {
            let at = httpdate::parse_http_date(value).ok()?;
            let from = text(&header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
            Some(at.duration_since(from).unwrap_or_default().min(RetryHint::MAX))
        })
    })
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
    match headers.get(&SHOULD_RETRY)?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Parses a plain decimal number. Words that `f64` would take (`inf`, `nan`) and exponents are not numbers here.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.bytes().any(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Makes a bounded duration of any number of seconds, rounding up so that no caller comes back too soon.
fn seconds(seconds: f64) -> Duration {
    let nanos = (seconds.clamp(0.0, RetryHint::MAX.as_secs_f64()) * 1e9).ceil();
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

    fn hint(pairs: &[(&'static str, &str)]) -> RetryHint {
        let headers = pairs.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect();
        RetryHint::from_headers(&headers, EPOCH)
    }

    #[test]
    fn each_form_is_read_and_the_finer_one_wins() {
        let ms = |n| Some(Duration::from_millis(n));
        for (pairs, expected) in [
            (&[("retry-after", "2")][..], ms(2_000)),
            (&[("retry-after", " 1.5 ")], ms(1_500)),
            (&[("retry-after", "0")], ms(0)),
            (&[("retry-after-ms", "350")], ms(350)),
            (&[("retry-after-ms", "300"), ("retry-after", "5")], ms(300)),
            (&[("x-ms-retry-after-ms", "250"), ("retry-after", "5")], ms(250)),
            (&[("retry-after-ms", "soon"), ("retry-after", "5")], ms(5_000)),
            (&[("retry-after", "Thu, 01 Jan 1970 00:00:02 GMT")], ms(2_000)),
            (&[("retry-after", "Thursday, 01-Jan-70 00:00:02 GMT")], ms(2_000)),
            (&[("retry-after", "Thu Jan  1 00:00:02 1970")], ms(2_000)),
            (&[("date", "Thu, 01 Jan 1970 01:00:00 GMT"), ("retry-after", "Thu, 01 Jan 1970 01:00:07 GMT")], ms(7_000)),
            (&[("date", "Thu, 01 Jan 1970 01:00:09 GMT"), ("retry-after", "Thu, 01 Jan 1970 01:00:07 GMT")], ms(0)),
            (&[], None),
        ] {
            assert_eq!(hint(pairs).after, expected, "{pairs:?}");
        }
    }

    #[test]
    fn hostile_values_neither_panic_nor_shorten_the_wait() {
        for (value, expected) in [
            ("-1", Some(Duration::ZERO)),
            ("999999999999", Some(RetryHint::MAX)),
            ("99999999999999999999999999999999999999999999", Some(RetryHint::MAX)),
            ("inf", None),
            ("NaN", None),
            ("1e3", None),
            ("0x10", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("soon", None),
        ] {
            assert_eq!(hint(&[("retry-after", value)]).after, expected, "{value:?}");
        }
    }

    #[test]
    fn the_servers_own_word_is_kept_only_when_it_is_clear() {
        assert_eq!(hint(&[("x-should-retry", "false")]).should_retry, Some(false));
        assert_eq!(hint(&[("x-should-retry", "true")]).should_retry, Some(true));
        assert_eq!(hint(&[("x-should-retry", "perhaps")]).should_retry, None);
    }

    proptest! {
        #[test]
        fn any_header_value_gives_a_bounded_hint(value in "[ -~]{0,40}") {
            let after = hint(&[("retry-after", &value)]).after;
            prop_assert!(after.is_none_or(|wait| wait <= RetryHint::MAX));
        }

        #[test]
        fn a_wait_is_never_shorter_than_the_server_asked(ms in 0.0..1e9_f64) {
            let after = hint(&[("retry-after-ms", &format!("{ms}"))]).after.unwrap();
            prop_assert!(after.as_secs_f64() >= ms / 1_000.0 - 1e-9);
        }
    }
}
