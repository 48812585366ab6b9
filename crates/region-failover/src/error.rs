//! What can be wrong with what is said of targets.

use std::{error::Error, fmt};

use buttress_core::Label;

/// Why a list of targets, or a weight, was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Fault);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    NoTarget,
    Twice(Label),
    Unknown(Label),
    NoWeight(Label),
}

// === impl ConfigError ===

impl ConfigError {
    pub(crate) const fn no_target() -> Self {
        Self(Fault::NoTarget)
    }

    pub(crate) const fn twice(name: Label) -> Self {
        Self(Fault::Twice(name))
    }

    pub(crate) const fn unknown(name: Label) -> Self {
        Self(Fault::Unknown(name))
    }

    pub(crate) const fn no_weight(name: Label) -> Self {
        Self(Fault::NoWeight(name))
    }

    /// Returns whether it speaks of a target that is not there, rather than of what was said of one.
    #[must_use]
    pub const fn is_unknown_target(&self) -> bool {
        matches!(self.0, Fault::Unknown(_))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::NoTarget => f.write_str("the list of targets is empty, at least one is needed"),
            Fault::Twice(name) => write!(f, "two targets are named `{name}`, each name may be used once"),
            Fault::Unknown(name) => write!(f, "no target is named `{name}`"),
            Fault::NoWeight(name) => write!(f, "the weight of `{name}` is 0, to take a target out it is drained"),
        }
    }
}

impl Error for ConfigError {}
