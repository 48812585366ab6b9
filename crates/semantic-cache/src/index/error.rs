//! What is wrong with a vector.

use std::fmt;

/// Why a vector was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorError(VectorErrorKind);

/// The kinds of [`VectorError`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorErrorKind {
    /// It has `found` components where `expected` were due.
    Dimensions {
        /// How many components the index keeps.
        expected: usize,
        /// How many the vector has.
        found: usize,
    },
    /// A component is infinite, or not a number.
    NotFinite,
    /// All components are zero: it has no direction.
    Zero,
    /// The index can name no more rows.
    Full,
}

// === impl VectorError ===

impl VectorError {
    pub(super) const fn dimensions(expected: usize, found: usize) -> Self {
        Self(VectorErrorKind::Dimensions { expected, found })
    }

    pub(super) const fn not_finite() -> Self {
        Self(VectorErrorKind::NotFinite)
    }

    pub(super) const fn zero() -> Self {
        Self(VectorErrorKind::Zero)
    }

    pub(super) const fn full() -> Self {
        Self(VectorErrorKind::Full)
    }

    /// Returns what is wrong.
    #[must_use]
    pub const fn kind(self) -> VectorErrorKind {
        self.0
    }
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            VectorErrorKind::Dimensions { expected, found } => {
                write!(f, "the vector has {found} dimensions, not {expected}")
            }
            VectorErrorKind::NotFinite => f.write_str("the vector has a component that is no finite number"),
            VectorErrorKind::Zero => f.write_str("the vector has no direction"),
            VectorErrorKind::Full => f.write_str("the index can hold no more vectors"),
        }
    }
}

impl std::error::Error for VectorError {}
