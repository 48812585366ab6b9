//! Vectors from the letters and words of a text alone.

use std::{future, num::NonZeroUsize};

use super::{EmbedError, EmbedErrorKind, EmbedFuture, Embedder, Embedding, Fingerprint};

/// A built-in embedder that needs nothing: words, pairs of words, and runs of three and four characters, hashed.
///
/// It is good for **near duplicates**: the same text with other case, spaces or punctuation, with a typing error, or with a
/// phrase put before it. It knows nothing of meaning: it never finds a paraphrase, and texts that differ in the one word that
/// matters are near to each other. So it serves tests, a tier for near duplicates with a high threshold, and as one of
/// several features beside a model. It takes microseconds and no memory to speak of.
///
/// # Example
///
/// ```
/// use buttress_semantic_cache::Lexical;
///
/// let lexical = Lexical::new();
/// let cosine = |a: &str, b: &str| -> f32 {
///     let (a, b) = (lexical.vector(a).unwrap(), lexical.vector(b).unwrap());
///     a.iter().zip(&*b).map(|(a, b)| a * b).sum()
/// };
/// assert!(cosine("How do I reset my password?", "how do i  reset my password") > 0.9);
/// assert!(cosine("How do I reset my password?", "I cannot log in any more") < 0.5);
/// ```
#[derive(Clone, Debug)]
pub struct Lexical {
    fingerprint: Fingerprint,
    most: usize,
}

/// What a feature is: the same letters as a word and as a run of characters are two.
#[derive(Clone, Copy)]
enum Kind {
    Word = 1,
    Pair,
    Run,
}

const DIMENSIONS: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
const MOST: usize = 32 * 1024;
/// Runs are many, and overlap: together they weigh about what the words weigh.
const RUN_WEIGHT: f32 = 0.5;

// === impl Lexical ===

impl Lexical {
    /// Creates one of 512 dimensions, for texts of 32 KiB at most.
    #[must_use]
    pub fn new() -> Self {
        Self::with_dimensions(DIMENSIONS)
    }

    /// Creates one of so many dimensions. The fewer there are, the more often do different words fall together.
    #[must_use]
    pub fn with_dimensions(dimensions: NonZeroUsize) -> Self {
        Self { fingerprint: Fingerprint::new("lexical", "1", dimensions), most: MOST }
    }

    /// Sets how many bytes a text has at most.
    #[must_use]
    pub const fn max_text(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Returns the vector of `text`, of unit length.
    ///
    /// # Errors
    ///
    /// Fails if the text is too long, or has no letters, digits or marks at all.
    pub fn vector(&self, text: &str) -> Result<Embedding, EmbedError> {
        if text.len() > self.most {
            return Err(EmbedErrorKind::TooLong.into());
        }
        let mut features = features(text);
        features.sort_unstable();
        let mut vector = vec![0.0; self.fingerprint.dimensions().get()];
        for same in features.chunk_by(|a, b| a == b) {
            let (hash, is_run) = same[0];
            let often = 1.0 + (same.len() as f32).ln();
            let weight = if is_run { often * RUN_WEIGHT } else { often };
            let at = (hash >> 1) % vector.len() as u64;
            // Of features that fall together, half cancel each other out; so they add no likeness on average.
            vector[at as usize] += if hash & 1 == 0 { weight } else { -weight };
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length == 0.0 {
            return Err(EmbedErrorKind::Empty.into());
        }
        vector.iter_mut().for_each(|x| *x /= length);
        Ok(vector.into())
    }
}

impl Default for Lexical {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for Lexical {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        Box::pin(future::ready(self.vector(text)))
    }
}

/// Returns the hashes of all features of `text`, each as often as it occurs, and whether it is a run of characters.
fn features(text: &str) -> Vec<(u64, bool)> {
    let letters = plain(text);
    let mut features = Vec::with_capacity(letters.len() * 5 / 2);
    let mut before = None;
    for word in letters.split(|c| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = hash(Kind::Word, word.iter().map(|c| u64::from(*c)));
        features.push((word, false));
        if let Some(before) = before.replace(word) {
            features.push((hash(Kind::Pair, [before, word]), false));
        }
    }
    for length in [3, 4] {
        let runs = letters.windows(length).map(|run| (hash(Kind::Run, run.iter().map(|c| u64::from(*c))), true));
        features.extend(runs);
    }
    features
}

/// Returns `text` in small letters, with one space between words, before the first and after the last.
fn plain(text: &str) -> Vec<char> {
    let mut letters = vec![' '];
    for letter in text.chars().flat_map(char::to_lowercase) {
        let letter = if letter.is_whitespace() { ' ' } else { letter };
        if letter != ' ' || letters.last() != Some(&' ') {
            letters.push(letter);
        }
    }
    if letters.last() != Some(&' ') {
        letters.push(' ');
    }
    letters
}

/// A hash that is the same in every process and version: vectors are compared with those of other replicas.
fn hash(kind: Kind, parts: impl IntoIterator<Item = u64>) -> u64 {
    let mix = |hash: u64, part: u64| {
        let mixed = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
    };
    let hash = parts.into_iter().fold(kind as u64, mix);
    hash ^ (hash >> 32)
}
