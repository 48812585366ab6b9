//! Why limits cannot be shared.

use std::{error::Error, fmt};

use buttress_core::Label;

/// Why limits cannot be shared: a script computes with numbers that are exact up to 2⁵³, and these limits need larger ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareError {
    limit: Label,
    field: &'static str,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The period is not a whole number of microseconds.
    Period,
    /// In parts of a unit, of which there are so many in one.
    TooLarge(u64),
}

// === impl ShareError ===

impl ShareError {
    pub(crate) const fn new(limit: Label, field: &'static str, fault: Fault) -> Self {
        Self { limit, field, fault }
    }

    /// Returns the name of the limit that cannot be shared.
    #[must_use]
    pub const fn limit(&self) -> &Label {
        &self.limit
    }

    /// Returns what it is of it: `period`, `amount`, `burst` or `max_debt`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, field, fault } = self;
        write!(f, "limit `{limit}` cannot be shared: `{field}` ")?;
        match fault {
            Fault::Period => f.write_str("is not a whole number of microseconds"),
            Fault::TooLarge(1) => f.write_str("is too large; a script computes exactly up to 2^53"),
            Fault::TooLarge(parts) => write!(
                f,
                "is too large in the {parts}ths of a unit that its rate needs; a script computes exactly up to 2^53, and amount \
                 and period with large common factors need fewer parts"
            ),
        }
    }
}

impl Error for ShareError {}
