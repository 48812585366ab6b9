//! How many tokens a text has.

use crate::{guess, image_tokens::ImageRule};

/// How a model of OpenAI cuts text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `o200k_base`: GPT-4o and later, and the models that reason.
    O200k,
    /// `cl100k_base`: GPT-4, GPT-3.5 and the embeddings.
    Cl100k,
}

/// Counts the tokens of texts and requests for one model.
///
/// For a model of OpenAI, and with the feature `tokens`, texts are counted by the model's own byte-pair encoding (crate
/// `bpe-openai`, whose time is linear in the text whatever it holds). Texts for other models, and what is beyond
/// [`exact_up_to`](Self::exact_up_to) bytes, are estimated from the kinds of their characters:
///
/// | text | error against `o200k_base` | against `cl100k_base` |
/// |---|---|---|
/// | English prose, source code, JSON | −15 % to +25 % | −15 % to +25 % |
/// | German, French, Spanish | −15 % to +20 % | −30 % to +10 % |
/// | Russian, Greek, Arabic | −10 % to +60 % | −60 % to 0 % |
/// | Chinese, Japanese, Korean | −10 % to +25 % | −40 % to +5 % |
/// | Hindi | 0 % to +110 % | −50 % to 0 % |
///
/// The tests hold it to these bounds on the crate's own code and README and on Article 1 of the Universal Declaration of
/// Human Rights. How far it is off for the encodings of other providers, which are not published as a whole, is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCounter {
    encoding: Option<Encoding>,
    exact_up_to: usize,
    pub(crate) images: ImageRule,
    /// What the beginning of a tool costs.
    pub(crate) tool_start: u64,
}

/// Which names of models begin how, after OpenAI's `tiktoken` 0.14 (`tiktoken/model.py`). The first that fits counts.
const MODELS: [(&str, Encoding); 18] = [
    ("gpt-5", Encoding::O200k),
    ("gpt-4.5", Encoding::O200k),
    ("gpt-4.1", Encoding::O200k),
    ("gpt-4o", Encoding::O200k),
    ("chatgpt-4o", Encoding::O200k),
    ("gpt-oss", Encoding::O200k),
    ("o1", Encoding::O200k),
    ("o3", Encoding::O200k),
    ("o4-mini", Encoding::O200k),
    ("codex-mini", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    ("gpt-35-turbo", Encoding::Cl100k),
    ("davinci-002", Encoding::Cl100k),
    ("babbage-002", Encoding::Cl100k),
    ("text-embedding-ada-002", Encoding::Cl100k),
    ("text-embedding-3-small", Encoding::Cl100k),
    ("text-embedding-3-large", Encoding::Cl100k),
];

// === impl Encoding ===

impl Encoding {
    /// Returns the encoding of `model`, if it is a model of OpenAI that is known: `gpt-4o-mini`, `ft:gpt-4o:org::id`,
    /// `openai/gpt-4o`.
    #[must_use]
    pub fn of_model(model: &str) -> Option<Self> {
        let name = plain(model);
        let fits = |known: &str| name.strip_prefix(known).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        MODELS.iter().find(|(known, _)| fits(known)).map(|(_, encoding)| *encoding)
    }

    #[cfg(feature = "tokens")]
    fn tokenizer(self) -> &'static bpe_openai::Tokenizer {
        match self {
            Self::O200k => bpe_openai::o200k_base(),
            Self::Cl100k => bpe_openai::cl100k_base(),
        }
    }
}

/// The name without what a router or a fine-tuning puts around it.
pub(crate) fn plain(model: &str) -> &str {
    let name = model.strip_prefix("openai/").unwrap_or(model);
    name.strip_prefix("ft:").map_or(name, |name| name.split(':').next().unwrap_or(name))
}

// === impl TokenCounter ===

impl TokenCounter {
    /// How many bytes of a request are counted by a model's own encoding, unless set otherwise: a few milliseconds' work.
    pub const DEFAULT_EXACT: usize = 128 * 1024;

    /// Creates a counter for `model`, by the name its provider gives it.
    #[must_use]
    pub fn of_model(model: &str) -> Self {
        let encoding = Encoding::of_model(model);
        Self {
            encoding,
            exact_up_to: Self::DEFAULT_EXACT,
            images: ImageRule::of_model(plain(model)),
            tool_start: if encoding == Some(Encoding::Cl100k) { 10 } else { 7 },
        }
    }

    /// Sets how many bytes, of a text or of all texts of a request, are counted by the model's own encoding. What is beyond
    /// is estimated. Zero estimates everything.
    #[must_use]
    pub const fn exact_up_to(mut self, bytes: usize) -> Self {
        self.exact_up_to = bytes;
        self
    }

    /// Returns the model's encoding, where it is known.
    #[must_use]
    pub const fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Returns whether a text of so many bytes is counted and not estimated.
    #[must_use]
    pub const fn is_exact(&self, bytes: usize) -> bool {
        cfg!(feature = "tokens") && self.encoding.is_some() && bytes <= self.exact_up_to
    }

    /// Returns how many tokens `text` has. What looks like a special token in it is plain text.
    #[must_use]
    pub fn count(&self, text: &str) -> u64 {
        #[cfg(feature = "tokens")]
        if let Some(encoding) = self.encoding
            && text.len() <= self.exact_up_to
        {
            return encoding.tokenizer().count(text) as u64;
        }
        guess::tokens(text)
    }

    /// Reads the dictionary of the model's encoding, which the first count does otherwise. That takes tens of milliseconds
    /// and as many megabytes.
    pub fn warm(&self) {
        let _ = self.count("a");
    }

    pub(crate) const fn limit(&self) -> usize {
        self.exact_up_to
    }
}
