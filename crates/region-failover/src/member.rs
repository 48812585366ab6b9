//! What is known of one target.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use buttress_core::{Class, Label, Target, Verdict};
use tokio::time::Instant;

use crate::{HealthPolicy, health::Health, latency::PeakEwma};

/// A target and what is known of it, for as long as it is one.
#[derive(Debug)]
pub(crate) struct Member {
    target: Target,
    /// The requests under way there.
    pending: AtomicU32,
    vitals: Mutex<Vitals>,
}

#[derive(Debug)]
struct Vitals {
    health: Health,
    latency: PeakEwma,
    /// It asked to be left alone until then, or cannot serve anybody until then.
    parked: Option<Instant>,
    /// The models it says it does not have, each until a time.
    gone: Vec<(Label, Instant)>,
    stance: Stance,
}

/// What an operator wants of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stance {
    /// It serves.
    #[default]
    InService,
    /// It gets no new requests; those under way end in their own time.
    Drained,
}

/// What one look at a target says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    /// It serves, with this part of its weight.
    Up(f64),
    /// It is out for its health. It may see a request at this time.
    Out(Instant),
    /// It is not to be asked before this time.
    Parked(Instant),
    /// An operator has taken it out.
    Drained,
}

/// How long a target is left alone that has given no time of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rests {
    pub(crate) throttled: Duration,
    pub(crate) quota: Duration,
    pub(crate) credential: Duration,
    pub(crate) model: Duration,
    /// The longest that a target's own word counts.
    pub(crate) longest: Duration,
}

// === impl Rests ===

impl Rests {
    pub(crate) const DEFAULT: Self = Self {
        throttled: Duration::from_secs(1),
        quota: Duration::from_secs(5 * 60),
        credential: Duration::from_secs(30 * 60),
        model: Duration::from_secs(10 * 60),
        longest: Duration::from_secs(60 * 60),
    };
}

// === impl Member ===

impl Member {
    /// A failure counts as a latency of at least this, so that the faster a target fails the less it attracts.
    const PENALTY: Duration = Duration::from_secs(5);
    /// How many models a target may be known not to have.
    const MAX_GONE: usize = 64;

    pub(crate) const fn new(target: Target) -> Self {
        let vitals = Vitals {
            health: Health::new(),
            latency: PeakEwma::new(),
            parked: None,
            gone: Vec::new(),
            stance: Stance::InService,
        };
        Self { target, pending: AtomicU32::new(0), vitals: Mutex::new(vitals) }
    }

