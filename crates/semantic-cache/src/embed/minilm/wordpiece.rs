//! Texts cut into the pieces that the model has learned: WordPiece, as BERT's uncased models use it.

use std::collections::HashMap;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// A longer word is one unknown token.
const LONGEST_WORD: usize = 100;

/// A vocabulary.
#[derive(Debug)]
pub(super) struct WordPiece {
    /// Pieces that begin a word; those that go on with one have `##` before.
    pieces: HashMap<Box<str>, u32>,
    lowercase: bool,
    unknown: u32,
    start: u32,
    end: u32,
}

// === impl WordPiece ===

impl WordPiece {
    /// Reads a vocabulary: one piece on each line, numbered from 0. `None` if one of the special tokens is missing.
    pub(super) fn new(vocabulary: &str, lowercase: bool) -> Option<Self> {
        let numbered = vocabulary.lines().zip(0..);
        let pieces: HashMap<Box<str>, u32> =
            numbered.map(|(piece, number)| (piece.trim_end().into(), number)).collect();
        let special = |name: &str| pieces.get(name).copied();
        let (unknown, start, end) = (special("[UNK]")?, special("[CLS]")?, special("[SEP]")?);
        Some(Self { pieces, lowercase, unknown, start, end })
    }

    /// Returns the highest number of a token.
    pub(super) fn highest(&self) -> u32 {
        self.pieces.values().copied().max().unwrap_or(0)
    }

    /// Cuts `text` into tokens, with those that mark its ends. `None` if there are more than `most`.
    pub(super) fn tokens(&self, text: &str, most: usize) -> Option<Vec<u32>> {
        let mut tokens = vec![self.start];
        let mut word = String::new();
        for letter in self.letters(text).chain([' ']) {
            let alone = is_mark(letter) || is_ideograph(letter);
            if letter != ' ' && !alone {
                word.push(letter);
                continue;
            }
            self.push_word(&word, &mut tokens);
            word.clear();
            if alone {
                self.push_word(letter.encode_utf8(&mut [0; 4]), &mut tokens);
            }
            if tokens.len() >= most {
                return None;
            }
        }
        tokens.push(self.end);
        Some(tokens)
    }

    /// Returns the letters of `text` that count: no control characters, one kind of space, small and without accents.
    fn letters(&self, text: &str) -> impl Iterator<Item = char> {
        let (plain, lowercase) = (text.chars().filter_map(plain), self.lowercase);
        let cased = if lowercase { None } else { Some(plain.clone()) };
        let folded = plain.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
        cased.into_iter().flatten().chain(folded.filter(move |_| lowercase))
    }

    /// Cuts `word` into the longest pieces from the left, or makes it one unknown token.
    fn push_word(&self, word: &str, tokens: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let before = tokens.len();
        if word.chars().count() > LONGEST_WORD || !self.push_pieces(word, tokens) {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }

    fn push_pieces(&self, word: &str, tokens: &mut Vec<u32>) -> bool {
        let mut piece = String::with_capacity(word.len() + 2);
        let mut rest = word;
        while !rest.is_empty() {
            let continued = rest.len() < word.len();
            let longest = rest.char_indices().map(|(at, letter)| at + letter.len_utf8()).rev().find_map(|end| {
                piece.clear();
                piece.push_str(if continued { "##" } else { "" });
                piece.push_str(&rest[..end]);
                self.pieces.get(&*piece).map(|token| (*token, end))
            });
            let Some((token, end)) = longest else { return false };
            tokens.push(token);
            rest = &rest[end..];
        }
        true
    }
}

/// Returns `letter` as it counts, if it does.
fn plain(letter: char) -> Option<char> {
    match letter {
        '\t' | '\n' | '\r' => Some(' '),
        '\0' | '\u{fffd}' => None,
        _ if letter.is_whitespace() => Some(' '),
        _ if letter.is_control() || is_format(letter) => None,
        _ => Some(letter),
    }
}

/// Returns whether `letter` only says how others are shown.
const fn is_format(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0001}'..='\u{e007f}')
}

