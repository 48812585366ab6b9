//! What is known of one target.

use std::{
    num::NonZeroU32,
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::{
    HealthPolicy, Stance,
    credentials::Credentials,
    ended::Ended,
    glance::Glance,
    latency::{Pace, PeakEwma},
    load::Load,
    standing::{Share, Standing},
    vitals::{Rests, Vitals},
    weight::Weight,
};

/// A target and what is known of it, for as long as it is one.
#[derive(Debug)]
pub(crate) struct Member {
    target: Target,
    credentials: Credentials,
    policy: HealthPolicy,
    weight: Weight,
    under_way: Load,
    /// Whether it has said how many requests it can take, so that nothing is locked where it has not.
    is_measured: AtomicBool,
    /// Whether requests have lagged there, so that nothing is locked where none has.
    has_lagged: AtomicBool,
    glance: Glance,
    vitals: Mutex<Vitals>,
}

/// A change of what is known, which is shown when it is done.
struct Change<'a> {
    vitals: MutexGuard<'a, Vitals>,
    glance: &'a Glance,
}

// === impl Member ===

impl Member {
    pub(crate) fn new(target: Target, policy: HealthPolicy) -> Self {
        let credentials = Credentials::of(&target);
        let vitals = Vitals::new(PeakEwma::new(), credentials.len());
        let (glance, vitals) = (Glance::of(&vitals), Mutex::new(vitals));
        let (weight, under_way) = (Weight::of(&target), Load::new());
        let (is_measured, has_lagged) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { target, credentials, policy, weight, under_way, is_measured, has_lagged, glance, vitals }
    }

    /// Returns the same target with other facts and all that is known of it.
    pub(crate) fn renewed(&self, target: Target) -> Self {
        let credentials = Credentials::of(&target);
        let mut vitals = self.vitals().clone();
        // What is known of a credential goes by its name.
        let known = |name: &Label| self.target.credentials().iter().position(|other| other == name);
        let parked = |name: &Label| vitals.credentials.get(known(name)?).copied().flatten();
        vitals.credentials = target.credentials().iter().map(parked).collect();
        let has_lagged = AtomicBool::new(vitals.doubt.is_any());
        let (glance, vitals) = (Glance::of(&vitals), Mutex::new(vitals));
        let weight = self.weight.renewed(&target);
        // What is under way under the old facts is counted there, and ends there.
        let (under_way, is_measured) = (Load::new(), AtomicBool::new(self.is_measured.load(Ordering::Relaxed)));
        Self { target, credentials, policy: self.policy, weight, under_way, is_measured, has_lagged, glance, vitals }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the target as it is to be asked with each of its credentials, or as it is where there is nothing to choose.
    #[inline]
    pub(crate) fn faces(&self) -> &[Target] {
        self.credentials.faces(&self.target)
    }

    /// Chooses the credential for a request that may go to the target as `open` says.
    #[inline]
    pub(crate) fn face(&self, now: Instant, open: impl Fn(&Target) -> bool) -> Option<usize> {
        if self.credentials.len() == 0 {
            return open(&self.target).then_some(0);
        }
        let vitals = self.vitals();
        let free = |face: &usize| vitals.is_credential_free(*face, now) && open(&self.faces()[*face]);
        self.credentials.order().find(free)
    }

    /// Returns whether there is no choice among credentials.
    #[inline]
    pub(crate) const fn has_one_face(&self) -> bool {
        self.credentials.len() == 0
    }

    /// Returns whether one of its credentials is free for a request that may go to the target as `open` says.
    pub(crate) fn has_face(&self, now: Instant, open: impl Fn(&Target) -> bool) -> bool {
        if self.credentials.len() == 0 {
            return open(&self.target);
        }
        let vitals = self.vitals();
        let mut faces = self.faces().iter().enumerate();
        faces.any(|(face, target)| vitals.is_credential_free(face, now) && open(target))
    }

    /// Returns until when each of its credentials is left alone.
    pub(crate) fn parked_credentials(&self, now: Instant) -> Vec<Option<Instant>> {
        self.vitals().credentials.iter().map(|until| until.filter(|until| now < *until)).collect()
    }

    /// Forgets what is held against one of its credentials. Returns whether it has that.
    pub(crate) fn renew_credential(&self, name: &Label) -> bool {
        let at = self.target.credentials().iter().position(|other| other == name);
        at.is_some_and(|at| self.change().renew_credential(at))
    }

    /// Returns its weight beside the others.
    #[inline]
    pub(crate) fn weight(&self) -> NonZeroU32 {
        self.weight.get()
    }

    pub(crate) fn weigh(&self, weight: NonZeroU32) {
        self.weight.set(weight);
    }

    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.under_way.all()
    }

