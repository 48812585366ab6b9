//! Percent-encoding (RFC 3986, section 2.1) of what stands in one segment of a path.

use std::borrow::Cow;

/// Decodes `text`; `None` if an escape is broken or the result is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return None };
        out.push(hex(*high)? << 4 | hex(*low)?);
        rest = tail;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Appends `text` to `out`, with every byte escaped that is neither unreserved nor a colon.
pub(crate) fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_escapes_are_refused() {
        for bad in ["%", "%4", "%zz", "a%2", "%ff", "%c3%28", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode("gpt%2D4o%20mini").as_deref(), Some("gpt-4o mini"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
            let mut out = String::new();
            encode(&text, &mut out);
            prop_assert!(out.is_ascii() && !out.contains(['/', '?', '#', ' ']));
            prop_assert_eq!(decode(&out).unwrap(), text);
        }
    }
}
