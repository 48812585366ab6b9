//! Which answers are kept.

use std::sync::Arc;

use buttress_core::{AnswerReport, Usage, Verdict};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response};

use crate::{
    Asked, Shape,
    stored::{Part, Stored, lasting},
};

/// A whole answer that may be kept.
#[derive(Debug)]
pub struct Draft {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) parts: Box<[Part]>,
    pub(crate) usage: Option<Usage>,
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unfit {
    /// Its status, or what an inner layer found, says that it is a failure.
    Failure,
    /// It was not read to its end.
    Aborted,
    /// It ended before it was whole.
    Truncated,
    /// It is longer than what is kept of one, or than its tenant may have.
    TooLarge,
    /// It took too long to come.
    Slow,
    /// It is compressed, or has trailers.
    Form,
    /// It ended for another reason than being done.
    Finish,
    /// It calls a tool, or refuses.
    Content,
    /// It cannot be understood.
    Malformed,
    /// Its question was forgotten while it came.
    Forgotten,
}

/// Says whether a whole answer is kept, and gives it in another form.
pub trait Admit {
    /// Returns what the answer to `question` has cost, where it tells.
    ///
    /// # Errors
    ///
    /// Returns why it is not kept.
    fn admit(&self, question: &Asked, answer: &Draft) -> Result<Option<Usage>, Unfit> {
        let _ = question;
        Ok(answer.usage)
    }

    /// Returns `answer` in the form that is asked for, or `None` if it cannot be given in it. By default, a question whose form
    /// matters is another question.
    fn reshape(&self, question: &Asked, answer: &Arc<Stored>) -> Option<Arc<Stored>> {
        let _ = question;
        Some(Arc::clone(answer))
    }

    /// Returns the words of an answer, to be compared with those of another. By default, the whole body, if it is text.
    fn words(&self, question: &Asked, answer: &Stored) -> Option<String> {
        let _ = question;
        String::from_utf8(answer.body.to_vec()).ok()
    }
}

// === impl Draft ===

impl Draft {
    /// Returns its body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns whether it is a stream, by its content type.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
    }

    pub(crate) fn store(self, usage: Option<Usage>, asked: Shape) -> Stored {
        let shape = Shape { stream: self.is_stream(), usage: asked.usage };
        let Self { status, headers, body, parts, .. } = self;
        Stored { status, headers: lasting(&headers), shape, body, parts, usage }
    }
}

// === impl Unfit ===

impl Unfit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Failure,
        Self::Aborted,
        Self::Truncated,
        Self::TooLarge,
        Self::Slow,
        Self::Form,
        Self::Finish,
        Self::Content,
        Self::Malformed,
        Self::Forgotten,
    ];

    /// Returns the word for events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Aborted => "aborted",
            Self::Truncated => "truncated",
            Self::TooLarge => "too-large",
            Self::Slow => "slow",
            Self::Form => "form",
            Self::Finish => "finish",
            Self::Content => "content",
            Self::Malformed => "malformed",
            Self::Forgotten => "forgotten",
        }
    }

    /// Says whether an answer with this head can be kept at all.
    pub(crate) fn of_head(head: &response::Parts) -> Result<(), Self> {
        // Parts of something, and nothing at all, are no answers.
        if head.status != StatusCode::OK {
            return Err(Self::Failure);
        }
        let encoding = head.headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") || head.headers.contains_key(header::TRAILER) {
            return Err(Self::Form);
        }
        Ok(())
    }

    /// Says what whoever has read the answer thinks of it.
    pub(crate) fn of_report(report: Option<&AnswerReport>) -> Result<(), Self> {
        match report.and_then(AnswerReport::class).map(|class| class.verdict) {
            None | Some(Verdict::Success) => Ok(()),
            Some(Verdict::Truncated) => Err(Self::Truncated),
            Some(Verdict::Slow) => Err(Self::Slow),
            Some(_) => Err(Self::Failure),
        }
    }
}
