//! What of the time that is left goes where.

use std::{num::NonZeroU32, time::Duration};

use http::HeaderValue;

/// What is kept back of the time that is left, so that the other side gives up first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Margin {
    percent: u32,
    at_least: Duration,
}

/// Returns how long the next attempt may take, or `None` if it could not finish.
///
/// What `remaining` holds is shared out evenly among the `attempts_left`, the next one included. A share is never less
/// than
/// `floor`, even if fewer attempts can then be made, and an attempt never takes longer than `per_try`. With less than
/// `floor` left, or nothing at all, no attempt should be made.
#[must_use]
pub fn attempt_timeout(
    remaining: Duration,
    attempts_left: NonZeroU32,
    per_try: Duration,
    floor: Duration,
) -> Option<Duration> {
    let share = (remaining / attempts_left.get()).max(floor);
    (!remaining.is_zero() && remaining >= floor).then(|| share.min(per_try))
}

/// Writes whole milliseconds.
pub(crate) fn millis(time: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Writes gRPC's `TimeoutValue TimeoutUnit`: the finest unit, from milliseconds up, of which 8 digits suffice. Rounds
/// down.
pub(crate) fn grpc(time: Duration) -> HeaderValue {
    const MAX: u128 = 99_999_999;
    const UNITS: [(char, u128); 4] = [('m', 1), ('S', 1_000), ('M', 60_000), ('H', 3_600_000)];
    let millis = time.as_millis();
    let fits = UNITS.into_iter().map(|(unit, length)| (unit, millis / length)).find(|&(_, number)| number <= MAX);
    let (unit, number) = fits.unwrap_or(('H', MAX));
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter can stand in a header")
}

// === impl Margin ===

impl Margin {
    pub(crate) const DEFAULT: Self = Self::new(5, Duration::from_millis(20));

    pub(crate) const fn new(percent: u32, at_least: Duration) -> Self {
        Self { percent: if percent > 100 { 100 } else { percent }, at_least }
    }

    /// Takes the margin off `time`.
    pub(crate) fn off(self, time: Duration) -> Duration {
        // Divided first, so that the longest time does not overflow.
        time.saturating_sub((time / 100 * self.percent).max(self.at_least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const fn n(attempts: u32) -> NonZeroU32 {
        NonZeroU32::new(attempts).expect("not zero")
    }

    fn any_time() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0..100_000_u64).prop_map(Duration::from_millis),
            (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
            Just(Duration::MAX),
        ]
    }

    #[test]
    fn time_is_shared_out_among_the_attempts() {
        let timeout = |remaining, attempts| attempt_timeout(ms(remaining), n(attempts), ms(30_000), ms(100));
        assert_eq!(timeout(10_000, 5), Some(ms(2_000)));
        assert_eq!(timeout(10_000, 1), Some(ms(10_000)));
        assert_eq!(timeout(600_000, 5), Some(ms(30_000)), "no longer than one may take");
        assert_eq!(timeout(400, 5), Some(ms(100)), "no shorter than one must take");
        assert_eq!([timeout(100, 5), timeout(99, 5)], [Some(ms(100)), None]);
        assert_eq!(attempt_timeout(Duration::ZERO, n(1), ms(1), Duration::ZERO), None);
    }

    #[test]
    fn the_margin_is_a_part_and_no_less_than_a_time() {
        assert_eq!(Margin::DEFAULT.off(ms(10_000)), ms(9_500));
        assert_eq!(Margin::DEFAULT.off(ms(100)), ms(80));
        assert_eq!(Margin::DEFAULT.off(ms(20)), ms(0));
        assert_eq!(Margin::new(0, ms(0)).off(Duration::MAX), Duration::MAX);
        assert_eq!(Margin::new(500, ms(0)).off(ms(1_000)), ms(0));
    }

    #[test]
    fn grpc_gets_the_finest_unit_of_eight_digits() {
        assert_eq!(grpc(ms(1_900)), "1900m");
        assert_eq!(grpc(ms(99_999_999)), "99999999m");
        assert_eq!(grpc(ms(100_000_000)), "100000S");
        assert_eq!(grpc(Duration::from_secs(100_000_000)), "1666666M");
        assert_eq!(grpc(Duration::MAX), "99999999H");
        assert_eq!(millis(Duration::MAX), u64::MAX.to_string());
    }

    proptest! {
        #[test]
        fn an_attempt_can_finish_in_what_is_left(
            remaining in any_time(), attempts in 1..10_u32, per_try in any_time(), floor in any_time()
        ) {
            if let Some(timeout) = attempt_timeout(remaining, n(attempts), per_try, floor) {
                prop_assert!(timeout <= remaining && timeout <= per_try);
                prop_assert!(timeout >= floor.min(per_try));
            } else {
                prop_assert!(remaining < floor || remaining.is_zero());
            }
        }

        #[test]
        fn what_is_written_is_never_more_than_what_is_left(
            time in any_time(), percent in any::<u32>(), least in any_time()
        ) {
            let less = Margin::new(percent, least).off(time);
            prop_assert!(less <= time && time - less >= least.min(time));
            let written = grpc(less);
            prop_assert!(written.len() <= 9);
            let headers = http::HeaderMap::from_iter([(crate::sources::GRPC_TIMEOUT.clone(), written)]);
            let read = crate::sources::Sources::ALL.asked(&headers);
            prop_assert!(read.is_some_and(|read| read <= less), "{read:?}");
        }
    }
}
