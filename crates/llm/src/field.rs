//! A line of an event stream.

use std::time::Duration;

/// What a line is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    End,
    Comment,
    Name,
    Data,
    Id,
    Retry(Duration),
    Stray,
    Other,
}

// === impl Field ===

impl Field {
    /// Returns what `line` is for, and where in it the value begins.
    #[inline]
    pub(crate) fn of(line: &[u8]) -> (Self, usize) {
        // Nearly every line is one of the first two.
        if let Some(value) = line.strip_prefix(b"data:") {
            return (Self::Data, 5 + usize::from(value.starts_with(b" ")));
        }
        let Some(&first) = line.first() else { return (Self::End, 0) };
        if first == b':' {
            return (Self::Comment, 1);
        }
        if first == b'{' {
            return (Self::Stray, 0);
        }
        let colon = line.iter().take(MAX_FIELD + 1).position(|&byte| byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], at + 1 + usize::from(line.get(at + 1) == Some(&b' '))),
            None => (line, line.len()),
        };
        let field = match name {
            b"data" => Self::Data,
            b"event" => Self::Name,
            b"id" if !line[value..].contains(&0) => Self::Id,
            b"retry" => millis(&line[value..]).map_or(Self::Other, Self::Retry),
            _ => Self::Other,
        };
        (field, value)
    }
}

/// The longest name of a field that is known.
const MAX_FIELD: usize = 5;

/// Reads a number of milliseconds: ASCII digits, and nothing else.
fn millis(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let more = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_millis(digits.iter().fold(0, more)))
}
