//! What changes of what is known of a target.

use std::time::Duration;

use buttress_core::{Class, Headroom, Label};
use tokio::time::Instant;

use crate::{
    HealthPolicy,
    congestion::Congestion,
    doubt::Doubt,
    epoch::Epoch,
    health::Health,
    latency::{Pace, PeakEwma},
    standing::{Share, Standing},
    window::Window,
};

/// What changes of what is known of a target.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    /// From where the times of latency and window are counted.
    pub(crate) epoch: Epoch,
    pub(crate) health: Health,
    /// How much it may be asked: while it is out, and for a while after that.
    pub(crate) congestion: Option<Congestion>,
    pub(crate) latency: PeakEwma,
    pub(crate) doubt: Doubt,
    /// It asked to be left alone until then, or cannot serve anybody until then.
    pub(crate) parked: Option<Instant>,
    /// The models it says it does not have, each until a time.
    pub(crate) gone: Vec<(Label, Instant)>,
    pub(crate) stance: Stance,
    pub(crate) window: Window,
    /// It fails far more often than the others.
    pub(crate) outlier: bool,
    /// By its own word there is little left there until then.
    pub(crate) scarce: Option<Instant>,
    /// Until when each of its credentials is left alone, where it has several.
    pub(crate) credentials: Vec<Option<Instant>>,
    /// How many requests it can take, and until when that holds, by its own word.
    pub(crate) spare: Option<(u64, Instant)>,
    /// How many attempts have come to an end there, for better or worse.
    pub(crate) attempts: u64,
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

// === impl Vitals ===

impl Vitals {
    /// A target counts for this part of its weight while little is left there, or it fails far more often than the others.
    const LESS: f64 = 0.1;
    /// How many models a target may be known not to have.
    pub(crate) const MAX_GONE: usize = 64;
    /// In percent: a target with less than this left of one of its limits counts for less.
    const SCARCE: u8 = 2;

    pub(crate) fn new(latency: PeakEwma, credentials: usize, epoch: &Epoch) -> Self {
        Self {
            epoch: epoch.clone(),
            health: Health::new(),
            congestion: None,
            latency,
            doubt: Doubt::NONE,
            parked: None,
            gone: Vec::new(),
            stance: Stance::InService,
            window: Window::new(),
            outlier: false,
            scarce: None,
            credentials: vec![None; credentials],
            spare: None,
            attempts: 0,
        }
    }

