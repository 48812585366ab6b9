//! Why a configuration cannot be used.

use std::{error::Error as StdError, fmt};

/// Why a configuration cannot be used. Names the field, what is in it, and what is allowed; never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    shape: String,
    allowed: &'static str,
}

// === impl ConfigError ===

impl ConfigError {
    pub(crate) const fn new(field: &'static str, shape: String, allowed: &'static str) -> Self {
        Self { field, shape, allowed }
    }

    /// Returns the name of the field that is wrong.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}; allowed: {}", self.field, self.shape, self.allowed)
    }
}

impl StdError for ConfigError {}
