//! What is known of one target.

use std::{
    num::NonZeroU32,
    sync::{MutexGuard, atomic::Ordering},
    time::Duration,
};

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::{
    HealthPolicy, Stance,
    credentials::Credentials,
    ended::Ended,
    epoch::Epoch,
    known::{Change, Known},
    latency::{Pace, PeakEwma},
    standing::{Share, Standing},
    vitals::{Rests, Vitals},
};

/// A target and what is known of it, for as long as it is one.
#[derive(Debug)]
pub(crate) struct Member {
    target: Target,
    pub(crate) credentials: Credentials,
    policy: HealthPolicy,
    pub(crate) known: Known,
}

// === impl Member ===

impl Member {
    /// Knows nothing of `target` yet. Its times are counted from `epoch`.
    pub(crate) fn new(target: Target, policy: HealthPolicy, epoch: &Epoch) -> Self {
        let credentials = Credentials::of(&target);
        let vitals = Vitals::new(PeakEwma::new(), credentials.len(), epoch);
        let known = Known::new(&target, vitals);
        Self { target, credentials, policy, known }
    }

    /// Returns the same target with other facts and all that is known of it.
    pub(crate) fn renewed(&self, target: Target) -> Self {
        let credentials = Credentials::of(&target);
        let mut vitals = self.vitals().clone();
        // What is known of a credential goes by its name.
        let known = |name: &Label| self.target.credentials().iter().position(|other| other == name);
        let parked = |name: &Label| vitals.credentials.get(known(name)?).copied().flatten();
        vitals.credentials = target.credentials().iter().map(parked).collect();
        // What is under way under the old facts is counted there, and ends there.
        vitals.attempts = 0;
        let mut known = Known::new(&target, vitals);
        known.glance.weight = self.known.glance.weight.renewed(&target);
        Self { target, credentials, policy: self.policy, known }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Returns its weight beside the others.
    #[inline]
    pub(crate) fn weight(&self) -> NonZeroU32 {
        self.known.glance.weight.get()
    }

    pub(crate) fn weigh(&self, weight: NonZeroU32) {
        self.known.glance.weight.set(weight);
    }

    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.known.glance.under_way.all()
    }

    #[inline]
    pub(crate) fn began(&self) {
        self.known.glance.under_way.began();
    }

    /// Notes that an answer has begun, and goes on.
    pub(crate) fn answered(&self) {
        self.known.glance.under_way.answered();
    }

    /// Notes that an answer that had begun is over.
    pub(crate) fn left(&self) {
        self.known.glance.under_way.left();
    }

    /// Notes that a request is over whose answer had not begun.
    #[inline]
    pub(crate) fn left_unanswered(&self) {
        self.known.glance.under_way.left_unanswered();
    }

    /// Takes one of the requests that the target can take by its own word. Returns whether there was one.
    #[inline]
    pub(crate) fn claim(&self, now: Instant) -> bool {
        if !self.known.glance.is_measured.load(Ordering::Relaxed) {
            return true;
        }
        let mut vitals = self.change();
        let claimed = vitals.claim(now);
        self.known.glance.is_measured.store(vitals.spare.is_some(), Ordering::Relaxed);
        claimed
    }

    /// Gives back what was claimed for a request that was not sent.
    pub(crate) fn unclaim(&self) {
        if self.known.glance.is_measured.load(Ordering::Relaxed) {
            self.change().unclaim();
        }
    }