    /// Returns the same target with other facts and all that is known of it.
    pub(crate) fn renewed(&self, target: Target) -> Self {
        let vitals = self.vitals();
        let Vitals { health, latency, parked, stance, .. } = *vitals;
        let vitals = Vitals { health, latency, parked, gone: vitals.gone.clone(), stance };
        // What is under way under the old facts is counted there, and ends there.
        Self { target, pending: AtomicU32::new(0), vitals: Mutex::new(vitals) }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn began(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn standing(&self, policy: &HealthPolicy, now: Instant) -> Standing {
        self.vitals().standing(policy, now)
    }

    /// Returns whether the target said of late that it does not have `model`.
    pub(crate) fn lacks(&self, model: &Label, now: Instant) -> bool {
        self.vitals().gone.iter().any(|(gone, until)| gone == model && now < *until)
    }

    /// Returns what a request more would cost there: its latency, times what is under way, by its weight. A target that was
    /// never measured costs nothing while nothing is under way, so that it is measured, and much as soon as something is.
    pub(crate) fn cost(&self, factor: f64, now: Instant) -> f64 {
        const UNKNOWN: f64 = 1e3;
        let pending = f64::from(self.pending());
        let latency = self.vitals().latency.value(now);
        let weight = f64::from(self.target.capacity().get()) * factor.max(1e-3);
        match latency {
            Some(latency) => (latency + 1e-6) * (pending + 1.0) / weight,
            None if pending == 0.0 => 0.0,
            None => UNKNOWN * pending / weight,
        }
    }

    /// Returns the measured latency in seconds, if there is one.
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        self.vitals().latency.value(now)
    }

    /// Claims the one request that may be sent to a target that is out, if it is time for it.
    pub(crate) fn claim_probe(&self, policy: &HealthPolicy, now: Instant) -> bool {
        let mut vitals = self.vitals();
        matches!(vitals.standing(policy, now), Standing::Out(at) if at <= now) && vitals.health.probe(policy, now)
    }

    /// Notes what an attempt came to, and what follows for the next ones. Returns whether it may be asked no more, or again.
    pub(crate) fn note(&self, policy: &HealthPolicy, rests: &Rests, attempt: &Ended<'_>, now: Instant) -> bool {
        let Class { verdict, hint, .. } = attempt.class;
        let mut vitals = self.vitals();
        let before = vitals.standing(policy, now);
        let asked = hint.after.map(|after| after.min(rests.longest));
        match verdict {
            Verdict::Success => {
                vitals.health.succeeded(policy, now);
                vitals.latency.observe(attempt.elapsed, now);
            }
            Verdict::Slow => vitals.latency.observe(attempt.elapsed, now),
            Verdict::Transient | Verdict::Truncated => {
                vitals.health.failed(policy, now);
                let penalty = Self::PENALTY.max(asked.unwrap_or_default()).max(attempt.elapsed);
                vitals.latency.observe(penalty, now);
                if let Some(asked) = asked {
                    vitals.park(asked, now);
                }
            }
            Verdict::RateLimited => vitals.park(asked.unwrap_or(rests.throttled), now),
            // Full as it was meant to be: no fault, and no wait beyond the target's own word.
            Verdict::CapacityByDesign => vitals.park(asked.unwrap_or(rests.throttled), now),
            Verdict::QuotaExhausted => vitals.park(asked.unwrap_or(rests.quota), now),
            Verdict::CredentialDead => vitals.park(asked.unwrap_or(rests.credential), now),
            Verdict::ModelGone => {
                if let Some(model) = attempt.model {
                    vitals.lack(model, rests.model, now);
                }
            }
            // About the request, or the caller: they say nothing of the target.
            _ => {}
        }
        !matches!((before, vitals.standing(policy, now)), (Standing::Up(_), Standing::Up(_)))
    }

    /// Parks the target for `time`: nothing is left of what it may be asked.
    pub(crate) fn park(&self, time: Duration, now: Instant) {
        self.vitals().park(time, now);
    }

    /// Takes what an active probe without tokens came to. It can bring a look forward, and never a target back.
    pub(crate) fn probed(&self, policy: &HealthPolicy, alive: bool, now: Instant) {
        let mut vitals = self.vitals();
        if alive {
            vitals.health.look_again(now);
        } else {
            vitals.health.failed(policy, now);
        }
    }

    pub(crate) fn stance(&self) -> Stance {
        self.vitals().stance
    }

    /// Returns the part of its weight that counts, as far as its health goes.
    pub(crate) fn health(&self, policy: &HealthPolicy, now: Instant) -> f64 {
        self.vitals().health.factor(policy, now)
    }

    /// Notes that nobody waited longer for an answer than `waited`: the target is at least that slow.
    pub(crate) fn abandoned(&self, waited: Duration, now: Instant) {
        let mut vitals = self.vitals();
        if vitals.latency.value(now).is_some_and(|known| known < waited.as_secs_f64()) {
            vitals.latency.observe(waited, now);
        }
    }

    pub(crate) fn set_stance(&self, stance: Stance) {
        self.vitals().stance = stance;
    }

    /// Forgets all that was held against the target.
    pub(crate) fn restore(&self) {
        let mut vitals = self.vitals();
        *vitals = Vitals {
            health: Health::new(),
            latency: vitals.latency,
            parked: None,
            gone: Vec::new(),
            stance: Stance::InService,
        };
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        // Nothing that could panic leaves it half changed.
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) class: Class,
    pub(crate) model: Option<&'a Label>,
    pub(crate) elapsed: Duration,
}

// === impl Vitals ===

impl Vitals {
    fn standing(&self, policy: &HealthPolicy, now: Instant) -> Standing {
        if self.stance == Stance::Drained {
            return Standing::Drained;
        }
        if let Some(until) = self.parked.filter(|until| now < *until) {
            return Standing::Parked(until);
        }
        match self.health.returns_at(policy, now) {
            Some(at) => Standing::Out(at),
            None => Standing::Up(self.health.factor(policy, now)),
        }
    }

    /// The longer of two times counts.
    fn park(&mut self, time: Duration, now: Instant) {
        let until = now.checked_add(time);
        self.parked = self.parked.max(until);
    }

