//! What an operator sees of the targets, and does to them.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::{
    ConfigError, HedgeCounts, Prober, Probing, ShedCounts, Stance, hedging::Hedging, member::Member, shared::Shared,
    standing::Standing,
};

/// Lists and operates the targets of a layer, also after its stack is boxed. Clones speak of the same targets.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

/// What is known of a target at a moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// What an operator wants of it.
    pub stance: Stance,
    /// Its health, from 0 (out) to 1.
    pub health: f64,
    /// Its weight beside the others: its [capacity](Target::capacity), or what [`weigh`](Handle::weigh) has set.
    pub weight: NonZeroU32,
    /// The part of that which counts at present: lowered by failures, on the way back from an outage, where little is left
    /// of a limit, and for an outlier; 0 while it is out, parked or drained.
    pub effective_weight: f64,
    /// It fails far more often than the others, and counts for a tenth of its weight for that.
    pub outlier: bool,
    /// How many requests are under way there: to the end of the body where a reader of it speaks in an
    /// [`AnswerReport`](buttress_core::AnswerReport), and to the head of the answer otherwise.
    pub pending: u32,
    /// The moving average of its time to the head of an answer.
    pub latency: Option<Duration>,
    /// How long it is left alone because it asked for that, or cannot serve anybody.
    pub parked: Option<Duration>,
    /// Its credentials, where it has several.
    pub credentials: Vec<CredentialReport>,
}

/// What is known of one of a target's credentials at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialReport {
    /// Its name.
    pub name: Label,
    /// How long it is left alone: it is dead, its quota is spent, or it is over a limit of its own.
    pub parked: Option<Duration>,
}

/// What a level of priority gets, and what it has to offer, at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelReport {
    /// The [priority](Target::priority) of its targets.
    pub priority: u8,
    /// How many targets it has.
    pub targets: usize,
    /// How many attempts were sent there and have come to an end: answered, failed, refused by a layer further in, or dropped.
    /// It only grows, as long as the level has a target. Of a target that is [replaced](Handle::replace), what is under way is
    /// not counted.
    pub attempts: u64,
    /// In percent, the share of new requests that [`Policy::Balanced`](crate::Policy::Balanced) sends there, and
    /// [`Policy::Sticky`](crate::Policy::Sticky) of those without a key. The other policies draw no level.
    pub share_percent: u8,
    /// In percent, what part of the whole load it can carry: the part of its weight that counts, times 1.4, and 100 at most.
    pub availability_percent: u8,
}

