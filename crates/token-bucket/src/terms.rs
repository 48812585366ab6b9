//! What keys are under.

use crate::Limits;

/// What keys are under, once for all keys of which it is the same.
#[derive(Debug, Default)]
pub(crate) struct Terms(Vec<Term>);

#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) limits: Limits,
    pub(crate) tier: u16,
    /// So many keys are under it. If none are, another may take its place.
    keys: u32,
}

/// What the rules say of a key.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    pub(crate) limits: Limits,
    pub(crate) tier: u16,
    pub(crate) version: u32,
}

/// Under which term a key is, and by which version of the rules. Zero where there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) u64);

// === impl Terms ===

impl Terms {
    #[inline(always)] // As in `Limiter::reserve`.
    pub(crate) fn under(&self, mark: Mark) -> &Term {
        &self.0[mark.number()]
    }

    /// Counts one more key under what a ruling says.
    pub(crate) fn enter(&mut self, ruling: Ruling) -> Mark {
        let known = self.0.iter().position(|term| term.is_of(&ruling));
        let Ruling { limits, tier, version } = ruling;
        let number = known.unwrap_or_else(|| self.add(Term { limits, tier, keys: 0 }));
        self.0[number].keys += 1;
        Mark::new(number, version)
    }

    /// Counts one key less.
    pub(crate) fn leave(&mut self, mark: Mark) {
        self.0[mark.number()].keys -= 1;
    }

    fn add(&mut self, term: Term) -> usize {
        if let Some(unused) = self.0.iter().position(|term| term.keys == 0) {
            self.0[unused] = term;
            return unused;
        }
        self.0.push(term);
        self.0.len() - 1
    }
}

// === impl Term ===

impl Term {
    /// Returns whether this is what a ruling says, by whichever version of the rules.
    pub(crate) fn is_of(&self, ruling: &Ruling) -> bool {
        self.limits.id() == ruling.limits.id() && self.tier == ruling.tier
    }
}

#[cfg(test)]
impl Terms {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns how many keys are under any.
    pub(crate) fn keys(&self) -> usize {
        self.0.iter().map(|term| term.keys as usize).sum()
    }
}

// === impl Mark ===

impl Mark {
    /// The number is counted from one. There are no more terms than keys.
    const fn new(number: usize, version: u32) -> Self {
        Self((version as u64) << 32 | (number as u64 + 1))
    }

    /// Returns the mark of the same term by another version.
    pub(crate) const fn at(self, version: u32) -> Self {
        Self((version as u64) << 32 | self.0 & u32::MAX as u64)
    }

    #[inline(always)]
    const fn number(self) -> usize {
        (self.0 as u32 - 1) as usize
    }

    #[inline(always)]
    pub(crate) const fn version(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