    /// Returns whether it simply serves with all of its weight, whatever the time: it stands by its score alone.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.stance == Stance::InService
            && self.parked.is_none()
            && self.spare.is_none()
            && self.scarce.is_none()
            && self.credentials.is_empty()
            && !self.outlier
            && self.health.is_settled()
            && self.congestion.is_none()
            && !self.doubt.is_in_doubt()
    }

    /// Forgets what was to be kept until a time that is over.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.parked = self.parked.filter(|until| now < *until);
        self.scarce = self.scarce.filter(|until| now < *until);
        self.spare = self.spare.filter(|(_, until)| now < *until);
    }

    /// Returns how long it takes.
    pub(crate) fn pace(&self, now: Instant) -> Pace {
        let measured = self.latency.value(self.nanos(now));
        match self.doubt.at_least(now) {
            None => Pace { latency: measured, in_doubt: false },
            Some(at_least) => Pace { latency: Some(measured.unwrap_or(0.0).max(at_least)), in_doubt: true },
        }
    }

    /// Returns the nanoseconds until `now`, from where times are counted.
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        self.epoch.nanos(now)
    }

    /// Notes a success at `now`, in `nanos`.
    #[inline]
    pub(crate) fn succeeded(&mut self, policy: &HealthPolicy, now: Instant, nanos: u64) {
        self.health.succeeded(policy, now);
        self.window.count(false, nanos);
    }

    /// Notes a failure at `now`, in `nanos`.
    pub(crate) fn failed(&mut self, policy: &HealthPolicy, now: Instant, nanos: u64) {
        self.health.failed(policy, now);
        self.window.count(true, nanos);
        if self.health.returns_at(policy, now).is_some() {
            // It is out for that. When it returns, it begins anew.
            self.window = Window::new();
        }
    }

    /// Goes by what the target says that it has left. `unanswered` requests are on their way, which it may not know of.
    pub(crate) fn reckon(&mut self, headroom: Headroom, unanswered: u32, longest: Duration, now: Instant) {
        if let Some(time) = headroom.used_up() {
            self.park(time.min(longest), now);
        }
        let scarce = headroom.scarcest().filter(|room| room.is_below(Self::SCARCE));
        self.scarce = scarce.and_then(|room| now.checked_add(room.returns.min(longest)));
        // What is used up is parked.
        let fewest = headroom.fewest().filter(|room| room.left > 0);
        self.spare = fewest.and_then(|room| {
            let until = now.checked_add(room.returns.min(longest))?;
            Some((room.left.saturating_sub(u64::from(unanswered)), until))
        });
    }

    /// Goes by what one of its credentials has left, where each has limits of its own.
    pub(crate) fn reckon_credential(&mut self, credential: usize, headroom: Headroom, longest: Duration, now: Instant) {
        if let Some(time) = headroom.used_up() {
            self.park_credential(credential, time.min(longest), now);
        }
    }

    /// Takes one of the requests that it can take by its own word. Returns whether there was one.
    pub(crate) fn claim(&mut self, now: Instant) -> bool {
        self.spare = self.spare.filter(|(_, until)| now < *until);
        let Some((left, _)) = &mut self.spare else { return true };
        let less = left.checked_sub(1);
        *left = less.unwrap_or(0);
        less.is_some()
    }

    /// Gives back what was claimed.
    pub(crate) fn unclaim(&mut self) {
        if let Some((left, _)) = &mut self.spare {
            *left = left.saturating_add(1);
        }
    }

    fn share(&self, policy: &HealthPolicy, now: Instant) -> Share {
        let scarce = self.scarce.filter(|until| now < *until);
        let less = |is: bool| if is { Self::LESS } else { 1.0 };
        let ease = self.health.ease(policy, now) * less(scarce.is_some()) * less(self.outlier);
        Share { score: self.health.score(), ease, scarce, most: self.most(policy, now) }
    }

    /// Notes what an attempt came to that began at `begun`, if the target is out, or was of late. So many waited, it among them.
    #[inline]
    pub(crate) fn bound(&mut self, policy: &HealthPolicy, class: Class, begun: Instant, unanswered: u32, now: Instant) {
        if self.congestion.is_none() && self.health.is_settled() {
            return;
        }
        let congestion = self.congestion.get_or_insert_with(|| Congestion::new(class, unanswered, now));
        congestion.note(class, begun, unanswered, now);
        if self.most(policy, now) == u32::MAX {
            self.congestion = None;
        }
    }

    /// Returns how many requests may wait there for their answer to begin.
    pub(crate) fn most(&self, policy: &HealthPolicy, now: Instant) -> u32 {
        // Time alone ends it: nobody need have asked meanwhile.
        let is_over = |known: &Congestion| known.is_over(policy, now) && self.health.ease(policy, now) >= 1.0;
        self.congestion.filter(|known| !is_over(known)).map_or(u32::MAX, Congestion::most)
    }

    /// Returns whether it serves. As [`standing`](Self::standing) has it, at a lower price.
    #[inline]
    pub(crate) fn is_up(&self, policy: &HealthPolicy, now: Instant) -> bool {
        self.is_plain() || self.is_up_all_the_same(policy, now)
    }

    /// Returns whether it serves although there is more to know.
    #[cold]
    fn is_up_all_the_same(&self, policy: &HealthPolicy, now: Instant) -> bool {
        let holds = |until: Instant| now < until;
        self.stance == Stance::InService
            && !self.parked.is_some_and(holds)
            && !self.spare.is_some_and(|(left, until)| left == 0 && holds(until))
            && self.first_credential(now).is_none()
            && self.health.is_up(policy, now)
    }

    pub(crate) fn standing(&self, policy: &HealthPolicy, now: Instant) -> Standing {
        if self.stance == Stance::Drained {
            return Standing::Drained;
        }
        if let Some(until) = self.parked.filter(|until| now < *until) {
            return Standing::Parked(until);
        }
        if let Some((_, until)) = self.spare.filter(|(left, until)| *left == 0 && now < *until) {
            return Standing::Parked(until);
        }
        if let Some(until) = self.first_credential(now) {
            return Standing::Parked(until);
        }
        match self.health.returns_at(policy, now) {
            Some(at) => Standing::Out(at),
            None => Standing::Up(self.share(policy, now)),
        }
    }

    /// The longer of two times counts.
    pub(crate) fn park(&mut self, time: Duration, now: Instant) {
        let until = now.checked_add(time);
        self.parked = self.parked.max(until);
    }

    /// Parks one of its credentials. The longer of two times counts.
    pub(crate) fn park_credential(&mut self, credential: usize, time: Duration, now: Instant) {
        if let Some(parked) = self.credentials.get_mut(credential) {
            *parked = (*parked).max(now.checked_add(time));
        }
    }

    pub(crate) fn renew_credential(&mut self, credential: usize) -> bool {
        self.credentials.get_mut(credential).map(|parked| *parked = None).is_some()
    }

    pub(crate) fn is_credential_free(&self, credential: usize, now: Instant) -> bool {
        self.credentials.get(credential).is_some_and(|parked| parked.is_none_or(|until| until <= now))
    }

    /// Returns when the first of its credentials is free again, if none is.
    fn first_credential(&self, now: Instant) -> Option<Instant> {
        let all_parked = self.credentials.iter().all(|parked| parked.is_some_and(|until| now < until));
        if all_parked { self.credentials.iter().copied().flatten().min() } else { None }
    }

    pub(crate) fn lack(&mut self, model: &Label, time: Duration, now: Instant) {
        self.gone.retain(|(gone, until)| gone != model && now < *until);
        // Whoever asks for a thousand models that do not exist pushes out no other's.
        if self.gone.len() < Self::MAX_GONE
            && let Some(until) = now.checked_add(time)
        {
            self.gone.push((model.clone(), until));
        }
    }
}