    #[inline]
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.known.glance.score() {
            Some(score) => Standing::Up(Share { score, ease: 1.0, scarce: None, most: u32::MAX }),
            None => self.vitals().standing(&self.policy, now),
        }
    }

    /// Returns how long the target takes.
    #[inline]
    pub(crate) fn pace(&self, now: Instant) -> Pace {
        match self.known.glance.score() {
            Some(_) => Pace { latency: self.known.glance.latency(now), in_doubt: false },
            None => self.vitals().pace(now),
        }
    }

    /// Returns whether the target was out of late, and has as much as it may be asked after that.
    pub(crate) fn is_congested(&self, now: Instant) -> bool {
        self.known.glance.score().is_none() && !self.has_room(self.vitals().most(&self.policy, now))
    }

    /// Returns whether fewer than `most` requests wait there for their answer to begin. Of several that look at the same time, each
    /// may be the one more.
    #[inline]
    pub(crate) fn has_room(&self, most: u32) -> bool {
        self.known.glance.under_way.unanswered() < most
    }

    /// Returns how the target stands, and the part of its requests of late that failed, where enough is known.
    pub(crate) fn survey(&self, now: Instant) -> (Standing, Option<f64>) {
        let vitals = self.vitals();
        (vitals.standing(&self.policy, now), vitals.window.rate(vitals.nanos(now)))
    }

    /// Says whether the target fails far more often than the others.
    pub(crate) fn set_outlier(&self, outlier: bool) {
        self.change().outlier = outlier;
    }

    pub(crate) fn is_outlier(&self) -> bool {
        self.vitals().outlier
    }

    /// Returns whether the target said of late that it does not have `model`.
    pub(crate) fn lacks(&self, model: &Label, now: Instant) -> bool {
        self.vitals().gone.iter().any(|(gone, until)| gone == model && now < *until)
    }

    /// Returns what a request more would cost there, at the pace that was looked up. See [`Glance::cost`].
    ///
    /// [`Glance::cost`]: crate::glance::Glance::cost
    #[inline]
    pub(crate) fn cost(&self, factor: f64, pace: Pace) -> f64 {
        self.known.glance.cost(factor, pace.latency)
    }

    /// Returns what a request more would cost there at `nanos` from the epoch, if the target simply serves.
    #[inline]
    pub(crate) fn cost_at(&self, nanos: u64) -> Option<f64> {
        self.known.glance.cost_at(nanos)
    }

    /// Returns whether the target simply serves.
    #[inline]
    pub(crate) fn serves(&self) -> bool {
        self.known.glance.score().is_some()
    }

    /// Returns the measured latency in seconds, if there is one.
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        self.pace(now).latency
    }

    /// Claims the one request that may be sent to a target that is out, if it is time for it.
    pub(crate) fn claim_probe(&self, now: Instant) -> bool {
        let mut vitals = self.change();
        let due = matches!(vitals.standing(&self.policy, now), Standing::Out(at) if at <= now);
        due && vitals.health.probe(&self.policy, now)
    }

    /// Notes what an attempt came to, and what follows for the next ones. Returns whether it may be asked no more, or again.
    #[inline]
    pub(crate) fn note(&self, rests: &Rests, attempt: &Ended<'_>, now: Instant) -> bool {
        let (policy, mut vitals) = (&self.policy, self.change());
        let was_up = vitals.is_plain() || {
            vitals.settle(now);
            vitals.is_up(policy, now)
        };
        attempt.tell(&mut vitals, policy, rests, now);
        let begun = now.checked_sub(attempt.elapsed).unwrap_or(now);
        vitals.bound(policy, attempt.class, begun, self.known.glance.under_way.unanswered(), now);
        // The end of an answer is no attempt of its own.
        vitals.attempts += u64::from(attempt.at.is_some());
        if let Some(headroom) = attempt.headroom {
            match attempt.credential.filter(|_| self.target.has_limits_by_credential()) {
                Some(credential) => vitals.reckon_credential(credential, headroom, rests.longest, now),
                None => {
                    // This one is answered, and counted there already.
                    let others = self.known.glance.under_way.unanswered().saturating_sub(1);
                    vitals.reckon(headroom, others, rests.longest, now);
                    self.known.glance.is_measured.store(vitals.spare.is_some(), Ordering::Relaxed);
                }
            }
        }
        !(was_up && vitals.is_up(policy, now))
    }

    /// Notes that an answer that was noted at its head was served to its end.
    pub(crate) fn served(&self, now: Instant) {
        let mut vitals = self.change();
        let nanos = vitals.nanos(now);
        vitals.succeeded(&self.policy, now, nanos);
    }

    /// Parks the target for `time`: nothing is left of what it may be asked.
    pub(crate) fn park(&self, time: Duration, now: Instant) {
        self.change().park(time, now);
    }

    /// Takes what an active probe without tokens came to. It can bring a look forward, and never a target back.
    pub(crate) fn probed(&self, alive: bool, now: Instant) {
        let mut vitals = self.change();
        if alive {
            vitals.health.look_again(now);
        } else {
            vitals.health.failed(&self.policy, now);
        }
    }

    /// Takes that probes have failed for good: the target is out.
    pub(crate) fn fell(&self, now: Instant) {
        self.change().health.fell(&self.policy, now);
    }

    pub(crate) fn stance(&self) -> Stance {
        self.vitals().stance
    }

    /// Returns the part of its weight that counts, as far as its health goes.
    pub(crate) fn health(&self, now: Instant) -> f64 {
        self.vitals().health.factor(&self.policy, now)
    }

    /// Returns how many attempts have come to an end there.
    pub(crate) fn attempts(&self) -> u64 {
        self.vitals().attempts
    }

    /// Notes that a layer further in refused an attempt: that says nothing of the target.
    pub(crate) fn turned_back(&self) {
        self.change().attempts += 1;
    }

    /// Notes that nobody waited longer for an answer than `waited`: the target is at least that slow.
    pub(crate) fn abandoned(&self, waited: Duration, now: Instant) {
        let mut vitals = self.change();
        vitals.attempts += 1;
        let nanos = vitals.nanos(now);
        if vitals.latency.value(nanos).is_some_and(|known| known < waited.as_secs_f64()) {
            vitals.latency.observe(waited, nanos);
        }
    }

    /// Notes that an attempt that began at `begun` was slow: it took `time`, or was overtaken by then. `by_chance` in a row
    /// befall a target that is well.
    pub(crate) fn lagged(&self, begun: Instant, time: Duration, by_chance: u32, now: Instant) {
        let mut vitals = self.change();
        let known = vitals.latency.value(vitals.nanos(now)).unwrap_or(0.0).max(time.as_secs_f64());
        vitals.doubt.lagged(begun, known, by_chance, now);
        self.known.glance.has_lagged.store(true, Ordering::Relaxed);
    }

    /// Notes that an attempt that began at `begun` was answered in time.
    pub(crate) fn kept_up(&self, begun: Instant) {
        if self.known.glance.has_lagged.load(Ordering::Relaxed) {
            let mut vitals = self.change();
            vitals.doubt.kept_up(begun);
            self.known.glance.has_lagged.store(vitals.doubt.is_any(), Ordering::Relaxed);
        }
    }

    pub(crate) fn set_stance(&self, stance: Stance) {
        self.change().stance = stance;
    }

    /// Forgets all that was held against the target.
    pub(crate) fn restore(&self) {
        self.known.glance.weight.reset(&self.target);
        let mut vitals = self.change();
        let fresh = Vitals::new(vitals.latency, self.credentials.len(), &vitals.epoch);
        *vitals = Vitals { attempts: vitals.attempts, ..fresh };
    }

    fn change(&self) -> Change<'_> {
        self.known.change()
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.known.vitals()
    }
}

#[cfg(test)]
mod tests;
