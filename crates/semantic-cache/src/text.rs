//! What the words of a text say, kept so that two texts can be compared without the texts.

mod guards;
mod numbers;
mod reader;
mod token;
mod words;

pub use self::guards::{Guard, Guards};

use self::numbers::Number;
use self::reader::Reader;

pub(crate) use self::token::fingerprint;
use self::words::Rule;

/// What guards need of a text: fingerprints of its words, its numbers, its names and what turns its meaning.
///
/// It holds no words, and takes about twenty bytes for each. The first 256 tokens are read; texts that differ beyond differ by
/// [`Guard::Length`]. Reading takes time in proportion to the text, comparing in proportion to both.
///
/// English is read best. Numbers, names, order and the words that deny are seen in other languages too. Where the script is not
/// Latin, or nothing shows that a text is English, any other word counts as a difference ([`Guard::Language`]).
///
/// # Example
///
/// ```
/// use buttress_semantic_cache::{Guard, Text};
///
/// let asked = Text::read("Convert 100 USD to EUR");
/// assert!(asked.compare(&Text::read("convert one hundred USD to EUR, please")).is_empty());
/// assert!(!asked.compare(&Text::read("Convert 100 EUR to USD")).is_empty());
/// assert!(asked.compare(&Text::read("Convert 200 USD to EUR")).contains(Guard::Number));
///
/// let asked = Text::read("trains from Paris to Rome");
/// assert!(asked.compare(&Text::read("trains from Rome to Paris")).contains(Guard::Order));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The stems in their order.
    words: Box<[Word]>,
    /// The stems that carry meaning, sorted.
    content: Box<[u64]>,
    /// The same, each with the word that governs it, sorted.
    governed: Box<[u64]>,
    numbers: Box<[Number]>,
    names: Box<[u64]>,
    /// Stems that are denied by their prefix.
    undone: Box<[u64]>,
    /// What is said of each class: the class, and the members as bits.
    marks: Box<[(u8, u32)]>,
    denials: u8,
    /// What follows each denial, sorted.
    denied: Box<[u64]>,
    readable: bool,
    rest: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    stem: u64,
    is_content: bool,
    /// One does it to another, though it carries little meaning: to tell, to help.
    acts: bool,
}

/// How many words two texts have in common, for those that learn from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Overlap {
    /// Words that carry meaning and are in both.
    pub(crate) shared: usize,
    /// Those of the first text alone.
    pub(crate) added: usize,
    /// Those of the second text alone.
    pub(crate) missing: usize,
}

// === impl Text ===

