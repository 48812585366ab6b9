//! Vectors from a small model that runs in this process.

mod bert;
mod load;
mod math;
mod matrix;
mod wordpiece;

use std::{fmt, io, num::NonZeroUsize, path::Path, thread};

use tokio::sync::mpsc;

use self::bert::Bert;
use super::{
    EmbedError, EmbedErrorKind, EmbedFuture, EmbedLimits, EmbedStats, Embedder, Embedding, Fingerprint,
    front::{Front, Job},
};
use wordpiece::WordPiece;

pub use self::load::LoadError;

/// An embedder that runs a model of the MiniLM class (BERT, uncased WordPiece, mean of all tokens) in this process.
///
/// 1. [`MiniLm::load`] reads `config.json`, `vocab.txt` and `model.safetensors` from a directory, as published for
///    `all-MiniLM-L6-v2`. Nothing is ever downloaded.
/// 2. It runs on one thread of its own, one text after another. A short prompt takes that thread some 10 ms, and the time grows
///    with the length. The thread ends after the last handle.
/// 3. Callers wait no longer than [`EmbedLimits`] say, behind a bounded queue; who asks for a text that is on its way waits for the
///    same answer, and vectors of late are kept.
/// 4. A text with more tokens than the model was made for is refused ([`EmbedErrorKind::TooLong`]), not cut: cut, it would be
///    taken for every text that begins the same.
#[derive(Clone)]
pub struct MiniLm {
    front: Front,
    fingerprint: Fingerprint,
}

/// A model that is called directly, for whoever brings threads of their own: a bulk job, or a test.
///
/// See [`MiniLm`] for what it reads and runs.
pub struct MiniLmModel {
    bert: Bert,
    words: WordPiece,
}

// === impl MiniLm ===

impl MiniLm {
    /// Reads the model in `directory`, and starts the thread that runs it. It blocks while it reads some 90 MB.
    ///
    /// `version` is that of the [`Fingerprint`].
    ///
    /// # Errors
    ///
    /// Fails if a file is missing or not what such a model has, or if no thread can be started.
    pub fn load(directory: &Path, version: &str, limits: EmbedLimits) -> Result<Self, LoadError> {
        let model = MiniLmModel::load(directory)?;
        let name = directory.file_name().map_or_else(|| "minilm".into(), |name| name.to_string_lossy());
        let fingerprint = Fingerprint::new(&*name, version, model.dimensions());
        Self::start(model, fingerprint, limits).map_err(|_| LoadError::no_thread())
    }

    /// Starts the thread that runs `model`.
    ///
    /// # Errors
    ///
    /// Fails if no thread can be started.
    pub fn start(model: MiniLmModel, fingerprint: Fingerprint, limits: EmbedLimits) -> io::Result<Self> {
        let (front, jobs) = Front::pair(limits, model.dimensions(), rand::random());
        thread::Builder::new().name("embed".to_owned()).spawn(move || work(&model, jobs))?;
        Ok(Self { front, fingerprint })
    }

    /// Returns what it did since it was made.
    #[must_use]
    pub fn stats(&self) -> EmbedStats {
        self.front.stats()
    }
}

impl Embedder for MiniLm {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        Box::pin(self.front.embed(text))
    }
}

impl fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLm").field("fingerprint", &self.fingerprint).field("front", &self.front).finish()
    }
}

// === impl MiniLmModel ===

impl MiniLmModel {
    /// Reads the model in `directory`.
    ///
    /// # Errors
    ///
    /// Fails if a file is missing or not what such a model has.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        let (bert, words) = load::read(directory)?;
        Ok(Self { bert, words })
    }

    /// Returns the vector of `text`, of unit length.
    ///
    /// # Errors
    ///
    /// Fails if the text has more tokens than the model takes, or none.
    pub fn embed(&self, text: &str) -> Result<Embedding, EmbedError> {
        let tokens = self.words.tokens(text, self.bert.most_tokens()).ok_or(EmbedErrorKind::TooLong)?;
        // The first and the last only mark the ends.
        if tokens.len() <= 2 {
            return Err(EmbedErrorKind::Empty.into());
        }
        let vector = self.bert.embed(&tokens);
        if vector.iter().all(|x| x.is_finite()) { Ok(vector.into()) } else { Err(EmbedErrorKind::Malformed.into()) }
    }

    /// Returns how many dimensions its vectors have.
    #[must_use]
    pub const fn dimensions(&self) -> NonZeroUsize {
        self.bert.dimensions()
    }
}

impl fmt::Debug for MiniLmModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLmModel").field("dimensions", &self.dimensions()).finish_non_exhaustive()
    }
}

fn work(model: &MiniLmModel, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        if let Some(job) = job.still_wanted() {
            job.shared().count_call(None);
            let answer = model.embed(&job.text());
            job.finish(answer);
        }
    }
}
