//! Reads JSON (RFC 8259) in one pass: without a tree, without a copy, and to the last byte.
//!
//! This is for answers: what a target sends may be anything, each byte is looked at once, and texts are short. What a caller
//! sent was checked when its [facts](crate::RequestFacts) were read, has long texts, and is looked at in parts, as they are
//! asked for: that is [`RawJson`](crate::RawJson).

use crate::value::{Kind, Value};

/// What is read is not JSON, or is nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) type Scanned<T = ()> = Result<T, Malformed>;

/// Stands before a value in a text of JSON.
///
/// Who reads an object is called for each member, and must read its value, be it by [`value`](Self::value). Where something
/// else stands than what is asked for, it is passed over: a provider's odd field is not an error.
///
/// Names with escapes in them are not unescaped: no provider writes such.
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u8,
}

/// How deeply values may be nested.
const MAX_DEPTH: u8 = 128;

// === impl Scan ===

impl<'a> Scan<'a> {
    /// Stands before the only value in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Scanned<Self> {
        std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Ok(Self { bytes, at: 0, depth: 0 })
    }

    /// Checks that nothing follows the value.
    pub(crate) fn end(mut self) -> Scanned {
        self.blanks();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Reads an object, each of its members by `member`.
    pub(crate) fn object(&mut self, member: impl FnMut(&mut Self, &'a [u8]) -> Scanned) -> Scanned {
        if self.peek()? == b'{' { self.members(member).map(drop) } else { self.value().map(drop) }
    }

    /// Reads an array, each of its elements by `element`.
    pub(crate) fn array(&mut self, element: impl FnMut(&mut Self) -> Scanned) -> Scanned {
        if self.peek()? == b'[' { self.elements(element).map(drop) } else { self.value().map(drop) }
    }

    /// Reads any value.
    pub(crate) fn value(&mut self) -> Scanned<Value<'a>> {
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'"' => {
                self.text()?;
                Kind::Text
            }
            b'{' => Kind::Compound { empty: self.members(|scan, _| scan.pass())? == 0 },
            b'[' => Kind::Compound { empty: self.elements(Self::pass)? == 0 },
            b'n' => self.word(b"null", Kind::Null)?,
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            _ => self.number()?,
        };
        Ok(Value { raw: &self.bytes[start..self.at], kind })
    }

    /// Passes over a value.
    #[inline]
    pub(crate) fn pass(&mut self) -> Scanned {
        match self.peek()? {
            b'"' => self.text().map(drop),
            b'0'..=b'9' => self.number().map(drop),
            _ => self.value().map(drop),
        }
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Scanned) -> Scanned<usize> {
        self.enter()?;
        let mut count = 0;
        if self.peek()? == b'}' {
            self.leave();
            return Ok(0);
        }
        loop {
            if self.peek()? != b'"' {
                return Err(Malformed);
            }
            let name = self.text()?;
            if self.peek()? != b':' {
                return Err(Malformed);
            }
            self.at += 1;
            member(self, name)?;
            count += 1;
            if !self.goes_on(b'}')? {
                return Ok(count);
            }
        }
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Scanned) -> Scanned<usize> {
        self.enter()?;
        let mut count = 0;
        if self.peek()? == b']' {
            self.leave();
            return Ok(0);
        }
        loop {
            element(self)?;
            count += 1;
            if !self.goes_on(b']')? {
                return Ok(count);
            }
        }
    }

    const fn enter(&mut self) -> Scanned {
        if self.depth == MAX_DEPTH {
            return Err(Malformed);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Takes a comma, or `close`, which ends the object or array.
    #[inline]
    fn goes_on(&mut self, close: u8) -> Scanned<bool> {
        match self.peek()? {
            b',' => self.at += 1,
            byte if byte == close => {
                self.leave();
                return Ok(false);
            }
            _ => return Err(Malformed),
        }
        Ok(true)
    }

    /// Reads a text, and returns what stands between its quotes.
    #[inline]
    fn text(&mut self) -> Scanned<&'a [u8]> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            at = skip_plain(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(&self.bytes[start..at]);
                }
                Some(b'\\') => at += escape(&self.bytes[at + 1..])? + 1,
                _ => return Err(Malformed),
            }
        }
    }

    fn number(&mut self) -> Scanned<Kind> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Scanned {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Malformed) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Scanned<Kind> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(kind)
    }

    /// Passes over white space, and returns the byte after it.
    #[inline]
    fn peek(&mut self) -> Scanned<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => self.peek_after_blanks(),
        }
    }

    #[cold]
    fn peek_after_blanks(&mut self) -> Scanned<u8> {
        self.blanks();
        self.bytes.get(self.at).copied().ok_or(Malformed)
    }

    fn blanks(&mut self) {
        self.at += self.bytes[self.at..].iter().take_while(|byte| is_blank(**byte)).count();
    }
}

