//! Tokens estimated from the kinds of characters, where no encoding is at hand.

/// Thousandths of a token.
type Milli = u64;

/// What a run of characters of one kind is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Letters of a Latin word.
    Word,
    Digits,
    Marks,
    Space,
    Newline,
    /// Letters of other alphabets in two bytes: Greek, Cyrillic, Hebrew, Arabic.
    Alphabet,
    /// Signs for words or syllables: Chinese, Japanese, Korean.
    Sign,
    /// Letters of other scripts in three bytes: of India, Thailand, Georgia.
    Script,
    /// Emoji and what else is beyond.
    Beyond,
}

/// Estimates the tokens of `text`, in one pass and without allocation.
pub(crate) fn tokens(text: &str) -> u64 {
    let (mut milli, mut run, mut length, mut before) = (0, Kind::Newline, 0_u64, Kind::Newline);
    let mut lower = false;
    for c in text.chars() {
        // Accents often cut a word.
        milli += if matches!(c, '\u{c0}'..='\u{24f}') { 550 } else { 0 };
        let kind = Kind::of(c);
        // A hump in an identifier begins a word.
        let hump = kind == Kind::Word && lower && c.is_ascii_uppercase();
        lower = c.is_ascii_lowercase();
        if kind == run && !hump {
            length += 1;
            continue;
        }
        milli += run.cost(length, before);
        (before, run, length) = (run, kind, 1);
    }
    milli += run.cost(length, before);
    milli.div_ceil(1_000)
}

impl Kind {
    const fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' | '\'' | '\u{c0}'..='\u{24f}' => Self::Word,
            '0'..='9' => Self::Digits,
            '\n' | '\r' => Self::Newline,
            ' ' | '\t' | '\u{a0}' => Self::Space,
            '\0'..='\u{bf}' | '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' => {
                Self::Marks
            }
            '\u{250}'..='\u{7ff}' => Self::Alphabet,
            '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' => {
                Self::Sign
            }
            '\u{800}'..='\u{ffff}' => Self::Script,
            _ => Self::Beyond,
        }
    }

    /// What a run of `length` characters costs, that stands after a run of the kind `before`.
    const fn cost(self, length: u64, before: Self) -> Milli {
        match self {
            _ if length == 0 => 0,
            // Most words are one token; long ones are cut.
            Self::Word => 1_000 + length.saturating_sub(5) * 110,
            Self::Digits => length.div_ceil(3) * 1_000,
            Self::Marks => 850 + (length - 1) * 350,
            // One space belongs to the word behind it.
            Self::Space if length == 1 => 0,
            Self::Space => 700 + length * 10,
            // Marks take the ends of lines behind them along.
            Self::Newline if matches!(before, Self::Marks) => 150,
            Self::Newline => 800,
            Self::Alphabet => 600 + length * 330,
            Self::Sign => length * 850,
            Self::Script => 400 + length * 600,
            Self::Beyond => length * 2_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("word"), 1);
    }

    proptest! {
        #[test]
        fn more_text_is_not_fewer_tokens_by_more_than_a_joint(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            let (whole, parts) = (tokens(&format!("{a}{b}")), tokens(&a) + tokens(&b));
            prop_assert!(whole <= parts + 2 && whole + 4 >= parts, "{whole} {parts}");
        }

        #[test]
        fn an_estimate_is_never_above_the_bytes(text in "\\PC{0,80}") {
            prop_assert!(tokens(&text) <= text.len() as u64 + 1);
        }
    }
}
