//! Points in time, in the forms that providers write them.

use std::time::Duration;

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time, taken apart as a calendar in UTC does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Civil {
    year: u64,
    /// From 1.
    month: usize,
    day: u64,
    /// Thursday is 0: the day on which the count begins.
    weekday: usize,
    hour: u64,
    minute: u64,
    second: u64,
}

// === impl Civil ===

impl Civil {
    /// From seconds since 1970. The calendar part is Howard Hinnant's `civil_from_days`.
    pub(crate) fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month: month as usize,
            day: of_year - (153 * shifted_month + 2) / 5 + 1,
            weekday: (days % 7) as usize,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    /// After `wait`, rounded up: a client that waits as told must not come too early.
    pub(crate) fn after(seconds: u64, wait: Duration) -> Self {
        Self::of(seconds.saturating_add(wait.as_millis().div_ceil(1000) as u64))
    }

    /// RFC 3339: `2025-08-21T12:40:59Z`.
    pub(crate) fn rfc3339(self) -> String {
        let Self { year, month, day, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{}Z", self.time())
    }

    /// The form that RFC 9110 prefers: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn imf_fixdate(self) -> String {
        let Self { year, day, .. } = self;
        format!("{}, {day:02} {} {year:04} {} GMT", &self.weekday()[..3], self.month(), self.time())
    }

    /// The form of RFC 850: `Sunday, 06-Nov-94 08:49:37 GMT`.
    pub(crate) fn rfc850(self) -> String {
        let Self { year, day, .. } = self;
        format!("{}, {day:02}-{}-{:02} {} GMT", self.weekday(), self.month(), year % 100, self.time())
    }

    /// The form of C's `asctime`: `Sun Nov  6 08:49:37 1994`.
    pub(crate) fn asctime(self) -> String {
        let Self { year, day, .. } = self;
        format!("{} {} {day:2} {} {year:04}", &self.weekday()[..3], self.month(), self.time())
    }

    fn time(self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    fn weekday(self) -> &'static str {
        DAYS[self.weekday]
    }

    fn month(self) -> &'static str {
        MONTHS[self.month - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_9110_is_written_in_its_three_forms() {
        let civil = Civil::of(784_111_777);
        assert_eq!(civil.imf_fixdate(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(civil.rfc850(), "Sunday, 06-Nov-94 08:49:37 GMT");
        assert_eq!(civil.asctime(), "Sun Nov  6 08:49:37 1994");
        assert_eq!(civil.rfc3339(), "1994-11-06T08:49:37Z");
    }

    #[test]
    fn leap_days_and_turns_of_the_year_are_where_they_belong() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Civil::of(seconds).rfc3339(), text);
        }
    }
}