/// Whether `byte` is white space in JSON.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Returns the place, from `at` on, of the first byte that is not just a part of a text. Eight bytes are looked at at once.
#[inline]
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is zero; above the lowest such byte, others may be marked too.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64)) | control;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    skip_plain_bytes(bytes, at)
}

/// The same for less than eight bytes, as there are at the end.
#[cold]
fn skip_plain_bytes(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..b' ')).count()
}

/// Returns the length of the escape that begins `after` a backslash.
fn escape(after: &[u8]) -> Scanned<usize> {
    match after {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(1),
        [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => Ok(5),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_json(bytes: &[u8]) -> bool {
        Scan::new(bytes).and_then(|mut scan| scan.pass().and_then(|()| scan.end())).is_ok()
    }

    fn count(text: &str) -> Option<u64> {
        Scan::new(text.as_bytes()).and_then(|mut scan| scan.value()).ok()?.count()
    }

    #[test]
    fn only_plain_numbers_from_zero_on_are_counts() {
        let table = [("0", Some(0)), ("17", Some(17)), ("17.0", Some(17)), ("-1", None), ("1.5", None), ("1e3", None)];
        for (text, expected) in table {
            assert_eq!(count(text), expected, "{text}");
        }
        for text in ["null", "\"17\"", "[17]", "99999999999999999999", "1000000000001"] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(is_json(&nested(128)));
        assert!(!is_json(&nested(129)));
        assert!(!is_json(&vec![b'['; 1 << 20]));
    }

    #[test]
    fn what_is_nothing_is_told_from_what_is_something() {
        let something = |text: &str| Scan::new(text.as_bytes()).unwrap().value().unwrap().is_something();
        for text in ["null", "false", "\"\"", "[]", "{}", "[ ]", "{\n}"] {
            assert!(!something(text), "{text}");
        }
        for text in ["true", "0", "\" \"", "[null]", "{\"a\":null}"] {
            assert!(something(text), "{text}");
        }
    }

    fn near_json() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(
            &[
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"a\"",
                "\"",
                "\\u12",
                "\\u12aF",
                "\\n",
                "\\x",
                "null",
                "true",
                "fals",
                "0",
                "-",
                "1.5",
                "1e",
                "1e+7",
                "01",
                " ",
                "\n",
                "\u{7f}",
                "\u{1f}",
                "ß",
                "\"a long text of plain words\"",
                "{\"a\":1}",
            ][..],
        );
        let word = prop_oneof![9 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 1..3)];
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_json_is_what_serde_takes_for_json(bytes in near_json()) {
            let serde = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes);
            prop_assert_eq!(is_json(&bytes), serde.is_ok());
        }

        #[test]
        fn a_text_ends_where_serde_ends_it(text in any::<String>(), after in "[ -~]{0,9}") {
            let mut bytes = serde_json::to_vec(&text).unwrap();
            let length = bytes.len();
            bytes.extend_from_slice(after.as_bytes());
            let value = Scan::new(&bytes).unwrap().value().unwrap();
            prop_assert_eq!(value.raw.len(), length);
            prop_assert_eq!(value.some_text().is_some(), !text.is_empty());
        }
    }
}
