//! What of an answer can be shared.

use std::sync::Arc;

use buttress_core::{Classify, HttpClassify, Verdict};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, response};
use http_body::Body;

use crate::{Leash, ResponseBody, body::Retold, reader::Reader, stream::Stream};

/// Makes of one answer many. [`HttpShare`] and [`PlainShare`] do it.
pub trait Share<Res, Err> {
    /// What the layer answers.
    type Response;
    /// What is kept of an answer while it can be joined.
    type Answer: Joinable;

    /// Returns whether `result` is to be shared: a failure never is.
    fn is_success(&self, result: &Result<Res, Err>) -> bool;

    /// Takes an answer apart. `leash` keeps it where it can be joined; what is returned of it is dropped.
    fn share(&self, answer: Res, leash: Option<Leash>) -> (Self::Answer, Option<Leash>);

    /// Returns an answer that nobody shares.
    fn alone(&self, answer: Res) -> Self::Response;

    /// Returns one share of `answer`, or `None` if it is too late. `joined` says that another one's call brought it.
    fn give(&self, answer: &Self::Answer, joined: bool) -> Option<Self::Response>;
}

/// What many can have of one answer.
pub trait Joinable: Clone {
    /// Has places for those that waited for the answer, and for more from now on if it is of that kind.
    fn open(&self, waiting: usize);

    /// Takes a place for one more, or returns `false` if it is too late.
    fn join(&self) -> bool;

    /// Gives back the place of one that will not have it.
    fn leave(&self);
}

/// HTTP: the head is copied, and the body is read by all as it comes. What is a failure, `C` tells. See [`Share`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpShare<C = HttpClassify> {
    pub(crate) classify: C,
    pub(crate) max_bytes: usize,
}

/// Any service whose answers are `Clone`. An error is a failure. See [`Share`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PlainShare;

/// In the extensions of a response that came from another one's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined;

/// The head of a response, and its body as it comes.
pub struct HttpAnswer<B: Body> {
    head: Arc<response::Parts>,
    stream: Arc<Stream<B>>,
}

/// An answer that is wholly there.
#[derive(Clone, Debug)]
pub struct PlainAnswer<Res>(Res);

// === impl HttpShare ===

impl<B, E, C> Share<Response<B>, E> for HttpShare<C>
where
    B: Body<Data = Bytes>,
    C: Classify<Response<B>, E>,
{
    type Response = Response<ResponseBody<B>>;
    type Answer = HttpAnswer<B>;

    fn is_success(&self, result: &Result<Response<B>, E>) -> bool {
        self.classify.classify(result.as_ref()).verdict == Verdict::Success
    }

    fn share(&self, answer: Response<B>, leash: Option<Leash>) -> (HttpAnswer<B>, Option<Leash>) {
        let (head, body) = answer.into_parts();
        let (stream, leash) = Stream::new(body, self.max_bytes, leash);
        (HttpAnswer { head: Arc::new(head), stream }, leash)
    }

    fn alone(&self, answer: Response<B>) -> Self::Response {
        answer.map(ResponseBody::alone)
    }

    fn give(&self, answer: &HttpAnswer<B>, joined: bool) -> Option<Self::Response> {
        // Whose call it was has nothing else to go by.
        let reader = Reader::claim(&answer.stream, !joined)?;
        let mut head = response::Parts::clone(&answer.head);
        if joined {
            // RFC 9211, section 2.6.
            let status = HeaderValue::from_static("buttress-coalesce; fwd=miss; collapsed");
            head.headers.append(HeaderName::from_static("cache-status"), status);
            head.extensions.insert(Joined);
        }
        // What the call has used was used once.
        let retold = joined.then(|| Retold::of(answer.head.extensions.get().cloned()));
        if let Some(retold) = &retold {
            head.extensions.insert(retold.report());
        }
        Some(Response::from_parts(head, ResponseBody::shared(reader, retold)))
    }
}

impl<B: Body> Clone for HttpAnswer<B> {
    fn clone(&self) -> Self {
        Self { head: Arc::clone(&self.head), stream: Arc::clone(&self.stream) }
    }
}

impl<B: Body> Joinable for HttpAnswer<B> {
    fn open(&self, waiting: usize) {
        self.stream.open(waiting);
    }

    fn join(&self) -> bool {
        self.stream.join()
    }

    fn leave(&self) {
        self.stream.leave();
    }
}

impl<B: Body> std::fmt::Debug for HttpAnswer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpAnswer").field("status", &self.head.status).finish_non_exhaustive()
    }
}

// === impl PlainShare ===

impl<Res: Clone, Err> Share<Res, Err> for PlainShare {
    type Response = Res;
    type Answer = PlainAnswer<Res>;

    fn is_success(&self, result: &Result<Res, Err>) -> bool {
        result.is_ok()
    }

    fn share(&self, answer: Res, leash: Option<Leash>) -> (PlainAnswer<Res>, Option<Leash>) {
        (PlainAnswer(answer), leash)
    }

    fn alone(&self, answer: Res) -> Res {
        answer
    }

    fn give(&self, answer: &PlainAnswer<Res>, _: bool) -> Option<Res> {
        Some(answer.0.clone())
    }
}

impl<Res: Clone> Joinable for PlainAnswer<Res> {
    fn open(&self, _: usize) {}

    fn join(&self) -> bool {
        false
    }

    fn leave(&self) {}
}
