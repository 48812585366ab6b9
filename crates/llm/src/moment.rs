//! Moments in civil time: as RFC 3339 writes them, and the midnight at which Google's quotas of a day begin anew.

use std::time::{Duration, SystemTime};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Reads a moment as [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6) writes it, such as
/// `2025-08-21T12:40:59.5Z`. What lies before 1970 is 1970.
pub(crate) fn rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = (text.get(..10)?, text.get(11..19)?);
    if !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let ([year, month, day], [hour, minute, second]) = (fields(date, '-')?, fields(time, ':')?);
    let in_range = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    // A leap second is the first of the next minute.
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(text.get(19..)?)?;
    let seconds = day_number(year, month, day) * DAY + hour * HOUR + minute * 60 + second - offset(zone)?;
    let Ok(seconds) = u64::try_from(seconds) else { return Some(SystemTime::UNIX_EPOCH) };
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// Returns how long it is from `now` until it is midnight in California, where Gemini's quotas of a day begin anew.
///
/// Summer time is that of the [Energy Policy Act of 2005](https://www.law.cornell.edu/uscode/text/15/260a): from the second
/// Sunday of March to the first of November. Were that changed, it would be an hour off.
pub(crate) fn until_pacific_midnight(now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Beyond any clock; it keeps the sums from overflow.
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).min(DAY * 366 * 9_999);
    let local = seconds - behind(seconds);
    let midnight = (local.div_euclid(DAY) + 1) * DAY;
    // The clocks change at two, so no midnight is there twice or never.
    let summer = midnight + 7 * HOUR;
    let next = if behind(summer) == 7 * HOUR { summer } else { midnight + 8 * HOUR };
    let whole = u64::try_from(next - seconds).unwrap_or_default();
    Duration::from_secs(whole).saturating_sub(Duration::from_nanos(now.subsec_nanos().into()))
}

/// Returns by how many seconds the clocks of California are behind UTC.
fn behind(seconds: i64) -> i64 {
    let year = year_of((seconds - 8 * HOUR).div_euclid(DAY));
    // Two o'clock, by the time until then: of winter, and of summer.
    let begin = sunday_from(day_number(year, 3, 8)) * DAY + 10 * HOUR;
    let end = sunday_from(day_number(year, 11, 1)) * DAY + 9 * HOUR;
    if (begin..end).contains(&seconds) { 7 * HOUR } else { 8 * HOUR }
}

/// Returns the first Sunday from `day` on, both counted from 1970-01-01, which was a Thursday.
const fn sunday_from(day: i64) -> i64 {
    day + (3 - day).rem_euclid(7)
}

/// Returns the number of a day since 1970-01-01 in the Gregorian calendar. See
/// [`days_from_civil`](https://howardhinnant.github.io/date_algorithms.html#days_from_civil): years begin in March, so that a
/// leap day is the last of its year.
const fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

/// Returns the year in which a day lies.
fn year_of(day: i64) -> i64 {
    let guess = 1970 + day.div_euclid(365);
    let leaps = (guess - 1970).div_euclid(1_460) + 1;
    (guess - leaps..=guess).rev().find(|&year| day_number(year, 1, 1) <= day).unwrap_or(guess)
}

const fn month_length(year: i64, month: i64) -> i64 {
    let next = if month == 12 { day_number(year + 1, 1, 1) } else { day_number(year, month + 1, 1) };
    next - day_number(year, month, 1)
}

/// Reads three numbers in digits.
fn fields(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut fields = text.split(separator).map(digits);
    let three = [fields.next()??, fields.next()??, fields.next()??];
    fields.next().is_none().then_some(three)
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Splits the nanoseconds of `.5Z` from its zone. Digits beyond the ninth are passed over.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|&end| end > 0)?;
    let nanos = format!("{:0<9.9}", &text[..end]).parse().ok()?;
    Some((nanos, &text[end..]))
}

