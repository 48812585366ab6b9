//! Reads questions, their labels and their vectors.

use std::path::{Path, PathBuf};
use std::{
    collections::{HashMap, HashSet},
    error, fmt, fs, io,
};

use buttress_semantic_cache::Text;

/// Labelled questions.
#[derive(Debug)]
pub struct Data {
    spelled: Vec<String>,
    pub(crate) texts: Vec<Text>,
    pub(crate) labels: Vec<u32>,
    pub(crate) vectors: Vec<f32>,
    pub(crate) dimensions: usize,
}

/// A data set cannot be read.
#[derive(Debug)]
pub struct DataError {
    path: PathBuf,
    why: String,
}

// === impl Data ===

impl Data {
    /// Reads `utterances.jsonl` (objects with `text` and `label`) and, if it is there, `vectors.f32le` (one row for each) from a
    /// directory. Without vectors, `embed` makes them.
    ///
    /// # Errors
    ///
    /// Says which file cannot be read, and where it is not of that form.
    pub fn read(directory: &Path, embed: impl FnMut(&str) -> Vec<f32>) -> Result<Self, DataError> {
        let path = directory.join("utterances.jsonl");
        let lines = fs::read_to_string(&path).map_err(|error| DataError::new(&path, error.to_string()))?;
        let (texts, labels) = parse(&lines).map_err(|why| DataError::new(&path, why))?;
        let path = directory.join("vectors.f32le");
        let vectors = match fs::read(&path) {
            Ok(bytes) => floats(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                texts.iter().map(String::as_str).flat_map(embed).collect()
            }
            Err(error) => return Err(DataError::new(&path, error.to_string())),
        };
        if texts.is_empty() || vectors.is_empty() || vectors.len() % texts.len() != 0 {
            return Err(DataError::new(&path, format!("{} numbers for {} questions", vectors.len(), texts.len())));
        }
        Ok(Self::new(texts, labels, vectors))
    }

    /// Returns each question once in each wrap: what is put before it, and behind. `embed` makes the vectors.
    #[must_use]
    pub fn wrapped(&self, wraps: &[(&str, &str)], embed: impl FnMut(&str) -> Vec<f32>) -> Self {
        let wrapped = |text: &String| {
            wraps.iter().map(move |(before, behind)| format!("{before}{text}{behind}")).collect::<Vec<_>>()
        };
        let texts: Vec<String> = self.spelled.iter().flat_map(wrapped).collect();
        let labels = self.labels.iter().flat_map(|&label| wraps.iter().map(move |_| label)).collect();
        let vectors = texts.iter().map(String::as_str).flat_map(embed).collect();
        Self::new(texts, labels, vectors)
    }

    /// Returns how many labels there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.labels.iter().collect::<HashSet<_>>().len()
    }

    /// Returns how many questions there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn new(spelled: Vec<String>, labels: Vec<u32>, vectors: Vec<f32>) -> Self {
        let dimensions = vectors.len() / spelled.len().max(1);
        Self { texts: spelled.iter().map(|text| Text::read(text)).collect(), spelled, labels, vectors, dimensions }
    }

    pub(crate) fn vector(&self, at: usize) -> &[f32] {
        &self.vectors[at * self.dimensions..][..self.dimensions]
    }
}

// === impl DataError ===

impl DataError {
    fn new(path: &Path, why: String) -> Self {
        Self { path: path.to_owned(), why }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.why)
    }
}

impl error::Error for DataError {}

fn parse(lines: &str) -> Result<(Vec<String>, Vec<u32>), String> {
    let mut known: HashMap<String, u32> = HashMap::new();
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for (at, line) in lines.lines().enumerate() {
        let value: serde_json::Value =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
        let field = |name: &str| value.get(name).and_then(|field| field.as_str()).map(str::to_owned);
        let (Some(text), Some(label)) = (field("text"), field("label")) else {
            return Err(format!("line {} has no `text` or no `label`", at + 1));
        };
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        labels.push(*known.entry(label).or_insert(next));
        texts.push(text);
    }
    Ok((texts, labels))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().copied().map(f32::from_le_bytes).collect()
}
