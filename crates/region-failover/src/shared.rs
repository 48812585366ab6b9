//! What all services of one layer share.

use std::{collections::HashSet, fmt, ops::Deref, sync::Arc};

use arc_swap::ArcSwap;
use buttress_core::Target;
use tokio::time::Instant;

use crate::{
    ConfigError, HealthPolicy, Hedge, epoch::Epoch, fleet::Fleet, hedging::Hedging, line::Line, policy::Dice,
    shedding::Shedding,
};

/// What all services of one layer share: the targets, and the randomness of choices.
#[derive(Debug)]
pub(crate) struct Shared {
    fleet: ArcSwap<Fleet>,
    pub(crate) epoch: Epoch,
    pub(crate) dice: Dice,
    health: HealthPolicy,
    pub(crate) hedging: Option<Hedging>,
    pub(crate) shedding: Shedding,
    pub(crate) line: Option<Arc<Line>>,
}

/// Says whether a target may be asked: a circuit breaker, or whoever else knows. Any `Fn(&Target, Instant) -> bool` does.
///
/// It is asked for each target that comes into question, so it must be quick. A target that it does not admit is passed over
/// without an attempt.
pub trait Admit: Send + Sync {
    /// Returns whether `target` may be asked at `now`.
    fn admits(&self, target: &Target, now: Instant) -> bool;
}

// === impl Shared ===

impl Shared {
    pub(crate) fn try_new(targets: impl IntoIterator<Item = Target>) -> Result<Self, ConfigError> {
        let fleet = Fleet::new(checked(targets)?, HealthPolicy::DEFAULT, None);
        let (epoch, fleet) = (fleet.epoch().clone(), ArcSwap::from_pointee(fleet));
        let (dice, health, shedding) = (Dice::new(0), HealthPolicy::DEFAULT, Shedding::default());
        Ok(Self { fleet, epoch, dice, health, hedging: None, shedding, line: None })
    }

    pub(crate) fn with_seed(&self, seed: u64) -> Self {
        Self { dice: Dice::new(seed), ..self.copy() }
    }

    pub(crate) fn with_health(&self, health: HealthPolicy) -> Self {
        let targets = self.fleet().members().iter().map(|member| member.target().clone()).collect::<Vec<_>>();
        let fleet = Fleet::new(targets, health, None);
        Self { epoch: fleet.epoch().clone(), fleet: ArcSwap::from_pointee(fleet), health, ..self.copy() }
    }

    pub(crate) fn with_hedge(&self, hedge: Hedge) -> Self {
        Self { hedging: Some(Hedging::new(hedge)), ..self.copy() }
    }

    pub(crate) fn with_line(&self, line: Line) -> Self {
        Self { line: Some(Arc::new(line)), ..self.copy() }
    }

    fn copy(&self) -> Self {
        let Self { dice, health, hedging, line, .. } = self;
        let hedging = hedging.as_ref().map(|hedging| Hedging::new(hedging.settings()));
        let (line, shedding) = (line.as_ref().map(|line| Arc::new(line.renewed())), Shedding::default());
        let (fleet, dice) = (ArcSwap::new(self.fleet()), Dice::new(dice.seed()));
        Self { fleet, epoch: self.epoch.clone(), dice, health: *health, hedging, shedding, line }
    }

    /// Returns the targets for one choice: cheaper than [`fleet`](Self::fleet), and not to be held for long.
    pub(crate) fn fleet_for_now(&self) -> impl Deref<Target = Arc<Fleet>> + use<> {
        self.fleet.load()
    }

    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        self.fleet.load_full()
    }

    /// Puts `targets` in the place of those that were. What is under way goes on.
    pub(crate) fn replace(&self, targets: impl IntoIterator<Item = Target>) -> Result<(), ConfigError> {
        let targets = checked(targets)?;
        self.fleet.rcu(|before| Fleet::new(targets.iter().cloned(), self.health, Some(before)));
        Ok(())
    }
}

fn checked(targets: impl IntoIterator<Item = Target>) -> Result<Vec<Target>, ConfigError> {
    let targets: Vec<_> = targets.into_iter().collect();
    if targets.is_empty() {
        return Err(ConfigError::no_target());
    }
    let mut names = HashSet::new();
    match targets.iter().find(|target| !names.insert(target.name().as_str())) {
        Some(twice) => Err(ConfigError::twice(twice.name().clone())),
        None => Ok(targets),
    }
}

// === impl Admit ===

impl<F: Fn(&Target, Instant) -> bool + Send + Sync> Admit for F {
    fn admits(&self, target: &Target, now: Instant) -> bool {
        self(target, now)
    }
}

impl fmt::Debug for dyn Admit + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admit")
    }
}
