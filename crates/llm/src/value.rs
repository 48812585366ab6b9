//! A value of JSON that was scanned.

/// A value, as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    /// An object or an array, and whether nothing is in it.
    Compound {
        empty: bool,
    },
}

/// A count of tokens beyond this is nonsense.
const MAX_COUNT: u64 = 1_000_000_000_000;

// === impl Value ===

impl<'a> Value<'a> {
    /// Returns whether something is there: not null, not false, and not empty.
    pub(crate) const fn is_something(self) -> bool {
        match self.kind {
            Kind::Null | Kind::False => false,
            Kind::True | Kind::Number => true,
            Kind::Text => self.raw.len() > 2,
            Kind::Compound { empty } => !empty,
        }
    }

    /// Returns what stands between the quotes of a text, with its escapes.
    pub(crate) fn text(self) -> Option<&'a [u8]> {
        (self.kind == Kind::Text).then(|| &self.raw[1..self.raw.len() - 1])
    }

    /// Returns a text that is not empty.
    pub(crate) fn some_text(self) -> Option<&'a [u8]> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Returns a plain number from zero on that may be a count of tokens.
    pub(crate) fn count(self) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        let text = std::str::from_utf8(self.raw).ok()?;
        let whole = text
            .split_once('.')
            .map_or(Some(text), |(whole, rest)| rest.bytes().all(|digit| digit == b'0').then_some(whole))?;
        whole.parse().ok().filter(|count| *count <= MAX_COUNT)
    }
}
