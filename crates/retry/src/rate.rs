//! A budget of retries in a window of time, by calls in it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::budget::Share;

/// Deposits of calls and withdrawals of retries, which both expire with their slot of the window.
#[derive(Debug)]
pub(crate) struct Rate {
    /// What a call brings, and what a retry takes, in millionths of a retry.
    deposit: i64,
    reserve: i64,
    slot: Duration,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    /// What each slot brought, less what it took.
    slots: [i64; SLOTS],
    /// The sum of all slots.
    sum: i64,
    current: usize,
    /// When the current slot began; nothing before the first use, which then is the beginning.
    since: Option<Instant>,
}

const SLOTS: usize = 10;
const RETRY: i64 = 1_000_000;

// === impl Rate ===

impl Rate {
    pub(crate) fn new(share: Share, min_per_second: u32, window: Duration) -> Self {
        let window = window.clamp(Duration::from_secs(1), Duration::from_secs(60));
        let millis = i64::try_from(window.as_millis()).unwrap_or(60_000);
        Self {
            deposit: i64::try_from(share.of(1)).unwrap_or(i64::MAX),
            // Whole numbers throughout: a second has a thousand thousandths.
            reserve: i64::from(min_per_second).saturating_mul(millis).saturating_mul(RETRY / 1_000),
            slot: window / SLOTS as u32,
            window: Mutex::new(Window { slots: [0; SLOTS], sum: 0, current: 0, since: None }),
        }
    }

    /// Counts a call.
    pub(crate) fn deposit(&self, now: Instant) {
        self.at(now).add(self.deposit);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let mut window = self.at(now);
        let enough = self.reserve.saturating_add(window.sum) >= RETRY;
        if enough {
            window.add(-RETRY);
        }
        enough
    }

    /// Puts back a retry that was taken and not made.
    pub(crate) fn put_back(&self, now: Instant) {
        self.at(now).add(RETRY);
    }

    fn at(&self, now: Instant) -> MutexGuard<'_, Window> {
        // Nothing in here panics half-way.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(now, self.slot);
        window
    }
}

// === impl Window ===

impl Window {
    fn add(&mut self, amount: i64) {
        let slot = &mut self.slots[self.current];
        let before = *slot;
        *slot = slot.saturating_add(amount);
        self.sum = self.sum.saturating_add(*slot - before);
    }

    /// Lets the slots expire whose time is over.
    ///
    /// A slot begins where the one before it ended, never at `now`: or else a busy window would grow longer with each turn.
    fn turn(&mut self, now: Instant, slot: Duration) {
        let since = *self.since.get_or_insert(now);
        let slots = now.saturating_duration_since(since).as_nanos() / slot.as_nanos();
        if slots == 0 {
            return;
        }
        if slots >= SLOTS as u128 {
            *self = Self { slots: [0; SLOTS], sum: 0, current: 0, since: Some(now) };
            return;
        }
        for _ in 0..slots {
            self.current = (self.current + 1) % SLOTS;
            self.sum -= std::mem::take(&mut self.slots[self.current]);
            self.since = self.since.map(|since| since + slot);
        }
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Published cases of Finagle's budget: window in seconds, least per second, share in millionths, retries of 10,000.
    const FINAGLE: [(u64, u32, u32, i64); 12] = [
        (60, 0, 100_000, 1_000),
        (60, 0, 500_000, 5_000),
        (60, 0, 250_000, 2_500),
        (60, 0, 750_000, 7_500),
        (60, 0, 999_000, 9_990),
        (60, 0, 999_900, 9_999),
        (60, 0, 10_000, 100),
        (60, 0, 1_000, 10),
        (1, 10, 0, 10),
        (2, 5, 0, 10),
        (1, 10, 100_000, 1_010),
        (2, 5, 500_000, 5_010),
    ];

    #[test]
    fn finagles_cases_hold_to_the_retry() {
        for (secs, min, share, expected) in FINAGLE {
            let budget = Rate::new(Share::millionths(share), min, Duration::from_secs(secs));
            let now = Instant::now();
            let mut retried = 0;
            for _ in 0..10_000 {
                budget.deposit(now);
                retried += i64::from(budget.withdraw(now));
            }
            assert_eq!(retried, expected, "{share} millionths in {secs} s, at least {min} a second");
        }
    }

    #[test]
    fn a_share_above_the_whole_gives_more_than_one_retry_a_call() {
        let budget = Rate::new(Share::percent(200), 0, Duration::from_secs(60));
        let now = Instant::now();
        (0..10_000).for_each(|_| budget.deposit(now));
        assert_eq!((0..).take_while(|_| budget.withdraw(now)).count(), 20_000);
    }

    #[test]
    fn what_was_not_used_expires_with_its_window() {
        let budget = Rate::new(Share::ONE, 0, Duration::from_secs(10));
        let start = Instant::now();
        budget.deposit(start);
        budget.deposit(start);
        assert!(budget.withdraw(start + Duration::from_secs(9)));
        assert!(!budget.withdraw(start + Duration::from_secs(10)));
    }

    #[test]
    fn a_clock_that_stands_or_leaps_does_no_harm() {
        let budget = Rate::new(Share::ONE, 0, Duration::from_secs(1));
        let start = Instant::now() + Duration::from_secs(1_000);
        budget.deposit(start);
        assert!(
            budget.withdraw(start - Duration::from_secs(500)),
            "a clock behind the last reading counts as standing"
        );
        budget.deposit(start + Duration::from_secs(86_400 * 365));
        assert!(budget.withdraw(start + Duration::from_secs(86_400 * 365)));
    }

    proptest! {
        /// In any stretch of a window less one slot there are no more retries than the calls in it bring, and the reserve.
        #[test]
        fn retries_keep_to_the_share_in_every_window(
            steps in proptest::collection::vec((0..3_000_u64, 0..4_u8), 1..300),
            percent in 0..150_u32, min in 0..3_u32,
        ) {
            let window = Duration::from_secs(10);
            let budget = Rate::new(Share::percent(percent), min, window);
            let (mut now, mut events) = (Instant::now(), Vec::new());
            for (ms, kind) in steps {
                now += Duration::from_millis(ms);
                if kind == 0 {
                    budget.deposit(now);
                    events.push((now, true));
                } else if budget.withdraw(now) {
                    events.push((now, false));
                }
            }
            let stretch = window * 9 / 10;
            for (end, _) in events.iter().filter(|(_, call)| !call) {
                let within: Vec<_> = events.iter().filter(|(at, _)| at <= end && *end - *at < window).collect();
                let recent = |at: &Instant| *end - *at < stretch;
                let retries = within.iter().filter(|(at, call)| !call && recent(at)).count() as u64;
                let calls = within.iter().filter(|(_, call)| *call).count() as u64;
                let bound = calls * u64::from(percent) / 100 + u64::from(min) * 10;
                prop_assert!(retries <= bound, "{} retries, {} calls, bound {}", retries, calls, bound);
            }
        }
    }
}
