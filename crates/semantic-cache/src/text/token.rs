//! Cuts a text into tokens.

use std::hash::{DefaultHasher, Hasher as _};

use super::words;

/// One token, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// It begins with a capital that the beginning of a sentence does not explain.
    pub(super) capital: bool,
}

/// What a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters.
    Word,
    /// Digits, perhaps with points, and a sign.
    Digits,
    /// Letters and digits: a version, a model, a number of a ticket.
    Code,
    /// A sign that means something, such as `+` or `%`.
    Symbol,
}

/// How many tokens of a text are read. The rest is compared as a whole.
pub(super) const MAX_TOKENS: usize = 256;
const MAX_TOKEN_BYTES: usize = 96;

/// The tokens of `text`, and the fingerprint of what was beyond the last that is read.
pub(super) fn tokens(text: &str) -> (Vec<Token>, Option<u64>) {
    let mut tokens = Vec::new();
    let mut begins = true;
    let mut rest = text;
    while let Some((before, raw, after)) = next(rest) {
        begins |= before.contains(['.', '!', '?', '\n', ':', '"', '“']);
        if tokens.len() >= MAX_TOKENS || raw.len() > MAX_TOKEN_BYTES {
            return (tokens, Some(fingerprint(rest.trim())));
        }
        push(&mut tokens, raw, before, begins);
        begins = false;
        rest = after;
    }
    (tokens, None)
}

/// A hash that is the same in every process.
pub(crate) fn fingerprint(bytes: impl AsRef<[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes.as_ref());
    hasher.finish()
}

/// What stands before the next token, the token, and what follows.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(|char: char| char.is_alphanumeric() || is_symbol(char))?;
    let (before, token) = text.split_at(start);
    let first = token.chars().next()?;
    if is_symbol(first) {
        let (symbol, after) = token.split_at(first.len_utf8());
        return Some((before, symbol, after));
    }
    let mut end = token.len();
    let mut previous = first;
    let mut chars = token.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let following = chars.peek().map(|&(_, following)| following);
        let abbreviates = char == '.' && at == first.len_utf8() && following.is_some_and(char::is_alphabetic);
        if !(char.is_alphanumeric() || is_combining(char) || abbreviates || joins(previous, char, following)) {
            end = at;
            break;
        }
        previous = char;
    }
    let (token, after) = token.split_at(end);
    Some((before, token, after))
}

/// Whether `char` holds together what is on its two sides: `don't`, `1,000`, `1.2.3`, `c++`.
fn joins(previous: char, char: char, following: Option<char>) -> bool {
    match char {
        '\'' | '’' => previous.is_alphabetic() && following.is_some_and(char::is_alphabetic),
        '.' | ',' => previous.is_ascii_digit() && following.is_some_and(|next| next.is_ascii_digit()),
        '+' | '#' => {
            previous == '+' || (previous.is_alphabetic() && following.is_none_or(|next| !next.is_alphanumeric()))
        }
        _ => false,
    }
}

const fn is_symbol(char: char) -> bool {
    matches!(
        char,
        '+' | '*'
            | '='
            | '<'
            | '>'
            | '%'
            | '^'
            | '&'
            | '@'
            | '$'
            | '€'
            | '£'
            | '¥'
            | '#'
            | '°'
            | '×'
            | '÷'
            | '≤'
            | '≥'
            | '≠'
    )
}

/// Marks that belong to the letter before them, also those of scripts that write vowels so.
const fn is_combining(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4f}' | '\u{200c}' | '\u{200d}')
}

