//! Gathers what the tokens of a text say.

use super::Word;
use super::token::{Kind, Token, fingerprint};
use super::words;

/// Gathers what the tokens of a text say.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) words: Vec<Word>,
    pub(super) content: Vec<u64>,
    pub(super) governed: Vec<u64>,
    pub(super) names: Vec<u64>,
    pub(super) undone: Vec<u64>,
    pub(super) marks: Vec<(u8, u32)>,
    pub(super) denials: u8,
    pub(super) denied: Vec<u64>,
    denies: bool,
    pub(super) english: bool,
    governor: u64,
}

impl Reader {
    /// Takes the next token.
    pub(super) fn token(&mut self, token: &Token, in_number: bool, capitals_count: bool) {
        let text = token.text.as_str();
        let stem = if token.kind == Kind::Word { words::stem(text) } else { text };
        let fingerprint = fingerprint(stem);
        let is_content = !in_number && !words::is_function(text);
        self.english |= words::is_english(text);
        self.words.push(Word { stem: fingerprint, is_content, acts: words::acts(text) });
        if is_content {
            self.content.push(fingerprint);
            self.governed.push(fingerprint.rotate_left(17) ^ self.governor);
            self.governor = 0;
            if std::mem::take(&mut self.denies) {
                self.denied.push(fingerprint);
            }
            if let Some(rest) = words::without_prefix(stem) {
                self.undone.push(super::token::fingerprint(rest));
            }
            if capitals_count && token.capital {
                self.names.push(fingerprint);
            }
        } else {
            self.governor = fingerprint;
        }
        if words::denies(text) {
            self.denials = self.denials.saturating_add(1);
            self.denies = true;
        }
        for mark in words::marks(text) {
            match self.marks.binary_search_by_key(&mark.class, |&(class, _)| class) {
                Ok(at) => self.marks[at].1 |= mark.member,
                Err(at) => self.marks.insert(at, (mark.class, mark.member)),
            }
        }
    }
}
