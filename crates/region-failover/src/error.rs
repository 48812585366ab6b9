//! What can be wrong with a list of targets.

use std::{error::Error, fmt};

use buttress_core::Label;

/// Why a list of targets was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Fault);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    NoTarget,
    Twice(Label),
}

// === impl ConfigError ===

impl ConfigError {
    pub(crate) const fn no_target() -> Self {
        Self(Fault::NoTarget)
    }

    pub(crate) const fn twice(name: Label) -> Self {
        Self(Fault::Twice(name))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::NoTarget => f.write_str("the list of targets is empty, at least one is needed"),
            Fault::Twice(name) => write!(f, "two targets are named `{name}`, each name may be used once"),
        }
    }
}

impl Error for ConfigError {}
