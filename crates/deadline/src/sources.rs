//! What callers ask for.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tracing::debug;

use crate::share::Margin;

pub(crate) static REQUEST_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
pub(crate) static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static STAINLESS_READ_TIMEOUT: HeaderName = HeaderName::from_static("x-stainless-read-timeout");

/// Where a caller says how long it will wait. See the [crate docs](crate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The header `x-request-timeout-ms`.
    RequestTimeoutMs,
    /// The header `grpc-timeout`.
    GrpcTimeout,
    /// The header `x-stainless-read-timeout`.
    StainlessReadTimeout,
}

/// The sources that are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources([bool; Source::ALL.len()]);

// === impl Source ===

impl Source {
    /// All sources.
    pub const ALL: [Self; 3] = [Self::RequestTimeoutMs, Self::GrpcTimeout, Self::StainlessReadTimeout];

    fn header(self) -> &'static HeaderName {
        match self {
            Self::RequestTimeoutMs => &REQUEST_TIMEOUT_MS,
            Self::GrpcTimeout => &GRPC_TIMEOUT,
            Self::StainlessReadTimeout => &STAINLESS_READ_TIMEOUT,
        }
    }

    /// Returns the shortest time that `headers` ask for here.
    fn asked(self, headers: &HeaderMap) -> Option<Duration> {
        let name = self.header();
        let times = headers.get_all(name).iter().filter_map(|value| {
            let time = value.to_str().ok().and_then(|text| self.read(text.trim_matches([' ', '\t'])));
            if time.is_none() {
                // Without the value: it is a stranger's.
                debug!(header = name.as_str(), "a timeout that cannot be read was passed over");
            }
            time
        });
        times.min()
    }

    fn read(self, text: &str) -> Option<Duration> {
        match self {
            Self::RequestTimeoutMs => whole(text).map(Duration::from_millis),
            Self::GrpcTimeout => grpc(text),
            Self::StainlessReadTimeout => decimal_seconds(text).map(|time| Margin::DEFAULT.off(time)),
        }
    }
}

// === impl Sources ===

impl Sources {
    pub(crate) const ALL: Self = Self([true; Source::ALL.len()]);

    /// Returns the shortest time that `headers` ask for.
    pub(crate) fn asked(self, headers: &HeaderMap) -> Option<Duration> {
        let believed = Source::ALL.into_iter().filter(|&source| self.0[source as usize]);
        believed.filter_map(|source| source.asked(headers)).min()
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<T: IntoIterator<Item = Source>>(sources: T) -> Self {
        let mut believed = [false; Source::ALL.len()];
        sources.into_iter().for_each(|source| believed[source as usize] = true);
        Self(believed)
    }
}

/// Reads digits, and nothing else: `u64` would take a sign as well.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Reads gRPC's `TimeoutValue TimeoutUnit`.
fn grpc(text: &str) -> Option<Duration> {
    const MAX_DIGITS: usize = 8;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let number = whole(digits)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn decimal_seconds(text: &str) -> Option<Duration> {
    // `f64` would take a sign, `inf` and `nan` as well.
    let number =
        text.starts_with(|first: char| first.is_ascii_digit() || first == '.').then(|| text.parse().ok())??;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_testkit::TraceGuard;
    use http::HeaderValue;
    use proptest::prelude::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn milliseconds_are_digits() {
        let read = |text| Source::RequestTimeoutMs.read(text);
        assert_eq!([read("0"), read("0250"), read("250")], [Some(ms(0)), Some(ms(250)), Some(ms(250))]);
        assert_eq!(read("18446744073709551615"), Some(ms(u64::MAX)));
        for garbage in ["", "-1", "+1", "1.5", "1e3", "0x10", "1 2", "18446744073709551616", "soon"] {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn grpc_timeouts_have_up_to_eight_digits_and_a_unit() {
        let read = |text| Source::GrpcTimeout.read(text);
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("4m"), Some(ms(4)));
        assert_eq!(read("5u"), Some(Duration::from_micros(5)));
        assert_eq!(read("6n"), Some(Duration::from_nanos(6)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for garbage in ["", "m", "1", "1s", "1h", "100000000n", "-1m", "+1m", "1 m", "1.5S", "mm", "1mm"] {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_read_timeout_is_seconds_less_a_margin() {
        let read = |text| Source::StainlessReadTimeout.read(text);
        assert_eq!([read("600"), read("600.0")], [Some(Duration::from_secs(570)); 2]);
        assert_eq!(read("0.1"), Some(ms(80)), "20 ms at least");
        assert_eq!([read("0"), read("0.01")], [Some(Duration::ZERO); 2]);
        for garbage in ["", ".", "-1", "-0.0", "+1", "inf", "NaN", "1e400", "99999999999999999999", "None", "1s"] {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn the_shortest_of_all_values_counts_and_sources_can_be_switched_off() {
        let mut headers = HeaderMap::new();
        headers.append(&REQUEST_TIMEOUT_MS, HeaderValue::from_static("900"));
        headers.append(&REQUEST_TIMEOUT_MS, HeaderValue::from_static(" 700\t"));
        headers.append(&GRPC_TIMEOUT, HeaderValue::from_static("500m"));
        headers.append(&STAINLESS_READ_TIMEOUT, HeaderValue::from_static("0.5"));
        let asked = |sources: &[Source]| sources.iter().copied().collect::<Sources>().asked(&headers);
        assert_eq!(Sources::ALL.asked(&headers), Some(ms(475)));
        assert_eq!(asked(&Source::ALL), Some(ms(475)));
        assert_eq!(asked(&[Source::GrpcTimeout, Source::RequestTimeoutMs]), Some(ms(500)));
        assert_eq!(asked(&[Source::RequestTimeoutMs]), Some(ms(700)));
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn what_cannot_be_read_is_traced_without_its_value() {
        let trace = TraceGuard::new();
        let headers = HeaderMap::from_iter([(GRPC_TIMEOUT.clone(), HeaderValue::from_static("a-secret"))]);
        assert_eq!(Sources::ALL.asked(&headers), None);
        assert!(trace.lines()[0].contains("header=grpc-timeout"), "{trace:?}");
        trace.assert_hides(&["a-secret"]);
    }

    proptest! {
        #[test]
        fn no_header_panics(
            values in prop::collection::vec((0..3_usize, prop::collection::vec(any::<u8>(), 0..24)), 0..6)
        ) {
            let mut headers = HeaderMap::new();
            for (source, value) in values {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(Source::ALL[source].header(), value);
                }
            }
            let _ = Sources::ALL.asked(&headers);
        }

        #[test]
        fn nearly_right_headers_do_not_panic_either(source in 0..3_usize, value in "[ \t]?[-+.0-9eE]{0,22}[HMSmun]?") {
            let value = HeaderValue::from_str(&value).unwrap();
            let headers = HeaderMap::from_iter([(Source::ALL[source].header().clone(), value)]);
            let _ = Sources::ALL.asked(&headers);
        }

        #[test]
        fn the_shortest_wins(first in 0..10_000_u64, second in 0..10_000_u64, third in 0..10_000_u64) {
            let headers = HeaderMap::from_iter([
                (REQUEST_TIMEOUT_MS.clone(), HeaderValue::from(first)),
                (GRPC_TIMEOUT.clone(), HeaderValue::from_str(&format!("{second}m")).unwrap()),
                (STAINLESS_READ_TIMEOUT.clone(), HeaderValue::from(third)),
            ]);
            let third = Margin::DEFAULT.off(Duration::from_secs(third));
            prop_assert_eq!(Sources::ALL.asked(&headers), Some(ms(first).min(ms(second)).min(third)));
        }
    }
}