impl Text {
    /// Reads a text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (tokens, rest) = token::tokens(text);
        let mut in_number = Vec::new();
        let numbers = numbers::numbers(&tokens, &mut in_number);
        let shouted = tokens.iter().filter(|token| token.capital).count() * 2 > tokens.len().max(5);
        let mut read = Reader::default();
        for (token, &in_number) in tokens.iter().zip(&in_number) {
            read.token(token, in_number, !shouted);
        }
        let latin = !text.chars().any(|char| char.is_alphabetic() && !is_latin(char));
        Self {
            words: read.words.into(),
            content: sorted(read.content),
            governed: sorted(read.governed),
            numbers: numbers.into(),
            names: sorted(read.names),
            undone: sorted(read.undone),
            marks: read.marks.into(),
            denials: read.denials,
            denied: sorted(read.denied),
            readable: latin && (read.english || tokens.len() < 4),
            rest,
        }
    }

    /// Returns in what the two differ.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Guards {
        let mut found = Guards::NONE;
        let mut guard = |guard, differs| {
            if differs {
                found.insert(guard);
            }
        };
        let alike = self.content == other.content;
        guard(Guard::Length, self.rest != other.rest);
        guard(Guard::Language, !(self.readable && other.readable) && self.words != other.words);
        let denies_other = self.denials != other.denials || (alike && self.denied != other.denied);
        guard(Guard::Polarity, denies_other || self.undoes(other) || other.undoes(self));
        guard(Guard::Name, self.names_more_than(other) || other.names_more_than(self));
        guard(Guard::Slot, self.substitutes(other));
        let reordered = alike && !self.content_in_order().eq(other.content_in_order());
        guard(Guard::Order, reordered && (self.governed != other.governed || self.turns_round(other)));
        match Numbers::compare(&self.numbers, &other.numbers) {
            Numbers::Same => {}
            Numbers::Reordered => guard(Guard::Order, true),
            Numbers::OtherUnits => guard(Guard::Unit, true),
            Numbers::Others => guard(Guard::Number, true),
        }
        for (class, mine, theirs) in both(&self.marks, &other.marks) {
            let Some((name, rule)) = words::rule(class) else { continue };
            let apart = mine != 0 && theirs != 0 && mine & theirs == 0;
            guard(
                name,
                match rule {
                    Rule::Same => mine != theirs,
                    Rule::Apart => apart,
                    Rule::ApartAlike => apart && alike,
                },
            );
        }
        found
    }

    /// Returns how many words carry meaning: "and in French?" has one, "yes" has one, "why" has none.
    #[must_use]
    pub fn content_words(&self) -> usize {
        self.content.len()
    }

    /// Returns how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.words)
            + size_of_val(&*self.content)
            + size_of_val(&*self.governed)
            + size_of_val(&*self.numbers)
            + size_of_val(&*self.names)
            + size_of_val(&*self.denied)
            + size_of_val(&*self.undone)
            + size_of_val(&*self.marks)
    }

    pub(crate) fn overlap(&self, other: &Self) -> Overlap {
        let mut overlap = Overlap::default();
        merge(&self.content, &other.content, |mine, theirs| match (mine, theirs) {
            (true, true) => overlap.shared += 1,
            (true, false) => overlap.added += 1,
            (false, _) => overlap.missing += 1,
        });
        overlap
    }

    /// Whether two answers have the same numbers, and deny alike.
    pub(crate) fn has_facts_of(&self, other: &Self) -> bool {
        let numbers = matches!(Numbers::compare(&self.numbers, &other.numbers), Numbers::Same | Numbers::Reordered);
        numbers && self.denials == other.denials && self.rest == other.rest
    }

    fn content_in_order(&self) -> impl Iterator<Item = u64> {
        self.words.iter().filter(|word| word.is_content).map(|word| word.stem)
    }

    /// Whether two words have changed sides of a third one: who does it to whom.
    fn turns_round(&self, other: &Self) -> bool {
        let acting = |text: &Self| -> Vec<u64> {
            text.words.iter().filter(|word| word.is_content || word.acts).map(|word| word.stem).collect()
        };
        let (mine, theirs) = (acting(self), acting(other));
        let place = |word| theirs.iter().position(|&other| other == word);
        // For each word, where the other text has it.
        let places: Vec<usize> = mine.into_iter().filter_map(place).collect();
        (1..places.len()).any(|middle| {
            let (before, after) = (&places[..middle], &places[middle + 1..]);
            before.iter().any(|&at| at > places[middle]) && after.iter().any(|&at| at < places[middle])
        })
    }

    /// Whether it has "uninstall" where the other has "install".
    fn undoes(&self, other: &Self) -> bool {
        self.undone
            .iter()
            .any(|stem| other.content.binary_search(stem).is_ok() && self.content.binary_search(stem).is_err())
    }

    fn names_more_than(&self, other: &Self) -> bool {
        self.names.iter().any(|name| other.content.binary_search(name).is_err())
    }

    /// Whether one sentence becomes the other by exchanging words that carry meaning.
    fn substitutes(&self, other: &Self) -> bool {
        let Overlap { shared, added, missing } = self.overlap(other);
        if added == 1 && missing == 1 {
            return true;
        }
        let differing = || self.words.iter().zip(&other.words).filter(|(mine, theirs)| mine.stem != theirs.stem);
        self.words.len() == other.words.len()
            && added > 0
            && shared + self.words.len() > 2 * differing().count()
            && differing().all(|(mine, theirs)| mine.is_content && theirs.is_content)
    }
}

/// How the numbers of two texts differ.
enum Numbers {
    Same,
    Reordered,
    OtherUnits,
    Others,
}

impl Numbers {
    fn compare(mine: &[Number], theirs: &[Number]) -> Self {
        let by_value =
            |numbers: &[Number]| sorted(numbers.iter().map(|number| Number { unit: 0, ..*number }).collect());
        if mine == theirs {
            Self::Same
        } else if sorted(mine.to_vec()) == sorted(theirs.to_vec()) {
            Self::Reordered
        } else if by_value(mine) == by_value(theirs) {
            Self::OtherUnits
        } else {
            Self::Others
        }
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Box<[T]> {
    items.sort_unstable();
    items.into()
}

const fn is_latin(char: char) -> bool {
    matches!(char, '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{ff21}'..='\u{ff5a}')
}

/// Goes through two sorted lists at once, and says of each item who has it.
fn merge<T: Ord>(mine: &[T], theirs: &[T], mut each: impl FnMut(bool, bool)) {
    let (mut mine, mut theirs) = (mine.iter().peekable(), theirs.iter().peekable());
    loop {
        let (first, second) = match (mine.peek(), theirs.peek()) {
            (None, None) => return,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(a), Some(b)) => (a <= b, b <= a),
        };
        if first {
            mine.next();
        }
        if second {
            theirs.next();
        }
        each(first, second);
    }
}

/// The classes of either list, with what each says of them.
fn both(mine: &[(u8, u32)], theirs: &[(u8, u32)]) -> impl Iterator<Item = (u8, u32, u32)> {
    let of =
        |list: &[(u8, u32)], class| list.binary_search_by_key(&class, |&(class, _)| class).map_or(0, |at| list[at].1);
    let mut classes: Vec<u8> = mine.iter().chain(theirs).map(|&(class, _)| class).collect();
    classes.sort_unstable();
    classes.dedup();
    let pairs: Vec<_> = classes.into_iter().map(|class| (class, of(mine, class), of(theirs, class))).collect();
    pairs.into_iter()
}
