//! JSON whose values are all found in one pass.

use std::{borrow::Cow, fmt, iter};

use memchr::memchr2;

use crate::RawJson;

/// Where each value of a JSON text stands, found in one pass.
///
/// It is for who looks at most of a text, and at some of it more than once: to go from a value to what is in it, or to the next one,
/// costs nothing, where [`RawJson`] has to find its end anew. It makes one allocation, of 16 bytes for each value and 4 MiB at most, and does
/// not recurse.
///
/// The text was read as JSON before; of a text that is not JSON it makes nonsense, but never a panic.
pub struct Outline<'a> {
    text: &'a str,
    /// Each value before what is in it; of a member, the key before the value.
    nodes: Vec<Node>,
}

/// A value of an [`Outline`]. It never prints what it holds.
#[derive(Clone, Copy)]
pub struct Spot<'o, 'a> {
    outline: &'o Outline<'a>,
    at: usize,
}

/// The elements of an array. See [`Spot::elements`].
#[derive(Clone, Debug)]
pub struct Spots<'o, 'a> {
    next: Spot<'o, 'a>,
    end: usize,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The first value that is not in this one. While this one is open: the one it stands in.
    after: u32,
    /// Whether it is a string with a backslash in it.
    escaped: bool,
}

/// Stands in no other one.
const NONE: u32 = u32::MAX;

// === impl Outline ===

impl<'a> Outline<'a> {
    /// The most values that are found. A list of numbers would take eight times its own length otherwise.
    pub const MOST: usize = 1 << 18;

    /// Finds the values of `text`. `None` if that is not one value, holds more than [`MOST`](Self::MOST), or is beyond 4 GiB.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        // The numbers of values and the places in the text are 32 bits.
        u32::try_from(bytes.len()).ok().filter(|length| *length < NONE)?;
        // Most texts are words, with a value in thirty bytes or so.
        let mut nodes: Vec<Node> = Vec::with_capacity((bytes.len() / 32 + 16).min(Self::MOST));
        let (mut at, mut open) = (0, NONE);
        while let Some(byte) = bytes.get(at) {
            let start = at;
            if nodes.len() == Self::MOST && !b"}],: \t\r\n".contains(byte) {
                return None;
            }
            match byte {
                b'"' => {
                    let escaped;
                    (at, escaped) = end_of_string(bytes, at)?;
                    nodes.push(Node::new(start, at, nodes.len() + 1, escaped));
                }
                b'{' | b'[' => {
                    nodes.push(Node { after: open, ..Node::new(start, start, 0, false) });
                    open = nodes.len() as u32 - 1;
                    at += 1;
                }
                b'}' | b']' => {
                    at += 1;
                    let after = nodes.len() as u32;
                    let node = nodes.get_mut(open as usize)?;
                    open = node.after;
                    (node.end, node.after) = (at as u32, after);
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                _ => {
                    let rest = bytes[at..].iter();
                    at += rest.take_while(|byte| !b",:]} \t\r\n".contains(byte)).count();
                    nodes.push(Node::new(start, at, nodes.len() + 1, false));
                }
            }
        }
        let whole = open == NONE && nodes.first().is_some_and(|first| first.after as usize == nodes.len());
        whole.then_some(Self { text, nodes })
    }

    /// Returns the value that all others are in.
    #[must_use]
    pub const fn root(&self) -> Spot<'_, 'a> {
        Spot { outline: self, at: 0 }
    }
}

impl fmt::Debug for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        write!(f, "Outline({} values)", self.nodes.len())
    }
}

// === impl Spot ===

impl<'o, 'a> Spot<'o, 'a> {
    /// Returns the value.
    #[must_use]
    pub fn raw(self) -> RawJson<'a> {
        let Node { start, end, .. } = self.node();
        RawJson::new(self.outline.text.get(start as usize..end as usize).unwrap_or_default())
    }

    /// Returns the first byte of the value.
    #[must_use]
    pub fn first(self) -> u8 {
        self.outline.text.as_bytes().get(self.node().start as usize).copied().unwrap_or_default()
    }

    /// Returns the text that a string stands for: see [`RawJson::text`].
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        self.plain().map(Cow::Borrowed).or_else(|| self.raw().text())
    }

    /// Returns the text that a string stands for, if nothing in it is escaped.
    #[must_use]
    pub fn plain(self) -> Option<&'a str> {
        let Node { start, end, escaped, .. } = self.node();
        if self.first() != b'"' || escaped {
            return None;
        }
        self.outline.text.get(start as usize + 1..end as usize - 1)
    }

    /// Returns the elements of an array; of anything else, none.
    #[must_use]
    pub fn elements(self) -> Spots<'o, 'a> {
        self.inner(b'[')
    }

    /// Returns the members of an object, each with its key; of anything else, none.
    pub fn members(self) -> impl Iterator<Item = (Self, Self)> + use<'o, 'a> {
        let mut inner = self.inner(b'{');
        iter::from_fn(move || Some((inner.next()?, inner.next()?)))
    }

    /// Returns what is in it, if it begins with `open`: of an object, keys and values.
    fn inner(self, open: u8) -> Spots<'o, 'a> {
        let end = if self.first() == open { self.node().after as usize } else { 0 };
        Spots { next: Self { at: self.at + 1, ..self }, end }
    }

    fn node(self) -> Node {
        self.outline.nodes[self.at]
    }
}