    #[inline]
    pub(crate) fn began(&self) {
        self.under_way.began();
    }

    /// Notes that an answer has begun, and goes on.
    pub(crate) fn answered(&self) {
        self.under_way.answered();
    }

    /// Notes that an answer that had begun is over.
    pub(crate) fn left(&self) {
        self.under_way.left();
    }

    /// Notes that a request is over whose answer had not begun.
    #[inline]
    pub(crate) fn left_unanswered(&self) {
        self.under_way.left_unanswered();
    }

    /// Takes one of the requests that the target can take by its own word. Returns whether there was one.
    #[inline]
    pub(crate) fn claim(&self, now: Instant) -> bool {
        if !self.is_measured.load(Ordering::Relaxed) {
            return true;
        }
        let mut vitals = self.change();
        let claimed = vitals.claim(now);
        self.is_measured.store(vitals.spare.is_some(), Ordering::Relaxed);
        claimed
    }

    /// Gives back what was claimed for a request that was not sent.
    pub(crate) fn unclaim(&self) {
        if self.is_measured.load(Ordering::Relaxed) {
            self.change().unclaim();
        }
    }

    #[inline]
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.glance.score() {
            Some(score) => Standing::Up(Share { score, ease: 1.0, scarce: None }),
            None => self.vitals().standing(&self.policy, now),
        }
    }

    /// Returns how long the target takes.
    #[inline]
    pub(crate) fn pace(&self, now: Instant) -> Pace {
        match self.glance.score() {
            Some(_) => Pace { latency: self.glance.latency(now), in_doubt: false },
            None => self.vitals().pace(now),
        }
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

    /// Returns what a request more would cost there: its latency, times what is under way, by its weight. A target that was
    /// never measured costs nothing while nothing is under way, so that it is measured, and much as soon as something is.
    #[inline]
    pub(crate) fn cost(&self, factor: f64, pace: Pace) -> f64 {
        const UNKNOWN: f64 = 1e3;
        let pending = f64::from(self.pending());
        let weight = f64::from(self.weight().get()) * factor.max(1e-3);
        match pace.latency {
            Some(latency) => (latency + 1e-6) * (pending + 1.0) / weight,
            None if pending == 0.0 => 0.0,
            None => UNKNOWN * pending / weight,
        }
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
        if let Some(headroom) = attempt.headroom {
            match attempt.credential.filter(|_| self.target.has_limits_by_credential()) {
                Some(credential) => vitals.reckon_credential(credential, headroom, rests.longest, now),
                None => {
                    // This one is answered, and counted there already.
                    let others = self.under_way.unanswered().saturating_sub(1);
                    vitals.reckon(headroom, others, rests.longest, now);
                    self.is_measured.store(vitals.spare.is_some(), Ordering::Relaxed);
                }
            }
        }
        !(was_up && vitals.is_up(policy, now))
    }

    /// Notes that an answer that was noted at its head was served to its end.
    pub(crate) fn served(&self, now: Instant) {
        let mut vitals = self.change();
        let nanos = vitals.count_nanos(now);
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

    /// Notes that nobody waited longer for an answer than `waited`: the target is at least that slow.
    pub(crate) fn abandoned(&self, waited: Duration, now: Instant) {
        let mut vitals = self.change();
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
        self.has_lagged.store(true, Ordering::Relaxed);
    }

    /// Notes that an attempt that began at `begun` was answered in time.
    pub(crate) fn kept_up(&self, begun: Instant) {
        if self.has_lagged.load(Ordering::Relaxed) {
            let mut vitals = self.change();
            vitals.doubt.kept_up(begun);
            self.has_lagged.store(vitals.doubt.is_any(), Ordering::Relaxed);
        }
    }

    pub(crate) fn set_stance(&self, stance: Stance) {
        self.change().stance = stance;
    }

    /// Forgets all that was held against the target.
    pub(crate) fn restore(&self) {
        self.weight.reset(&self.target);
        let mut vitals = self.change();
        *vitals = Vitals { since: vitals.since, ..Vitals::new(vitals.latency, self.credentials.len()) };
    }

    /// Lets what is known be changed.
    fn change(&self) -> Change<'_> {
        Change { vitals: self.vitals(), glance: &self.glance }
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        // Nothing that could panic leaves it half changed.
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Change ===

impl Deref for Change<'_> {
    type Target = Vitals;

    fn deref(&self) -> &Vitals {
        &self.vitals
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Vitals {
        &mut self.vitals
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.glance.show(&self.vitals);
    }
}

#[cfg(test)]
mod tests;