/// Reads `Z` or `+02:00` as seconds before UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (rest.len() == 5 && hours < 24 && minutes < 60).then_some(sign * (hours * HOUR + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<u64> {
        Some(rfc3339(text)?.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    fn time(text: &str) -> SystemTime {
        rfc3339(text).unwrap()
    }

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", Some(0)),
            ("2025-08-21T12:40:59Z", Some(1_755_780_059)),
            ("2025-08-21t12:40:59z", Some(1_755_780_059)),
            ("2025-08-21 12:40:59Z", Some(1_755_780_059)),
            ("2025-08-21T12:40:59.999999999999Z", Some(1_755_780_059)),
            ("2025-08-21T14:40:59+02:00", Some(1_755_780_059)),
            ("2025-08-21T05:10:59-07:30", Some(1_755_780_059)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("9999-12-31T23:59:60Z", Some(253_402_300_800)),
            ("2023-02-29T00:00:00Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("2025-13-01T00:00:00Z", None),
            ("2025-00-01T00:00:00Z", None),
            ("2025-01-32T00:00:00Z", None),
            ("2025-01-01T24:00:00Z", None),
            ("2025-01-01T00:00:00", None),
            ("2025-01-01T00:00:00.Z", None),
            ("2025-01-01T00:00:00+1:00", None),
            ("2025-01-01T00:00:00+24:00", None),
            ("2025-01-01", None),
            ("+025-01-01T00:00:00Z", None),
            ("2025-01-01T-1:00:00Z", None),
            ("2025-01-01X00:00:00Z", None),
            ("2025-01-01T00:00:0µZ", None),
            ("", None),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        assert_eq!(time("2025-01-01T00:00:00.25Z"), time("2025-01-01T00:00:00Z") + Duration::from_millis(250));
    }

    #[test]
    fn midnight_in_california_is_known_in_summer_and_in_winter() {
        // As the tz database has it, computed with Python's `zoneinfo`.
        for (now, hours_and_seconds) in [
            ("2025-01-15T12:00:00Z", (20, 0)),
            ("2025-07-15T12:00:00Z", (19, 0)),
            ("2025-07-15T06:59:59Z", (0, 1)),
            ("2025-07-15T07:00:00Z", (24, 0)),
            ("2025-03-09T08:00:00Z", (23, 0)), // the day that has no third hour
            ("2025-03-09T07:59:59Z", (0, 1)),
            ("2025-03-09T10:00:00Z", (21, 0)),
            ("2025-11-02T07:00:00Z", (25, 0)), // the day that has the second hour twice
            ("2025-11-02T08:59:59Z", (23, 1)),
            ("2025-11-03T07:59:59Z", (0, 1)),
            ("2026-11-01T07:00:00Z", (25, 0)),
            ("2026-03-08T08:00:00Z", (23, 0)),
            ("2024-12-31T23:00:00Z", (9, 0)),
            ("2025-01-01T07:00:00Z", (1, 0)),
        ] {
            let (hours, seconds) = hours_and_seconds;
            let expected = Duration::from_secs(hours * 3_600 + seconds);
            assert_eq!(until_pacific_midnight(time(now)), expected, "{now}");
        }
        let half = time("2025-07-15T06:59:59.5Z");
        assert_eq!(until_pacific_midnight(half), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn midnight_is_never_more_than_a_long_day_away(seconds in any::<u64>(), nanos in 0..1_000_000_000_u32) {
            let now = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)).unwrap_or(SystemTime::UNIX_EPOCH);
            let wait = until_pacific_midnight(now);
            prop_assert!(!wait.is_zero() && wait <= Duration::from_secs(25 * 3_600), "{wait:?}");
        }

        #[test]
        fn after_that_long_it_is_midnight(seconds in 0..20_000_000_000_u64) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let then = i64::try_from((now + until_pacific_midnight(now)).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
            prop_assert_eq!((then - behind(then)).rem_euclid(DAY), 0);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,32}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.]?[0-9]{0,12}[Z+-]?[0-9:]{0,5}") {
            let _ = rfc3339(&text);
        }

        #[test]
        fn the_number_of_a_day_tells_its_year(day in 0..3_000_000_i64) {
            let year = year_of(day);
            prop_assert!(day_number(year, 1, 1) <= day && day < day_number(year + 1, 1, 1));
        }
    }
}
