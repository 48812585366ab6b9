//! Answers that are one JSON value, cut anywhere.

use memchr::memchr2;

use crate::{buffer::Buffer, scan::is_blank};

/// Finds where a JSON value ends, and keeps what of it has come before, up to a bound.
///
/// If asked for elements, and the value is an array, it finds each element of that instead. It looks only for brackets and
/// texts: whether all is JSON, who reads the value must tell.
#[derive(Debug)]
pub(crate) struct Whole {
    bound: usize,
    /// Whether the elements of an array are asked for.
    elements: bool,
    /// Whether there is an array whose elements are asked for.
    in_array: bool,
    held: Buffer,
    spent: bool,
    place: Place,
    nesting: Nesting,
    offset: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// White space between values.
    Blank,
    /// A value begins.
    Begun,
    /// A whole value.
    Value(&'a [u8]),
    /// The value is longer than what is kept of it.
    Beyond,
    /// The array ends, or something follows the value.
    After,
    /// What stands there is neither a value nor fits an array.
    Malformed,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest<'a> {
    /// Before any value.
    Nothing,
    /// In something that may be a value, as a number has no end of its own.
    Value(&'a [u8]),
    /// After a value, or beyond the bound.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// Within a value.
    Within,
    /// In an array, before an element or its end.
    First,
    /// In an array, before a comma or its end.
    Comma,
    /// In an array, before an element.
    Element,
    After,
    Beyond,
}

/// How deep in a value we are.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    text: bool,
    escape: bool,
}

// === impl Whole ===

impl Whole {
    /// Keeps at most `bound` bytes.
    pub(crate) fn new(bound: usize, elements: bool) -> Self {
        let (place, nesting) = (Place::Start, Nesting::default());
        Self { bound, elements, in_array: false, held: Buffer::default(), spent: false, place, nesting, offset: 0 }
    }

    /// Reads on in `rest`, takes what it has read, and says what ends there. To be called until it returns `None`.
    pub(crate) fn next<'s, 'c: 's>(&'s mut self, rest: &mut &'c [u8]) -> Option<Step<'s>> {
        if std::mem::take(&mut self.spent) {
            self.held.clear();
        }
        let &first = rest.first()?;
        match self.place {
            Place::Within => self.within(rest),
            Place::Beyond => {
                self.take(rest, rest.len());
                Some(Step::Beyond)
            }
            // Some servers write a byte order mark.
            _ if is_blank(first) || (self.place == Place::Start && matches!(first, 0xef | 0xbb | 0xbf)) => {
                let count = rest.iter().take_while(|byte| is_blank(**byte)).count();
                self.take(rest, count.max(1));
                Some(Step::Blank)
            }
            Place::After => {
                self.take(rest, rest.len());
                Some(Step::After)
            }
            _ => Some(self.between(first, rest)),
        }
    }

    /// Says what is left at the end.
    pub(crate) fn finish(&mut self) -> Rest<'_> {
        match self.place {
            Place::Start => Rest::Nothing,
            Place::Within => Rest::Value(self.held.bytes()),
            Place::First | Place::Comma | Place::Element => Rest::Value(b""),
            Place::After | Place::Beyond => Rest::Done,
        }
    }

    /// Returns whether it is in an array whose elements are asked for.
    pub(crate) fn is_in_array(&self) -> bool {
        self.in_array && self.place != Place::After
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) const fn held(&self) -> usize {
        self.held.reserved()
    }

    /// Reads the byte `first` between values.
    fn between(&mut self, first: u8, rest: &mut &[u8]) -> Step<'static> {
        match (self.place, first) {
            (Place::Start, b'[') if self.elements => {
                self.take(rest, 1);
                (self.place, self.in_array) = (Place::First, true);
                Step::Begun
            }
            (Place::First | Place::Comma, b']') => {
                self.take(rest, 1);
                self.place = Place::After;
                Step::After
            }
            (Place::Comma, b',') => {
                self.take(rest, 1);
                self.place = Place::Element;
                Step::Blank
            }
            (Place::Start | Place::First | Place::Element, b'{' | b'[')
            | (Place::Start, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.nesting = Nesting::default();
                self.place = Place::Within;
                Step::Begun
            }
            _ => {
                self.take(rest, 1);
                Step::Malformed
            }
        }
    }

    fn within<'s, 'c: 's>(&'s mut self, rest: &mut &'c [u8]) -> Option<Step<'s>> {
        let bytes = *rest;
        let end = self.nesting.end_in(bytes);
        let length = end.unwrap_or(bytes.len());
        if length > self.bound - self.held.len() {
            // From here on, it does not depend on how the answer is cut.
            let length = self.bound - self.held.len() + 1;
            self.take(rest, length);
            self.held = Buffer::default();
            self.place = Place::Beyond;
            return Some(Step::Beyond);
        }
        self.take(rest, length);
        if end.is_some() {
            self.place = if self.in_array { Place::Comma } else { Place::After };
        }
        if end.is_some() && self.held.is_empty() {
            return Some(Step::Value(&bytes[..length]));
        }
        self.held.push(&bytes[..length], self.bound);
        end?;
        self.spent = true;
        Some(Step::Value(self.held.bytes()))
    }

    const fn take(&mut self, rest: &mut &[u8], length: usize) {
        *rest = rest.split_at(length).1;
        self.offset += length as u64;
    }
}

// === impl Nesting ===

impl Nesting {
    /// Returns the place just past the end of the object or array that was begun, if that is in `bytes`.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if !self.text {
                match bytes[at] {
                    b'"' => self.text = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            } else if std::mem::take(&mut self.escape) {
                at += 1;
            } else {
                at += memchr2(b'"', b'\\', &bytes[at..])?;
                self.escape = bytes[at] == b'\\';
                self.text = self.escape;
                at += 1;
            }
        }
        None
    }
}
