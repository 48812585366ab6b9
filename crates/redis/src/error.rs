//! Why a call has no result.

use std::{error::Error as StdError, fmt};

use crate::status::AwayReason;

/// Why a call to Redis has no result.
///
/// Neither its text nor its `Debug` form holds a key, a value, a script or an address. Of what the server says only the
/// first word is kept, its error code: the rest of the line may quote arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    code: Option<Box<str>>,
    away: Option<AwayReason>,
}

/// What went wrong. See [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Redis is away, or too many calls are under way. Nothing was sent, and nobody waited.
    Away,
    /// No answer came in time. The command may have been carried out, or still be.
    TimedOut,
    /// The connection broke. The command may have been carried out.
    Broken,
    /// The server answered with an error. The command was not carried out; of a pipeline, some commands may have been.
    Refused,
    /// The script failed, or could not be loaded. What it wrote before it failed stays written.
    Script,
    /// The answer is not of the type that was asked for, or a number is not exact in Lua. See
    /// [`lua_exact`](crate::lua_exact).
    WrongData,
}

// === impl Error ===

impl Error {
    pub(crate) const fn new(kind: ErrorKind) -> Self {
        Self { kind, code: None, away: None }
    }

    pub(crate) const fn away(reason: AwayReason) -> Self {
        Self { kind: ErrorKind::Away, code: None, away: Some(reason) }
    }

    pub(crate) fn with_code(mut self, code: Option<&str>) -> Self {
        self.code = code.filter(|code| is_code(code)).map(Box::from);
        self
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the server's error code, as `OOM` or `WRONGTYPE`, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns why Redis is away, for [`ErrorKind::Away`]; nothing if there were too many calls under way.
    #[must_use]
    pub const fn away_reason(&self) -> Option<AwayReason> {
        self.away
    }

    /// Returns whether the shared store cannot be had now, so that the caller should go by what it knows itself.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self.kind, ErrorKind::Away | ErrorKind::TimedOut | ErrorKind::Broken)
    }

    /// Returns whether the command may have been carried out all the same.
    #[must_use]
    pub const fn may_have_run(&self) -> bool {
        matches!(self.kind, ErrorKind::TimedOut | ErrorKind::Broken)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Away if self.away.is_none() => "too many calls to redis are under way",
            ErrorKind::Away => "redis is away",
            ErrorKind::TimedOut => "redis did not answer in time",
            ErrorKind::Broken => "the connection to redis broke",
            ErrorKind::Refused => "redis refused the command",
            ErrorKind::Script => "the script failed in redis",
            ErrorKind::WrongData => "the data is not of the type that is wanted",
        })?;
        match (&self.code, self.away) {
            (Some(code), _) => write!(f, " ({code})"),
            (None, Some(reason)) => write!(f, " ({reason})"),
            (None, None) => Ok(()),
        }
    }
}

impl StdError for Error {}

/// Codes are short words in capitals. Anything else may be something that was quoted.
fn is_code(word: &str) -> bool {
    (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_is_kept_of_what_the_server_says() {
        for (said, kept) in [("OOM", Some("OOM")), ("secret", None), ("", None), ("KEY:42", None), ("A B", None)] {
            assert_eq!(Error::new(ErrorKind::Refused).with_code(Some(said)).code(), kept, "{said}");
        }
    }

    #[test]
    fn the_text_says_what_went_wrong_and_why() {
        let text = |error: Error| error.to_string();
        assert_eq!(text(Error::away(AwayReason::TimedOut)), "redis is away (it did not answer in time)");
        assert_eq!(text(Error::new(ErrorKind::Away)), "too many calls to redis are under way");
        assert_eq!(text(Error::new(ErrorKind::Script).with_code(Some("ERR"))), "the script failed in redis (ERR)");
    }
}
