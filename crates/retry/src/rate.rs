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
            // A thousand retries a call are as good as any number, and their sums do not overflow.
            deposit: i64::try_from(share.of(1)).unwrap_or(i64::MAX).min(1_000 * RETRY),
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

    /// Puts back a retry that was taken at `taken` and not made, unless that has expired.
    pub(crate) fn put_back(&self, taken: Instant, now: Instant) {
        let mut window = self.at(now);
        if let Some(slot) = window.slot_at(taken, self.slot) {
            window.add_to(slot, RETRY);
        }
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
        self.add_to(self.current, amount);
    }

    fn add_to(&mut self, slot: usize, amount: i64) {
        let slot = &mut self.slots[slot];
        let before = *slot;
        *slot = slot.saturating_add(amount);
        self.sum = self.sum.saturating_add(*slot - before);
    }

    /// Returns the slot that `at` fell into, if it has not expired.
    fn slot_at(&self, at: Instant, slot: Duration) -> Option<usize> {
        let age = self.since?.saturating_duration_since(at);
        let back = usize::try_from(age.as_nanos().div_ceil(slot.as_nanos())).ok()?;
        (back < SLOTS).then(|| (self.current + SLOTS - back) % SLOTS)
    }

    /// Lets the slots expire whose time is over.
    ///
    /// A slot begins where the one before it ended, never at `now`: or else a busy window would grow longer with each turn.
    fn turn(&mut self, now: Instant, slot: Duration) {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        // Compared first: the division is the dearest part of a call within the slot, and most are.
        if elapsed < slot {
            return;
        }
        let slots = elapsed.as_nanos() / slot.as_nanos();
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
    use crate::vectors::{list, number, section};
    use proptest::prelude::*;

    #[test]
    fn finagles_cases_hold_to_the_retry() {
        for case in list(&section("finagle_budget")["cases"]) {
            let window = Duration::from_secs(u64::from(number(&case["ttl_s"])));
            let share = Share::millionths(number(&case["ratio_millionths"]));
            let budget = Rate::new(share, number(&case["min_per_s"]), window);
            let now = Instant::now();
            let mut retried = 0;
            for _ in 0..10_000 {
                budget.deposit(now);
                retried += u32::from(budget.withdraw(now));
            }
            assert_eq!(retried, number(&case["retried"]), "{case}");
        }
    }

    #[test]
    fn a_share_above_the_whole_gives_more_than_one_retry_a_call() {
        let case = &section("finagle_budget")["ratio_above_one"];
        let share = Share::millionths(number(&case["ratio_millionths"]));
        let budget = Rate::new(share, 0, Duration::from_secs(60));
        let now = Instant::now();
        (0..number(&case["deposits"])).for_each(|_| budget.deposit(now));
        assert_eq!((0_u32..).take_while(|_| budget.withdraw(now)).count(), case["balance"]);
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
    fn what_is_put_back_counts_from_when_it_was_taken() {
        let budget = Rate::new(Share::percent(0), 1, Duration::from_secs(1));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(budget.withdraw(at(50)) && !budget.withdraw(at(950)));
        budget.put_back(at(50), at(950));
        assert!(budget.withdraw(at(950)), "it was never made");
        budget.put_back(at(950), at(2_000));
        assert!(budget.withdraw(at(2_000)) && !budget.withdraw(at(2_000)), "what expired comes back only once");
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

    #[test]
    fn a_share_beyond_all_bounds_does_not_overflow() {
        let budget = Rate::new(Share::percent(u32::MAX), u32::MAX, Duration::from_secs(1));
        let start = Instant::now();
        for tenth in 0..4 {
            let now = start + Duration::from_millis(100) * tenth;
            (0..300_000).for_each(|_| budget.deposit(now));
            assert!(budget.withdraw(now));
        }
        assert!(budget.withdraw(start + Duration::from_millis(1_250)), "half of what came has expired");
    }

    proptest! {
        /// In any stretch of a window less one slot there are no more retries than the calls in it bring, and the reserve.
        #[test]
        fn retries_keep_to_the_share_in_every_window(
            steps in proptest::collection::vec((0..3_000_u64, 0..5_u8), 1..300),
            percent in 0..150_u32, min in 0..3_u32,
        ) {
            let window = Duration::from_secs(10);
            let budget = Rate::new(Share::percent(percent), min, window);
            let (mut now, mut calls, mut retries) = (Instant::now(), Vec::new(), Vec::new());
            for (ms, kind) in steps {
                now += Duration::from_millis(ms);
                match kind {
                    0 => {
                        budget.deposit(now);
                        calls.push(now);
                    }
                    1 if !retries.is_empty() => budget.put_back(retries.remove(retries.len() / 2), now),
                    _ if budget.withdraw(now) => retries.push(now),
                    _ => {}
                }
            }
            for end in &retries {
                let within = |times: &[Instant], stretch| {
                    times.iter().filter(|at| *at <= end && *end - **at < stretch).count() as u64
                };
                let bound = within(&calls, window) * u64::from(percent) / 100 + u64::from(min) * 10;
                let made = within(&retries, window * 9 / 10);
                prop_assert!(made <= bound, "{} retries, bound {}", made, bound);
            }
        }
    }
}
