//! JSON that is looked at where it stands, without a tree.

use std::{borrow::Cow, fmt};

use memchr::{memchr, memchr2};

/// A value of a JSON text, as it stands there. It never prints what it holds.
///
/// It is found by a scan that does not recurse and allocates nothing. The text was read as JSON before; of a text that is
/// not JSON it makes nonsense, but never a panic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawJson<'a>(&'a str);

/// The elements of an array. See [`RawJson::elements`].
#[derive(Clone, Debug, Default)]
pub struct RawElements<'a>(Rest<'a>);

/// The members of an object. See [`RawJson::members`].
#[derive(Clone, Debug)]
pub struct RawMembers<'a>(Rest<'a>);

/// What has not been looked at of an array or an object.
#[derive(Clone, Default)]
struct Rest<'a>(&'a str);

// === impl RawJson ===

impl<'a> RawJson<'a> {
    /// Takes `text` for one value, without the space around it.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_ascii())
    }

    /// Returns the value as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Returns whether it is a string.
    #[must_use]
    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// Returns whether it is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// Returns whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Returns the text that a string stands for; `None` if it is not a string, or escapes half a surrogate pair.
    ///
    /// It is borrowed unless something in it is escaped.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let literal = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if memchr(b'\\', literal.as_bytes()).is_some() {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(literal))
    }

    /// Returns a number that is whole, not negative and below 2⁶⁴.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Returns a number that is whole and fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Returns a number that is finite.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        let number = self.0.bytes().next().is_some_and(|first| first == b'-' || first.is_ascii_digit());
        self.0.parse().ok().filter(|value: &f64| number && value.is_finite())
    }

    /// Returns a boolean.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Returns the elements of an array; of anything else, none.
    #[must_use]
    pub fn elements(self) -> RawElements<'a> {
        RawElements(Rest(self.0.strip_prefix('[').unwrap_or_default()))
    }

    /// Returns the members of an object, each with its key as it is written; of anything else, none.
    #[must_use]
    pub fn members(self) -> RawMembers<'a> {
        RawMembers(Rest(self.0.strip_prefix('{').unwrap_or_default()))
    }

    /// Returns the member called `name`; the last one if there are several, as most servers read it.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        self.members().filter(|(key, _)| key.is(name)).last().map(|(_, value)| value)
    }

    /// Returns whether this is a string that stands for `text`.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        self.text().is_some_and(|own| own == text)
    }

    const fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            _ => "number",
        }
    }
}

impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        write!(f, "RawJson({}, {} bytes)", self.kind(), self.0.len())
    }
}

// === impl RawElements ===

impl<'a> RawElements<'a> {
    /// Returns what has not been given yet, as it is written.
    #[must_use]
    pub const fn rest(&self) -> &'a str {
        self.0.0
    }
}

impl<'a> Iterator for RawElements<'a> {
    type Item = RawJson<'a>;

    fn next(&mut self) -> Option<RawJson<'a>> {
        self.0.value(b',')
    }
}

// === impl RawMembers ===

impl<'a> Iterator for RawMembers<'a> {
    type Item = (RawJson<'a>, RawJson<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.value(b',')?, self.0.value(b':')?))
    }
}

// === impl Rest ===

impl<'a> Rest<'a> {
    /// Takes the next value, which may stand behind `mark`.
    fn value(&mut self, mark: u8) -> Option<RawJson<'a>> {
        let mut text = self.0.trim_ascii_start();
        if text.as_bytes().first() == Some(&mark) {
            text = text.get(1..)?.trim_ascii_start();
        }
        let end = end_of_value(text.as_bytes());
        let (value, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        (!value.is_empty()).then_some(RawJson(value))
    }
}

impl fmt::Debug for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Returns where the value that `bytes` begin with ends; 0 if they begin with none.
fn end_of_value(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'"') => end_of_string(bytes, 0),
        Some(b'{' | b'[') => end_of_nest(bytes),
        _ => bytes.iter().position(|byte| b",:]} \t\r\n".contains(byte)).unwrap_or(bytes.len()),
    }
}

fn end_of_nest(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// Returns where the string ends that opens at `open`.
fn end_of_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn rebuilt(raw: RawJson<'_>) -> Value {
        if raw.is_object() {
            return raw.members().map(|(key, value)| (key.text().unwrap().into_owned(), rebuilt(value))).collect();
        }
        if raw.is_array() {
            return raw.elements().map(rebuilt).collect();
        }
        serde_json::from_str(raw.as_str()).unwrap()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\é{]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_parser_finds(value in value(), pretty in any::<bool>()) {
            let text = if pretty { format!(" {value:#} ") } else { value.to_string() };
            prop_assert_eq!(rebuilt(RawJson::new(&text)), value);
        }

        #[test]
        fn what_is_not_json_makes_no_panic_and_no_endless_loop(text in "[\\[\\]{}\",:\\\\ 0a\u{e9}]{0,24}") {
            let raw = RawJson::new(&text);
            prop_assert!(raw.elements().count() <= text.len());
            prop_assert!(raw.members().count() <= text.len());
            let _ = (raw.member("a"), raw.text(), raw.as_f64());
        }
    }

    #[test]
    fn deep_nesting_does_not_recurse() {
        let text = format!("[{}{}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(RawJson::new(&text).elements().count(), 1);
    }

    #[test]
    fn a_value_never_prints_what_it_holds() {
        let raw = RawJson::new(r#"{"a":"secret"}"#);
        assert_eq!(format!("{raw:?} {:?}", raw.members()), "RawJson(object, 14 bytes) RawMembers(13 bytes)");
    }

    #[test]
    fn numbers_are_only_what_json_calls_numbers() {
        let f64 = |text| RawJson::new(text).as_f64();
        assert_eq!(
            (f64("0.5"), f64("-1e3"), f64("inf"), f64("NaN"), f64("1e999")),
            (Some(0.5), Some(-1e3), None, None, None)
        );
        assert_eq!((RawJson::new("-1").as_u64(), RawJson::new("-1").as_i64()), (None, Some(-1)));
    }
}
