//! What is wrong with a configuration.

use std::{error::Error, fmt, ops::Range, path::Path};

/// What is wrong with a configuration, and where: file, line, column, key, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    /// Counted from 1.
    place: Option<(usize, usize)>,
    key: String,
    says: String,
}

/// What is wrong, before it is known in which file: where in its text, which key, and what is allowed.
pub(super) type Fault = (Option<Range<usize>>, String, String);

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

// === impl ConfigError ===

impl ConfigError {
    /// Says where in `text`, which came from `file`, the fault is.
    pub(super) fn new(file: &str, text: &str, (span, key, says): Fault) -> Self {
        let place = span.map(|span| line_and_column(text, span.start));
        Self { file: file.to_owned(), place, key, says }
    }

    /// Says what is wrong with a variable that `key` names.
    pub(super) fn of_environment(key: String, says: String) -> Self {
        Self { file: "environment".to_owned(), place: None, key, says }
    }

    /// Says what is wrong with `key`, wherever it is.
    pub(crate) fn of_key(key: String, says: String) -> Self {
        Self { file: "configuration".to_owned(), place: None, key, says }
    }

    /// Says what is wrong with the file at `path`, or with `key` in it.
    pub(crate) fn of(path: &Path, key: &str, says: String) -> Self {
        Self { file: path.display().to_string(), place: None, key: key.to_owned(), says }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.says)
    }
}

impl Error for ConfigError {}