fn push(tokens: &mut Vec<Token>, raw: &str, before: &str, begins: bool) {
    let text = raw.to_lowercase();
    let capital = !begins && raw.chars().next().is_some_and(char::is_uppercase) && raw != "I" && !raw.starts_with("I'");
    if matches!(before, " - " | " − " | " / ") && tokens.last().is_some_and(|last| last.kind == Kind::Digits) {
        tokens.push(Token { text: before.trim().to_owned(), kind: Kind::Symbol, capital: false });
    }
    let of_zone = tokens.last().is_some_and(|last| matches!(last.text.as_str(), "gmt" | "utc"));
    let negative = ["-", "−"].iter().any(|sign| {
        before
            .strip_suffix(sign)
            .is_some_and(|rest| rest.ends_with([' ', '(']) || (rest.is_empty() && (tokens.is_empty() || of_zone)))
    });
    let mut add = |text: &str, kind| tokens.push(Token { text: text.to_owned(), kind, capital });
    match kind(&text) {
        Kind::Digits if negative => add(&format!("-{text}"), Kind::Digits),
        Kind::Word => match (words::written_apart(&text), text.split_once(['\'', '’'])) {
            (Some(parts), _) => parts.split(' ').for_each(|part| add(part, Kind::Word)),
            (None, Some((word, ending))) => split_contraction(word, ending, add),
            (None, None) => add(&text, Kind::Word),
        },
        Kind::Code => match text.find(|char: char| !(char.is_ascii_digit() || matches!(char, '.' | ','))) {
            // `5pm`, `10km`, `13th`: a number and what it counts.
            Some(end) if end > 0 && words::follows_digits(&text[end..]) => {
                add(&text[..end], Kind::Digits);
                add(&text[end..], Kind::Word);
            }
            _ => add(&text, Kind::Code),
        },
        kind => add(&text, kind),
    }
}

fn kind(text: &str) -> Kind {
    let (mut letters, mut digits) = (false, false);
    for char in text.chars() {
        digits |= char.is_numeric();
        letters |= char.is_alphabetic();
    }
    match (letters, digits) {
        (true, true) => Kind::Code,
        (false, true) => Kind::Digits,
        (true, false) => Kind::Word,
        (false, false) => Kind::Symbol,
    }
}

fn split_contraction(word: &str, ending: &str, mut add: impl FnMut(&str, Kind)) {
    let full = match ending {
        "t" => {
            let word = match word {
                "won" => "will",
                "can" => "can",
                "shan" => "shall",
                _ => word.strip_suffix('n').unwrap_or(word),
            };
            add(word, Kind::Word);
            return add("not", Kind::Word);
        }
        "s" => match word {
            "what" | "where" | "who" | "when" | "how" | "it" | "that" | "there" | "here" | "he" | "she" => "is",
            // A genitive adds nothing to its word.
            _ => return add(word, Kind::Word),
        },
        "m" => "am",
        "re" => "are",
        "ll" => "will",
        "ve" => "have",
        "d" => "would",
        _ => ending,
    };
    add(word, Kind::Word);
    add(full, Kind::Word);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        tokens(text).0.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn words_numbers_and_signs_are_told_apart() {
        assert_eq!(read("Don't open 1,000.5 files!"), "do|not|open|1,000.5|files");
        assert_eq!(read("What's C++ vs. C# at 5pm on the 13th?"), "what|is|c++|vs|c#|at|5|pm|on|the|13|th");
        assert_eq!(read("-5 or 3-5 or (-2) is 3 - 4"), "-5|or|3|5|or|-2|is|3|-|4");
        assert_eq!(read("gpt-4o costs $5 and 10% of b2b"), "gpt|4o|costs|$|5|and|10|%|of|b2b");
        assert_eq!(read("东京天気 हिन्दी"), "东京天気|हिन्दी");
        assert_eq!(read(" \u{0}…—"), "");
    }

    #[test]
    fn capitals_at_the_beginning_of_a_sentence_name_nothing() {
        let capitals =
            |text| tokens(text).0.into_iter().filter(|token| token.capital).map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(capitals("Where is Paris? In France, I think. Yes"), ["paris", "france"]);
    }

    #[test]
    fn what_is_not_read_still_counts() {
        let long = "word ".repeat(MAX_TOKENS);
        assert_eq!(tokens(&long).1, None);
        let (one, two) = (tokens(&format!("{long} end")), tokens(&format!("{long} END")));
        assert!(one.1.is_some() && one.0.len() == MAX_TOKENS);
        assert_ne!(one.1, two.1);
        assert!(tokens(&"a".repeat(1 << 20)).1.is_some());
    }
}
