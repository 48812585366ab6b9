//! How much a call matters.

use std::fmt;

/// How much a call matters. The four classes are those of Google's SRE book (chapter 21, *Handling Overload*).
///
/// In a request's extensions it says so for that request. Where there is not enough for all, those that matter least are
/// refused first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "each class has its own queue, and the four are an established set")]
pub enum Criticality {
    /// Fails often, and nobody minds: a batch that runs again anyway.
    Sheddable,
    /// Fails at times: work that is tried again in minutes or hours.
    SheddablePlus,
    /// What a person waits for.
    #[default]
    Critical,
    /// What must not fail.
    CriticalPlus,
}

// === impl Criticality ===

impl Criticality {
    /// How many classes there are.
    pub const COUNT: usize = 4;

    /// All classes, the one that matters most first.
    pub const ALL: [Self; Self::COUNT] = [Self::CriticalPlus, Self::Critical, Self::SheddablePlus, Self::Sheddable];

    /// Returns whether it may be refused for the sake of others.
    #[must_use]
    pub const fn is_sheddable(self) -> bool {
        matches!(self, Self::Sheddable | Self::SheddablePlus)
    }

    /// Returns the name used in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::SheddablePlus => "sheddable-plus",
            Self::Critical => "critical",
            Self::CriticalPlus => "critical-plus",
        }
    }

    /// Returns its place among the classes: 0 for the one that matters least.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_in_which_they_matter() {
        assert!(Criticality::ALL.is_sorted_by(|more, less| more > less));
        assert_eq!(Criticality::ALL.map(Criticality::index), [3, 2, 1, 0]);
        assert!(!Criticality::default().is_sheddable(), "who says nothing is not shed");
    }
}
