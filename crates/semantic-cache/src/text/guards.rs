//! Names for the differences that forbid to answer one text with what was said to the other.

use std::fmt;

/// A difference between two texts that similar vectors do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Guard {
    /// Other numbers, dates in digits, versions or identifiers.
    Number,
    /// The same numbers of something else: 5 miles, 5 kilometres.
    Unit,
    /// Another day, month, season or time of day.
    Date,
    /// One denies what the other does not.
    Polarity,
    /// Opposites: on and off, before and after, enable and disable, larger and smaller.
    Opposite,
    /// All, only, except, first, last: what is spoken of is narrower or wider.
    Scope,
    /// The same words in another order: from dollars to euros, from euros to dollars.
    Order,
    /// The same sentence about something else.
    Slot,
    /// A name that the other text does not mention.
    Name,
    /// Who, where, when and why; can, should and must.
    Question,
    /// What was, is and will be.
    Tense,
    /// Mine, yours, hers.
    Person,
    /// A language that the guards cannot read, in which any other word may mean anything.
    Language,
    /// Texts too long to be read whole, that differ beyond.
    Length,
}

/// A set of [`Guard`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Guards(u16);

// === impl Guard ===

impl Guard {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Number,
        Self::Unit,
        Self::Date,
        Self::Polarity,
        Self::Opposite,
        Self::Scope,
        Self::Order,
        Self::Slot,
        Self::Name,
        Self::Question,
        Self::Tense,
        Self::Person,
        Self::Language,
        Self::Length,
    ];

    /// Returns its name, for labels of metrics and fields of events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Unit => "unit",
            Self::Date => "date",
            Self::Polarity => "polarity",
            Self::Opposite => "opposite",
            Self::Scope => "scope",
            Self::Order => "order",
            Self::Slot => "slot",
            Self::Name => "name",
            Self::Question => "question",
            Self::Tense => "tense",
            Self::Person => "person",
            Self::Language => "language",
            Self::Length => "length",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// === impl Guards ===

impl Guards {
    /// No guard.
    pub const NONE: Self = Self(0);
    /// Every guard.
    pub const ALL: Self = Self((1 << Guard::ALL.len()) - 1);

    /// Returns the set of `guards`.
    #[must_use]
    pub const fn of(guards: &[Guard]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < guards.len() {
            set |= 1 << guards[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// Adds a guard.
    pub const fn insert(&mut self, guard: Guard) {
        self.0 |= 1 << guard as u8;
    }

    /// Returns whether `guard` is one of them.
    #[must_use]
    pub const fn contains(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u8) != 0
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the guards of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Guard> {
        Guard::ALL.into_iter().filter(move |&guard| self.contains(guard))
    }
}

impl fmt::Display for Guards {
    /// The names, with a comma between them; nothing for no guard.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, guard) in self.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(formatter, "{comma}{guard}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}