/// Returns whether `letter` is a word by itself: what is no letter, digit or space in ASCII, and punctuation elsewhere.
const fn is_mark(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || matches!(letter,
            '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{37e}' | '\u{387}'
            | '\u{55a}'..='\u{55f}' | '\u{589}' | '\u{58a}' | '\u{5be}' | '\u{5c0}' | '\u{5c3}' | '\u{5c6}'
            | '\u{5f3}' | '\u{5f4}' | '\u{609}' | '\u{60a}' | '\u{60c}' | '\u{60d}' | '\u{61b}' | '\u{61d}'..='\u{61f}'
            | '\u{66a}'..='\u{66d}' | '\u{6d4}' | '\u{700}'..='\u{70d}' | '\u{964}' | '\u{965}' | '\u{970}'
            | '\u{e4f}' | '\u{e5a}' | '\u{e5b}' | '\u{f04}'..='\u{f12}' | '\u{10fb}' | '\u{1360}'..='\u{1368}'
            | '\u{166e}' | '\u{16eb}'..='\u{16ed}' | '\u{17d4}'..='\u{17d6}' | '\u{17d8}'..='\u{17da}'
            | '\u{1800}'..='\u{180a}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{2043}' | '\u{2045}'..='\u{2051}'
            | '\u{2053}'..='\u{205e}' | '\u{207d}' | '\u{207e}' | '\u{208d}' | '\u{208e}' | '\u{2308}'..='\u{230b}'
            | '\u{2329}' | '\u{232a}' | '\u{2768}'..='\u{2775}' | '\u{27c5}' | '\u{27c6}' | '\u{27e6}'..='\u{27ef}'
            | '\u{2983}'..='\u{2998}' | '\u{29d8}'..='\u{29db}' | '\u{29fc}' | '\u{29fd}' | '\u{2cf9}'..='\u{2cfc}'
            | '\u{2e00}'..='\u{2e4f}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}'
            | '\u{3030}' | '\u{303d}' | '\u{30a0}' | '\u{30fb}' | '\u{a4fe}' | '\u{a4ff}' | '\u{a60d}'..='\u{a60f}'
            | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe52}' | '\u{fe54}'..='\u{fe61}' | '\u{fe63}' | '\u{fe68}'
            | '\u{fe6a}' | '\u{fe6b}' | '\u{ff01}'..='\u{ff03}' | '\u{ff05}'..='\u{ff0a}' | '\u{ff0c}'..='\u{ff0f}'
            | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}' | '\u{ff20}' | '\u{ff3b}'..='\u{ff3d}' | '\u{ff3f}' | '\u{ff5b}'
            | '\u{ff5d}' | '\u{ff5f}'..='\u{ff65}')
}

/// Returns whether `letter` is of the Chinese script, in which each is taken for a word.
const fn is_ideograph(letter: char) -> bool {
    matches!(letter,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2ceaf}' | '\u{2f800}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> WordPiece {
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nhello\n!\n中\n文\n##s\na\n##a\nca\n##fe";
        WordPiece::new(vocabulary, true).expect("it has the special tokens")
    }

    fn tokens(text: &str) -> Vec<u32> {
        words().tokens(text, 200).expect("few tokens")
    }

    #[test]
    fn words_are_cut_into_the_longest_pieces() {
        assert_eq!(tokens("unaffable"), [2, 4, 5, 6, 3]);
        assert_eq!(tokens("Hello HELLOs!!"), [2, 7, 7, 11, 8, 8, 3]);
        assert_eq!(tokens("unaffordable hello"), [2, 1, 7, 3], "what cannot be cut to the end is unknown as a whole");
        assert_eq!(tokens("中文hello"), [2, 9, 10, 7, 3]);
        assert_eq!(tokens("Café"), [2, 14, 15, 3]);
        assert_eq!(tokens("he\u{0}l\u{200d}lo\u{a0}\t hello\n"), [2, 7, 7, 3]);
        assert_eq!(tokens(" \n"), [2, 3]);
    }

    #[test]
    fn long_words_are_unknown_and_long_texts_refused() {
        assert_eq!(tokens(&"a".repeat(100)).len(), 102);
        assert_eq!(tokens(&"a".repeat(101)), [2, 1, 3]);
        assert_eq!(words().tokens("a a a", 5), Some(vec![2, 12, 12, 12, 3]));
        assert_eq!(words().tokens("a a a", 4), None);
        assert_eq!(words().tokens(&"a ".repeat(100_000), 512), None);
    }

    #[test]
    fn a_vocabulary_without_special_tokens_is_none() {
        assert!(WordPiece::new("[UNK]\n[CLS]\nhello", true).is_none());
        assert_eq!(words().highest(), 15);
    }
}
