//! Names that may stand anywhere.

use std::{error::Error, fmt};

use http::HeaderValue;

/// A short name that may stand in a header, a metric label and a log line: a target, a region, a model.
///
/// It is made once and cloned by reference count, also into a header.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(HeaderValue);

/// Why a text is no [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelError(LabelFault);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelFault {
    Empty,
    TooLong,
    Character,
}

// === impl Label ===

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Creates a label of `text`.
    ///
    /// # Errors
    ///
    /// Fails if `text` is empty, longer than [`MAX_LEN`](Self::MAX_LEN), or holds anything but visible ASCII without `,`
    /// and `;` (which separate the entries of a trail).
    pub fn try_new(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() {
            return Err(LabelError(LabelFault::Empty));
        }
        if text.len() > Self::MAX_LEN {
            return Err(LabelError(LabelFault::TooLong));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b',' && b != b';') {
            return Err(LabelError(LabelFault::Character));
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| LabelError(LabelFault::Character))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("a label is visible ASCII, checked when it was made")
    }

    /// Returns the label as a header value, without a copy.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for Label {
    type Error = LabelError;

    fn try_from(text: &str) -> Result<Self, LabelError> {
        Self::try_new(text)
    }
}

// === impl LabelError ===

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LabelFault::Empty => f.write_str("a name must not be empty"),
            LabelFault::TooLong => write!(f, "a name must not be longer than {} bytes", Label::MAX_LEN),
            LabelFault::Character => f.write_str("a name must be visible ASCII without spaces, `,` or `;`"),
        }
    }
}

impl Error for LabelError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_a_header_and_a_trail_can_hold() {
        for good in ["eastus", "gpt-4o-2024-08-06", "meta/llama:70b", &"x".repeat(128)] {
            assert_eq!(Label::try_new(good).unwrap().as_str(), good);
        }
        for (bad, says) in [
            ("", "empty"),
            ("a b", "visible"),
            ("a,b", "visible"),
            ("a;b", "visible"),
            ("é", "visible"),
            ("a\r\nb", "visible"),
        ] {
            assert!(Label::try_new(bad).unwrap_err().to_string().contains(says), "{bad:?}");
        }
        assert!(Label::try_new(&"x".repeat(129)).unwrap_err().to_string().contains("128"));
    }
}