// === impl Handle ===

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Returns what is known of each target at `now`, by priority.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<TargetReport> {
        let fleet = self.0.fleet();
        // Who is an outlier is found by a look at all, for which there may have been no reason of late.
        fleet.look(now);
        fleet.members().iter().map(|member| report(member, now)).collect()
    }

    /// Returns how each level of priority stands at `now`, the first one first.
    #[must_use]
    pub fn levels(&self, now: Instant) -> Vec<LevelReport> {
        self.0.fleet().list_levels(now)
    }

    /// Returns what has become of [hedging](crate::Hedge) so far. All zero where it is off.
    #[must_use]
    pub fn hedges(&self) -> HedgeCounts {
        self.0.hedging.as_ref().map_or_else(HedgeCounts::default, Hedging::counts)
    }

    /// Returns what has become of requests for which there was no target.
    #[must_use]
    pub fn sheds(&self) -> ShedCounts {
        self.0.shedding.counts()
    }

    /// Sends no new requests to the target called `name`; those under way end in their own time. Returns whether there is
    /// such a target.
    pub fn drain(&self, name: &Label) -> bool {
        self.with(name, |member| member.set_stance(Stance::Drained))
    }

    /// Sends no requests to the target called `name` for `time` from `now`. Returns whether there is such a target.
    pub fn eject(&self, name: &Label, time: Duration, now: Instant) -> bool {
        self.with(name, |member| member.park(time, now))
    }

    /// Sets the weight of the target called `name` in the place of its capacity, for the policies that go by weight. It
    /// holds from the next choice on, also when the targets are [replaced](Self::replace), until another one is set or the
    /// target is [restored](Self::restore).
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if there is no such target, or if `weight` is 0.
    pub fn weigh(&self, name: &Label, weight: u32) -> Result<(), ConfigError> {
        let weight = NonZeroU32::new(weight).ok_or_else(|| ConfigError::no_weight(name.clone()))?;
        if self.with(name, |member| member.weigh(weight)) { Ok(()) } else { Err(ConfigError::unknown(name.clone())) }
    }

    /// Forgets all that is held against the target called `name`: its failures, its hints, that it was drained, and a weight
    /// that was set. Returns whether there is such a target.
    pub fn restore(&self, name: &Label) -> bool {
        self.with(name, Member::restore)
    }

    /// Forgets what is held against the credential called `credential` of the target called `name`: it was renewed. Returns
    /// whether there are such a target and such a credential.
    pub fn renew_credential(&self, name: &Label, credential: &Label) -> bool {
        let mut has = false;
        self.with(name, |member| has = member.renew_credential(credential)) && has
    }

    /// Takes what an active probe of the target called `name` came to at `now`: one that costs nothing, such as a list of
    /// models. `alive` can bring the next look at a target that is out forward, but only a request that was served brings it
    /// back: a server may list its models and serve none. Returns whether there is such a target.
    pub fn probed(&self, name: &Label, alive: bool, now: Instant) -> bool {
        self.with(name, |member| member.probed(alive, now))
    }

    /// Returns a worker that probes each target from time to time, for as long as there are targets: it ends when the layer,
    /// its services and all handles are gone. The application runs it, as `tokio::spawn(handle.prober(..))`.
    ///
    /// `probe` asks a target for something that costs nothing, such as its list of models, and tells whether it answered:
    /// a `bool`, or an `Option` of one, where `None` says nothing of the target.
    /// Probes that fail in a row put the target out, once; requests that it serves bring it back. Probes that are answered
    /// do not: they bring the next look forward, as [`probed`](Self::probed) does. The targets are those of the moment. If
    /// `probe` panics, so does the worker.
    pub fn prober<P, F>(&self, probing: Probing, probe: P) -> Prober<P, F>
    where
        P: FnMut(Target) -> F + Unpin,
        F: Future<Output: Into<Option<bool>>>,
    {
        Prober::new(&self.0, probing, probe)
    }

    /// Puts `targets` in the place of those that were. What is known of a target of the same name stays known; requests and
    /// streams under way go on.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if there is no target, or if two have one name.
    pub fn replace(&self, targets: impl IntoIterator<Item = Target>) -> Result<(), ConfigError> {
        self.0.replace(targets)
    }

    fn with(&self, name: &Label, f: impl FnOnce(&Member)) -> bool {
        let fleet = self.0.fleet();
        let Some(member) = fleet.find(name) else { return false };
        f(member);
        fleet.changed();
        true
    }
}

fn report(member: &Member, now: Instant) -> TargetReport {
    let names = member.target().credentials().iter().cloned();
    let left = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(now));
    let parked_credentials = member.parked_credentials(now).into_iter().map(left);
    let weight = member.weight();
    let (parked, part) = match member.standing(now) {
        Standing::Parked(until) => (Some(until.saturating_duration_since(now)), 0.0),
        Standing::Up(share) => (None, share.factor()),
        Standing::Out(_) | Standing::Drained => (None, 0.0),
    };
    TargetReport {
        target: member.target().clone(),
        stance: member.stance(),
        health: member.health(now),
        weight,
        effective_weight: f64::from(weight.get()) * part,
        outlier: member.is_outlier(),
        pending: member.pending(),
        latency: member.latency(now).map(Duration::from_secs_f64),
        parked,
        credentials: names.zip(parked_credentials).map(|(name, parked)| CredentialReport { name, parked }).collect(),
    }
}
