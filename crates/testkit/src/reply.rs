//! What a probe answers.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::{ProbeError, Script};

/// What a probe answers to one call.
#[derive(Clone, Debug)]
pub struct Reply<T = HttpAnswer> {
    pub(crate) result: Result<T, ProbeError>,
    pub(crate) hangs: bool,
    pub(crate) after: Option<Duration>,
    pub(crate) reads: usize,
}

/// A kind of answer that a probe can give.
pub trait Answer: Clone + Send + 'static {
    /// What the probe notes of each request.
    type Seen: Clone + Send + fmt::Debug + 'static;

    /// Creates an answer that says that all is well.
    fn ok() -> Self;
}

/// The answer of an HTTP probe.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) script: Script,
}

/// What an HTTP probe noted of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The URI.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The extensions.
    pub extensions: Extensions,
    /// The data that was read of the body, frame by frame. See [`Reply::reading`].
    pub data: Vec<Bytes>,
    /// The trailers that were read.
    pub trailers: Option<HeaderMap>,
}

// === impl Reply ===

impl Reply<HttpAnswer> {
    /// Answers with `status` and an empty body.
    ///
    /// # Panics
    ///
    /// Panics if `status` is no status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status has three digits");
        Self::from(HttpAnswer { status, ..HttpAnswer::ok() })
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &'static str, value: &'static str) -> Self {
        self.with(|answer| {
            answer.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        })
    }

    /// Adds an extension.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        self.with(|answer| {
            answer.extensions.insert(value);
        })
    }

    /// Sets what the body does.
    #[must_use]
    pub fn body(self, script: Script) -> Self {
        self.with(|answer| answer.script = script)
    }

    /// Reads up to `frames` frames of the request's body before it answers. Nothing is read without this word.
    #[must_use]
    pub const fn reading(mut self, frames: usize) -> Self {
        self.reads = frames;
        self
    }

    /// Reads the request's body to its end before it answers.
    #[must_use]
    pub const fn reading_all(self) -> Self {
        self.reading(usize::MAX)
    }

    fn with(mut self, change: impl FnOnce(&mut HttpAnswer)) -> Self {
        if let Ok(answer) = &mut self.result {
            change(answer);
        }
        self
    }
}

impl<T: Answer> Reply<T> {
    /// Answers that all is well: 200, or 1 without HTTP.
    #[must_use]
    pub fn ok() -> Self {
        Self::from(T::ok())
    }

    /// Fails with `error`.
    #[must_use]
    pub fn error(error: impl Into<ProbeError>) -> Self {
        Self { result: Err(error.into()), hangs: false, after: None, reads: 0 }
    }

    /// Waits for [`Handle::release`](crate::Handle::release) before it answers.
    #[must_use]
    pub const fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// Takes `delay` to answer.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }
}

impl<T: Answer> From<T> for Reply<T> {
    fn from(answer: T) -> Self {
        Self { result: Ok(answer), hangs: false, after: None, reads: 0 }
    }
}

// === impl Answer ===

impl Answer for HttpAnswer {
    type Seen = Seen;

    fn ok() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            script: Script::new().sized(),
        }
    }
}

impl Answer for u64 {
    type Seen = Self;

    fn ok() -> Self {
        1
    }
}