    fn lack(&mut self, model: &Label, time: Duration, now: Instant) {
        self.gone.retain(|(gone, until)| gone != model && now < *until);
        // Whoever asks for a thousand models that do not exist pushes out no other's.
        if self.gone.len() < Member::MAX_GONE
            && let Some(until) = now.checked_add(time)
        {
            self.gone.push((model.clone(), until));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::{Outcome, RetryHint};

    const POLICY: HealthPolicy = HealthPolicy::DEFAULT;
    const RESTS: Rests = Rests::DEFAULT;

    fn member() -> Member {
        Member::new(Target::named("east").unwrap())
    }

    fn note(member: &Member, verdict: Verdict, hint: Option<u64>, now: Instant) {
        let hint = RetryHint { after: hint.map(Duration::from_secs), should_retry: None };
        let class = Class::new(verdict, Outcome::Word("test")).with_hint(hint);
        let model = Label::try_new("gpt").unwrap();
        let ended = Ended { class, model: Some(&model), elapsed: Duration::from_millis(50) };
        member.note(&POLICY, &RESTS, &ended, now);
    }

    #[test]
    fn each_verdict_has_its_consequence_for_the_requests_to_come() {
        let now = Instant::now();
        let parked = |secs| Standing::Parked(now + Duration::from_secs(secs));
        for (verdict, hint, expected) in [
            (Verdict::Success, None, Standing::Up(1.0)),
            (Verdict::RateLimited, Some(30), parked(30)),
            (Verdict::RateLimited, None, parked(1)),
            (Verdict::CapacityByDesign, Some(2), parked(2)),
            (Verdict::QuotaExhausted, None, parked(300)),
            (Verdict::CredentialDead, None, parked(1800)),
            (Verdict::QuotaExhausted, Some(999_999), parked(3600)),
            (Verdict::Transient, Some(7), parked(7)),
            (Verdict::Transient, None, Standing::Up(0.9)),
            (Verdict::CallerFault, Some(9), Standing::Up(1.0)),
            (Verdict::ContentFiltered, None, Standing::Up(1.0)),
            (Verdict::ContextTooLong, None, Standing::Up(1.0)),
            (Verdict::Cancelled, None, Standing::Up(1.0)),
            (Verdict::ModelGone, None, Standing::Up(1.0)),
        ] {
            let member = member();
            note(&member, verdict, hint, now);
            assert_eq!(member.standing(&POLICY, now), expected, "{verdict}");
        }
    }

    #[test]
    fn a_model_that_is_gone_is_gone_for_that_target_alone_and_for_a_while() {
        let (now, member) = (Instant::now(), member());
        let [gone, other] = ["gpt", "other"].map(|name| Label::try_new(name).unwrap());
        note(&member, Verdict::ModelGone, None, now);
        assert!(member.lacks(&gone, now) && !member.lacks(&other, now));
        assert!(!member.lacks(&gone, now + RESTS.model));
    }

    #[test]
    fn names_that_no_target_has_cannot_grow_memory() {
        let (now, member) = (Instant::now(), member());
        for i in 0..10_000 {
            let model = Label::try_new(&format!("m{i}")).unwrap();
            let class = Class::new(Verdict::ModelGone, Outcome::Word("test"));
            member.note(&POLICY, &RESTS, &Ended { class, model: Some(&model), elapsed: Duration::ZERO }, now);
        }
        assert_eq!(member.vitals().gone.len(), Member::MAX_GONE);
    }

    #[test]
    fn a_target_that_fails_fast_does_not_attract_requests_by_it() {
        let (now, fast, slow) = (Instant::now(), member(), member());
        note(&slow, Verdict::Success, None, now);
        note(&fast, Verdict::Success, None, now);
        note(&fast, Verdict::Transient, None, now);
        assert!(fast.cost(0.9, now) > 50.0 * slow.cost(1.0, now));
    }

    #[test]
    fn a_target_that_was_never_measured_is_measured_once_and_not_flooded() {
        let (now, new, known) = (Instant::now(), member(), member());
        note(&known, Verdict::Success, None, now);
        assert!(new.cost(1.0, now) < known.cost(1.0, now));
        new.began();
        assert!(new.cost(1.0, now) > known.cost(1.0, now));
    }

    #[test]
    fn an_operator_takes_a_target_out_and_puts_it_back() {
        let (now, member) = (Instant::now(), member());
        note(&member, Verdict::RateLimited, Some(30), now);
        member.set_stance(Stance::Drained);
        assert_eq!(member.standing(&POLICY, now), Standing::Drained);
        member.restore();
        assert_eq!(member.standing(&POLICY, now), Standing::Up(1.0));
    }
}
