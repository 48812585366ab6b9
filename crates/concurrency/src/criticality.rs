//! How a call's criticality is told, and what each class is guaranteed.

use std::{error::Error, fmt};

use buttress_core::Criticality;
use http::Request;

/// What part of the limit each class is guaranteed while it wants it.
///
/// A part that is not wanted is lent to whoever comes. It is not taken back from a call under way: the class that wants it
/// gets the next places that are given back. A guarantee so needs a [`Queue`](crate::Queue) to wait in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// In percent, by class.
    percent: [u8; Criticality::COUNT],
}

/// The error of shares that are more than the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharesError {
    total: u32,
}

/// Says how much a request matters. Any `Fn(&Req) -> Criticality` does.
pub trait Rank<Req> {
    /// Returns how much `request` matters.
    fn criticality(&self, request: &Req) -> Criticality;
}

/// Takes the [`Criticality`] in a request's extensions; [`Critical`](Criticality::Critical) where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByExtension;

/// Takes every request for [`Critical`](Criticality::Critical).
#[derive(Clone, Copy, Debug, Default)]
pub struct Alike;

// === impl Shares ===

impl Shares {
    /// Creates shares from percentages of the limit, by class. Classes that are not named are guaranteed nothing, and of a
    /// class that is named twice the last word counts.
    ///
    /// # Errors
    ///
    /// Fails if they come to more than 100.
    pub fn try_new(percent: impl IntoIterator<Item = (Criticality, u8)>) -> Result<Self, SharesError> {
        let mut shares = Self::default();
        for (class, percent) in percent {
            shares.percent[class.index()] = percent;
        }
        let total = shares.percent.iter().copied().map(u32::from).sum();
        if total > 100 { Err(SharesError { total }) } else { Ok(shares) }
    }

    /// Returns how many places `class` is guaranteed of `limit`. The shares of all classes never come to more than the
    /// limit. What is left over by rounding goes to the class that matters most: it loses its last place last.
    #[must_use]
    pub fn guaranteed(&self, class: Criticality, limit: u32) -> u32 {
        let mut above = 0;
        for each in Criticality::ALL {
            // A place in part is a whole one, until those that matter more have taken them all.
            let wanted = (u64::from(limit) * u64::from(self.percent[each.index()])).div_ceil(100);
            let granted = u32::try_from(wanted).unwrap_or(u32::MAX).min(limit - above);
            if each == class {
                return granted;
            }
            above += granted;
        }
        0
    }

    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

// === impl SharesError ===

impl fmt::Display for SharesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the shares, in percent, come to {}: they must come to 100 at most", self.total)
    }
}

impl Error for SharesError {}

// === impl Rank ===

impl<F: Fn(&Req) -> Criticality, Req> Rank<Req> for F {
    fn criticality(&self, request: &Req) -> Criticality {
        self(request)
    }
}

// === impl ByExtension ===

impl<B> Rank<Request<B>> for ByExtension {
    fn criticality(&self, request: &Request<B>) -> Criticality {
        request.extensions().get().copied().unwrap_or_default()
    }
}

// === impl Alike ===

impl<Req> Rank<Req> for Alike {
    fn criticality(&self, _: &Req) -> Criticality {
        Criticality::default()
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use Criticality::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn guarantees_never_come_to_more_than_the_limit(limit: u32, a in 0..=40u8, b in 0..=30u8, c in 0..=20u8, d in 0..=10u8) {
            let shares = Shares::try_new([(CriticalPlus, a), (Critical, b), (SheddablePlus, c), (Sheddable, d)]).unwrap();
            let total: u64 = Criticality::ALL.map(|class| u64::from(shares.guaranteed(class, limit))).iter().sum();
            prop_assert!(total <= u64::from(limit));
        }
    }

    #[test]
    fn the_class_that_matters_least_loses_its_place_first_when_the_limit_shrinks() {
        let shares = Shares::try_new([(Critical, 50), (Sheddable, 50)]).unwrap();
        let guaranteed = |limit| [Critical, Sheddable].map(|class| shares.guaranteed(class, limit));
        assert_eq!([10, 3, 1, 0].map(guaranteed), [[5, 5], [2, 1], [1, 0], [0, 0]]);
        assert_eq!(guaranteed(u32::MAX), [u32::MAX / 2 + 1, u32::MAX / 2]);
    }

    #[test]
    fn more_than_the_whole_is_refused_by_name() {
        let error = Shares::try_new([(Critical, 60), (Sheddable, 50)]).unwrap_err();
        assert_eq!(error.to_string(), "the shares, in percent, come to 110: they must come to 100 at most");
        assert_eq!(Shares::try_new([(Critical, 255), (Critical, 100)]).map(|s| s.guaranteed(Critical, 7)), Ok(7));
    }
}
