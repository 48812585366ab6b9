//! Reads numbers, in digits and in words.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::token::{Kind, Token, fingerprint};
use super::words;

/// A number of a text: what it is, and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) value: u64,
    pub(super) unit: u16,
}

/// The numbers of a text in their order. `used` tells which tokens they are made of.
pub(super) fn numbers(tokens: &[Token], used: &mut Vec<bool>) -> Vec<Number> {
    used.clear();
    used.resize(tokens.len(), false);
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (value, mut end) = match tokens[at].kind {
            Kind::Digits => (Some(plain(&tokens[at].text)), at + 1),
            Kind::Code => (Some(tokens[at].text.clone()), at + 1),
            Kind::Word => spelled(tokens, at),
            Kind::Symbol => (None, at + 1),
        };
        let Some(value) = value else {
            at += 1;
            continue;
        };
        let before = at.checked_sub(1).filter(|&before| tokens[before].kind == Kind::Symbol && !used[before]);
        let mut unit = before.and_then(|before| words::unit(&tokens[before].text));
        if let (Some(before), Some(_)) = (before, unit) {
            used[before] = true;
        } else if let Some(following) = tokens.get(end) {
            unit = words::unit(&following.text);
            end += usize::from(unit.is_some());
        }
        used[at..end].iter_mut().for_each(|used| *used = true);
        numbers.push(Number { value: fingerprint(&value), unit: unit.unwrap_or(0) });
        at = end;
    }
    numbers
}

/// `1,000.50` is `1000.5`. Zeros in front are kept: they belong to identifiers.
fn plain(digits: &str) -> String {
    let grouped = digits.split(',').skip(1).all(|group| group.split('.').next().is_some_and(|group| group.len() == 3));
    let plain = if grouped { digits.replace(',', "") } else { digits.to_owned() };
    match plain.split_once('.') {
        Some((whole, part)) if !part.contains('.') => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        _ => plain,
    }
}

/// The number that words spell from `at` on, and where it ends.
fn spelled(tokens: &[Token], at: usize) -> (Option<String>, usize) {
    // "the red one" counts nothing.
    if tokens[at].text == "one"
        && (at + 1 == tokens.len() || at.checked_sub(1).is_some_and(|before| points(&tokens[before].text)))
    {
        return (None, at + 1);
    }
    let (mut total, mut part, mut end, mut ordinal) = (0_u64, None::<u64>, at, false);
    while let Some(token) = tokens.get(end).filter(|token| token.kind == Kind::Word && !ordinal) {
        let text = token.text.as_str();
        if text == "and"
            && part.is_some_and(|part| part.is_multiple_of(100))
            && tokens.get(end + 1).is_some_and(|next| small(&next.text).is_some())
        {
            end += 1;
            continue;
        }
        if let Some((value, is_ordinal)) = small(text) {
            match part {
                None => part = Some(value),
                Some(before) if fits(before, value) => part = Some(before + value),
                Some(_) => break,
            }
            ordinal = is_ordinal;
        } else if let Some(scale) = scale(text) {
            match part {
                None if end > at => break,
                // "a hundred" and "hundred" are the same, "million" alone is a unit.
                None | Some(0) => part = Some(scale),
                Some(value) if scale == 100 => part = Some(value.saturating_mul(100)),
                Some(value) => {
                    total = total.saturating_add(value.saturating_mul(scale));
                    part = Some(0);
                }
            }
        } else {
            break;
        }
        end += 1;
    }
    let Some(part) = part else {
        return (word(&tokens[at].text).map(str::to_owned), at + 1);
    };
    let value = total.saturating_add(part);
    (Some(value.to_string()), end)
}

/// Whether `twenty` may be followed by `one`, or `two hundred` by `thirty`.
const fn fits(before: u64, value: u64) -> bool {
    (before == 0 && value > 0)
        || (before.is_multiple_of(100) && value < 100)
        || (before.is_multiple_of(10) && before % 100 >= 20 && value < 10 && value > 0)
}

fn points(text: &str) -> bool {
    [
        "this", "that", "the", "which", "no", "any", "every", "each", "another", "some", "new", "good", "only", "does",
        "can", "should", "would", "if",
    ]
    .contains(&text)
}

/// Words for numbers that are not whole, and for how often.
fn word(text: &str) -> Option<&'static str> {
    Some(match text {
        "half" => "0.5",
        "quarter" => "0.25",
        "once" => "once",
        "twice" => "twice",
        "dozen" => "12",
        "single" => "1",
        "double" => "double",
        "triple" => "triple",
        _ => return None,
    })
}

/// The words below a hundred: the value of each, and whether it tells a place in a row.
static SMALL: LazyLock<HashMap<&'static str, (u64, bool), RandomState>> = LazyLock::new(|| {
    const CARDINAL: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
        seventeen eighteen nineteen";
    const ORDINAL: &str = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth \
        fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth";
    const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";
    const TENTHS: &str = "twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth";
    let values = |from: u64, step: usize, ordinal: bool| (from..).step_by(step).map(move |value| (value, ordinal));
    let cardinals = CARDINAL.split(' ').zip(values(0, 1, false)).chain(TENS.split(' ').zip(values(20, 10, false)));
    let ordinals = ORDINAL.split(' ').zip(values(0, 1, true)).chain(TENTHS.split(' ').zip(values(20, 10, true)));
    cardinals.chain(ordinals).collect()
});

fn small(text: &str) -> Option<(u64, bool)> {
    SMALL.get(text).copied()
}

fn scale(text: &str) -> Option<u64> {
    match text {
        "hundred" => Some(100),
        "thousand" => Some(1_000),
        "million" => Some(1_000_000),
        "billion" => Some(1_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    fn read(text: &str) -> Vec<Number> {
        numbers(&tokens(text).0, &mut Vec::new())
    }

    #[test]
    fn spellings_of_a_number_are_one() {
        for (one, other) in [
            ("twenty five files", "25 files"),
            ("two hundred and thirty-one", "231"),
            ("three thousand five hundred", "3,500"),
            ("1,000.50", "1000.5"),
            ("the thirteenth", "the 13"),
            ("5pm", "5 p.m"),
            ("$50", "50 dollars"),
            ("10 percent", "10%"),
            ("ten kilometres", "10km"),
            ("a hundred people", "100 people"),
            ("book one ticket", "book 1 ticket"),
        ] {
            assert_eq!(read(one), read(other), "{one} | {other}");
            assert!(!read(one).is_empty(), "{one}");
        }
    }

    #[test]
    fn words_below_a_hundred_have_their_values() {
        for (word, expected) in [
            ("zero", (0, false)),
            ("nineteen", (19, false)),
            ("twenty", (20, false)),
            ("ninety", (90, false)),
            ("zeroth", (0, true)),
            ("nineteenth", (19, true)),
            ("twentieth", (20, true)),
            ("ninetieth", (90, true)),
        ] {
            assert_eq!(small(word), Some(expected), "{word}");
        }
        assert_eq!((small("hundred"), small(""), SMALL.len()), (None, None, 56));
    }

    #[test]
    fn other_numbers_are_others() {
        for (one, other) in [
            ("5 km", "5 miles"),
            ("-5", "5"),
            ("007", "7"),
            ("1.2.3", "1.2.4"),
            ("twenty one", "twenty two"),
            ("5 to 3", "3 to 5"),
            ("gpt4", "gpt3"),
            ("half", "all"),
            ("one ticket", "a ticket"),
            ("01/02/2024", "02/01/2024"),
        ] {
            assert_ne!(read(one), read(other), "{one} | {other}");
        }
        assert!(read("the red one").is_empty());
    }
}
