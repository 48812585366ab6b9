//! How much is sent to a target that is out, where all are.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::member::Member;

/// How much is sent to a target that is out, where all are.
///
/// What matters goes to the least bad target then, and a thousand that do so at once would keep it from getting well. So few
/// are under way at a time. Each that is served lets one more in, so that the number doubles with each round
/// ([slow start](https://www.rfc-editor.org/rfc/rfc5681#section-3.1)); each that fails halves it, and a few failures in a row
/// are followed by a rest. Where none comes back at all, one more goes each second.
#[derive(Clone, Debug)]
pub(crate) struct Trials {
    under_way: u32,
    /// How many may be under way at a time.
    window: u32,
    /// How many failed since the last that was served.
    run: u32,
    rests_until: Option<Instant>,
    /// When the last one began.
    last: Option<Instant>,
}

/// A request under way to a target that is out. Whoever drops it gives back its place.
#[derive(Debug)]
pub(crate) struct Trial(Arc<Member>);

// === impl Trials ===

impl Trials {
    /// How many are under way at a time as long as none was served, and how many fail before there is a rest.
    pub(crate) const FEW: u32 = 3;
    const MOST: u32 = 1 << 16;
    /// One more is sent after this time, however many have not come back.
    pub(crate) const EVERY: Duration = Duration::from_secs(1);
    const FIRST_REST: Duration = Duration::from_millis(100);
    /// After so long a time nothing is known any more.
    const FORGOTTEN: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { under_way: 0, window: Self::FEW, run: 0, rests_until: None, last: None }
    }

    /// Returns the same with none under way: those are counted elsewhere.
    pub(crate) const fn renewed(&self) -> Self {
        Self { under_way: 0, ..*self }
    }

    /// Takes a place for a request. Returns whether there was one.
    pub(crate) fn claim(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) >= Self::FORGOTTEN) {
            *self = Self { under_way: self.under_way, ..Self::new() };
        }
        let may = self.next(now).is_none();
        if may {
            self.under_way = self.under_way.saturating_add(1);
            self.last = Some(now);
        }
        may
    }

    /// Returns when the next one may be sent; `None` if that is now.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let rests = self.rests_until.filter(|until| now < *until);
        let last = self.last.filter(|_| self.under_way >= self.window);
        let full = last.map(|last| last + Self::EVERY).filter(|until| now < *until);
        rests.max(full)
    }

    /// Returns when it is worth asking again for a place; `None` if there is one now. Those under way may be over soon, and
    /// nobody knows when.
    pub(crate) fn worth_asking(&self, now: Instant) -> Option<Instant> {
        let next = self.next(now)?;
        let rests = self.rests_until.is_some_and(|until| now < until);
        Some(if rests { next } else { next.min(now + Self::FIRST_REST) })
    }

    /// Notes that one was served.
    pub(crate) fn served(&mut self) {
        self.window = self.window.saturating_add(1).min(Self::MOST);
        (self.run, self.rests_until) = (0, None);
    }

    /// Notes that one failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.window = (self.window / 2).max(Self::FEW);
        self.run = self.run.saturating_add(1);
        if let Some(doublings) = self.run.checked_sub(Self::FEW) {
            let rest = Self::FIRST_REST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
            self.rests_until = Some(now + rest.min(Self::EVERY));
        }
    }

    /// Notes that one is over, whatever it came to.
    pub(crate) fn left(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

// === impl Trial ===

impl Trial {
    /// Takes a place at `member`, which is out; `None` if there is none for now.
    pub(crate) fn claim(member: &Arc<Member>, now: Instant) -> Option<Arc<Self>> {
        member.change().trials.claim(now).then(|| Arc::new(Self(Arc::clone(member))))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.change().trials.left();
    }
}

// === impl Member ===

impl Member {
    /// Returns when it is worth asking whether a request may be sent although the target is out, where all are; `None` if
    /// it may be sent now.
    pub(crate) fn next_trial(&self, now: Instant) -> Option<Instant> {
        self.known.vitals().trials.worth_asking(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Takes all places that there are.
    fn fill(trials: &mut Trials, now: Instant) -> u32 {
        (0..10_000).take_while(|_| trials.claim(now)).count() as u32
    }

    #[test]
    fn few_are_under_way_at_a_time_and_one_more_each_second_where_none_comes_back() {
        let (now, mut trials) = (Instant::now(), Trials::new());
        assert_eq!(fill(&mut trials, now), Trials::FEW);
        assert_eq!(trials.next(now), Some(now + Trials::EVERY));
        assert_eq!(fill(&mut trials, now + ms(999)), 0);
        assert_eq!(trials.worth_asking(now), Some(now + Trials::FIRST_REST), "they may be back before that");
        for second in 1..5 {
            assert_eq!(fill(&mut trials, now + ms(1_000 * second)), 1);
        }
    }

    #[test]
    fn those_that_are_served_double_what_may_be_sent_with_each_round() {
        let (now, mut trials) = (Instant::now(), Trials::new());
        let rounds = (0..5).map(|_| {
            let sent = fill(&mut trials, now);
            (0..sent).for_each(|_| trials.served());
            (0..sent).for_each(|_| trials.left());
            sent
        });
        assert_eq!(rounds.collect::<Vec<_>>(), [3, 6, 12, 24, 48]);
        trials.failed(now);
        assert_eq!(fill(&mut trials, now), 48, "half of 96, and one failure is no reason to rest");
    }

    #[test]
    fn failures_in_a_row_are_followed_by_ever_longer_rests_and_one_success_ends_them() {
        let (mut now, mut trials, mut rests) = (Instant::now(), Trials::new(), Vec::new());
        for _ in 0..8 {
            assert!(trials.claim(now));
            trials.failed(now);
            trials.left();
            let next = trials.next(now).unwrap_or(now);
            rests.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(rests, [0, 0, 100, 200, 400, 800, 1_000, 1_000]);
        assert!(trials.claim(now));
        trials.served();
        assert_eq!(trials.next(now), None);
    }

    #[test]
    fn what_was_learned_long_ago_counts_no_more() {
        let (now, mut trials) = (Instant::now(), Trials::new());
        assert!(trials.claim(now));
        (0..100).for_each(|_| trials.served());
        trials.left();
        assert_eq!(fill(&mut trials, now + Trials::FORGOTTEN), Trials::FEW);
    }

    proptest! {
        #[test]
        fn a_target_that_serves_nobody_sees_few_at_a_time_and_few_more_in_a_second(
            steps in proptest::collection::vec((0..3_u8, 0..2_000_u64), 1..300)
        ) {
            let (begun, mut trials, mut under_way, mut sent) = (Instant::now(), Trials::new(), 0_u32, 0_u32);
            let mut now = begun;
            for (what, after) in steps {
                now += ms(after);
                if what < 2 {
                    let more = fill(&mut trials, now);
                    (sent, under_way) = (sent + more, under_way + more);
                    prop_assert!(more <= Trials::FEW);
                } else if under_way > 0 {
                    trials.failed(now);
                    trials.left();
                    under_way -= 1;
                }
                // A run of failures rests between 100 ms and a second: 12 at most in the first second of it.
                let seconds = (now - begun).as_secs() as u32;
                prop_assert!(sent <= 4 * Trials::FEW + (seconds + 1) * (Trials::FEW + 1), "{sent} in {seconds} s");
            }
        }
    }
}
