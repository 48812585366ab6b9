//! What seems to be somebody's own.

/// Returns whether a text seems to hold a mail address, a telephone, card or social security number, or a key.
///
/// It is a guess, made in one pass: what is missed is only cached within its tenant, and what is wrongly found is only not cached.
pub(super) fn is_in(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Nearly all texts have neither, and that is found out many bytes at a time.
    if !bytes.iter().fold(false, |found, byte| found | (*byte == b'@') | byte.is_ascii_digit()) {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        let fresh = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        match bytes[at] {
            b'@' if is_mail(bytes, at) => return true,
            b's' | b'A' | b'g' | b'B' if fresh && is_key(&text[at..]) => return true,
            b'+' | b'0'..=b'9' if fresh => {
                let number = Number::read(&bytes[at..]);
                if number.is_personal() {
                    return true;
                }
                at += number.length.max(1);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// Digits, and what may stand between those of one number.
struct Number {
    plus: bool,
    digits: Vec<u8>,
    /// The lengths of the groups that hyphens set apart.
    groups: Vec<usize>,
    length: usize,
}

fn is_mail(bytes: &[u8], at: usize) -> bool {
    let before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || b"._%+-".contains(&bytes[at - 1]));
    let domain: Vec<u8> = bytes[at + 1..]
        .iter()
        .copied()
        .take_while(|b| b.is_ascii_alphanumeric() || b".-".contains(b))
        .take(253)
        .collect();
    let dot = domain.iter().position(|byte| *byte == b'.');
    before && dot.is_some_and(|dot| dot > 0 && domain.get(dot + 1).is_some_and(u8::is_ascii_alphabetic))
}

fn is_key(text: &str) -> bool {
    ["sk-", "AKIA", "ghp_", "Bearer ", "gho_"].iter().any(|start| {
        let rest = text.strip_prefix(start).unwrap_or_default();
        rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)).take(16).count() == 16
    })
}

// === impl Number ===

impl Number {
    fn read(bytes: &[u8]) -> Self {
        let mut number = Self { plus: bytes[0] == b'+', digits: Vec::new(), groups: vec![0], length: 0 };
        let mut gap = 0;
        for (at, byte) in bytes.iter().enumerate().take(64) {
            match byte {
                b'0'..=b'9' => {
                    number.digits.push(byte - b'0');
                    *number.groups.last_mut().expect("there is one") += 1;
                    (number.length, gap) = (at + 1, 0);
                }
                b'+' if at == 0 => {}
                b'-' if gap == 0 => {
                    number.groups.push(0);
                    gap += 1;
                }
                b' ' | b'(' | b')' if gap < 2 => gap += 1,
                _ => break,
            }
        }
        number
    }

    fn is_personal(&self) -> bool {
        let count = self.digits.len();
        let telephone = self.plus && (9..=15).contains(&count);
        let american = self.groups[..] == [3, 2, 4] || self.groups[..] == [3, 3, 4];
        telephone || american || ((13..=19).contains(&count) && self.is_card())
    }

    /// By the check digit of ISO/IEC 7812-1.
    fn is_card(&self) -> bool {
        let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
        let digits = self.digits.iter().rev().map(|digit| u32::from(*digit)).enumerate();
        let sum: u32 = digits.map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
        sum.is_multiple_of(10) && sum > 0
    }
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn what_is_somebodys_own_is_found() {
        for text in [
            "write to ada@example.org today",
            "call +44 20 7946 0958",
            "call 555-010-9999 now",
            "my number is 078-05-1120",
            "card 4111 1111 1111 1111",
            "4111111111111111",
            "use sk-proj-abcdefghijklmnop1234",
            "AKIAIOSFODNN7EXAMPLE is it",
            "Authorization: Bearer abcdef0123456789abcdef",
        ] {
            assert!(is_in(text), "{text}");
        }
    }

    #[test]
    fn what_is_nobodys_is_not() {
        for text in [
            "what is 2 + 2?",
            "the year 2026, or 1999-2000",
            "a risk-free plan",
            "@home and foo@bar",
            "1234567890123",
            "10,000,000 people in 2 cities",
            "ask the bearer of this",
            "+5 and +10 points",
            "é@ü.ö ñ",
            "",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }
}