impl fmt::Debug for Spot<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        write!(f, "Spot({:?})", self.raw())
    }
}

// === impl Spots ===

impl<'o, 'a> Iterator for Spots<'o, 'a> {
    type Item = Spot<'o, 'a>;

    #[inline]
    fn next(&mut self) -> Option<Spot<'o, 'a>> {
        let spot = self.next;
        (spot.at < self.end).then(|| {
            self.next.at = spot.node().after as usize;
            spot
        })
    }
}

// === impl Node ===

impl Node {
    const fn new(start: usize, end: usize, after: usize, escaped: bool) -> Self {
        // No text is longer than they can tell, and none has more values than bytes.
        Self { start: start as u32, end: end as u32, after: after as u32, escaped }
    }
}

/// Returns where the string ends that opens at `open`, and whether something in it is escaped.
#[inline]
fn end_of_string(bytes: &[u8], open: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (open + 1, false);
    loop {
        at += quote_or_backslash(bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((at + 1, escaped));
        }
        (at, escaped) = (at + 2, true);
    }
}

/// Finds the first of the two. Most strings are short: a call that is quick for long ones would take most of the time.
#[inline]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The high bit of each byte that is zero; above the lowest such byte, others may be marked too.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    for (at, eight) in bytes.as_chunks::<8>().0.iter().take(2).enumerate() {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    memchr2(b'"', b'\\', bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn rebuilt(spot: Spot<'_, '_>) -> Value {
        match spot.first() {
            b'{' => spot.members().map(|(key, value)| (key.text().unwrap().into_owned(), rebuilt(value))).collect(),
            b'[' => spot.elements().map(rebuilt).collect(),
            b'"' => Value::String(spot.text().unwrap().into_owned()),
            _ => serde_json::from_str(spot.raw().as_str()).unwrap(),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: \u{e9}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\\u{e9}{]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_parser_finds(value in value(), pretty: bool) {
            let text = if pretty { format!(" {value:#} ") } else { value.to_string() };
            let outline = Outline::read(&text).expect("it is JSON");
            prop_assert_eq!(rebuilt(outline.root()), value);
            prop_assert_eq!(outline.root().raw().as_str(), text.trim());
        }

        #[test]
        fn what_is_not_json_makes_no_panic(text in "[\\[\\]{}\",:\\\\ 0a\u{e9}]{0,24}") {
            let Some(outline) = Outline::read(&text) else { return Ok(()) };
            let mut spots = vec![outline.root()];
            while let Some(spot) = spots.pop() {
                let _ = (spot.text(), spot.plain(), spot.raw());
                spots.extend(spot.elements());
                spots.extend(spot.members().map(|(_, value)| value));
            }
        }
    }

    #[test]
    fn a_text_of_more_values_than_there_may_be_has_no_outline() {
        let array = |zeros: usize| format!("[{}0]", "0,".repeat(zeros - 1));
        assert!(Outline::read(&array(Outline::MOST - 1)).is_some());
        assert!(Outline::read(&array(Outline::MOST)).is_none());
        assert!(Outline::read(&"[".repeat(Outline::MOST + 1)).is_none());
        let long = format!("\"{}\"", "a".repeat(64 * Outline::MOST));
        assert!(Outline::read(&long).is_some_and(|outline| outline.nodes.capacity() <= Outline::MOST));
    }

    #[test]
    fn what_is_cut_off_or_more_than_one_value_is_none() {
        for text in ["", " ", "[", "]", "[[]", "{}}", "\"a", "\"a\\", "\"a\\\"", "1 2", "{} []"] {
            assert!(Outline::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_not_recurse() {
        let text = format!("{}{}", "[".repeat(250_000), "]".repeat(250_000));
        assert_eq!(Outline::read(&text).expect("it is JSON").root().elements().count(), 1);
    }

    #[test]
    fn it_never_prints_what_it_holds() {
        let outline = Outline::read(r#"{"a":"secret"}"#).expect("it is JSON");
        assert_eq!(format!("{outline:?} {:?}", outline.root()), "Outline(3 values) Spot(RawJson(object, 14 bytes))");
    }
}
