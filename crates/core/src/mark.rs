//! What layers know, written into a response.

use std::time::Duration;

use http::{HeaderValue, Response, header};

use crate::{AnswerReport, CallContext, Class, Headroom, ServedBy, refusal::whole_seconds};

/// Writes into a response what the layers of a stack know of it. HTTP responses have extensions and headers for that; others
/// do not.
pub trait Mark<Res> {
    /// Whether it writes anything at all. Where it does not, a layer need not know what it would have to write.
    const MARKS: bool = true;

    /// Tells the layers further out who served `response`, and what was tried.
    fn mark(response: &mut Res, served_by: Option<ServedBy>, context: &CallContext);

    /// Tells the caller that no retry of its own can help now, and how long to stay away where that is known.
    fn give_up(response: &mut Res, after: Option<Duration>);

    /// Tells the caller how long to stay away, unless the response does so already.
    fn stay_away(response: &mut Res, after: Duration);

    /// Finds the report of whoever reads the answer.
    fn report(response: &Res) -> Option<&AnswerReport> {
        let _ = response;
        None
    }

    /// Finds what the target said that it has left.
    fn headroom(response: &Res) -> Option<Headroom> {
        let _ = response;
        None
    }
}

/// Marks HTTP responses, in their extensions and headers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HttpMark;

/// Marks nothing: the responses have no place for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoMark;

// === impl HttpMark ===

impl<B> Mark<Response<B>> for HttpMark {
    fn mark(response: &mut Response<B>, served_by: Option<ServedBy>, context: &CallContext) {
        let extensions = response.extensions_mut();
        if let Some(served_by) = served_by {
            extensions.insert(served_by);
        }
        extensions.insert(context.clone());
    }

    fn give_up(response: &mut Response<B>, after: Option<Duration>) {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        // A class that a layer further in left is final for those further out, who would overrule this otherwise.
        if let Some(class) = response.extensions_mut().get_mut::<Class>() {
            class.hint.should_retry = Some(false);
        }
        if let Some(after) = after {
            Self::stay_away(response, after);
        }
    }

    fn stay_away(response: &mut Response<B>, after: Duration) {
        let seconds = || HeaderValue::from(whole_seconds(after));
        response.headers_mut().entry(header::RETRY_AFTER).or_insert_with(seconds);
    }

    fn report(response: &Response<B>) -> Option<&AnswerReport> {
        response.extensions().get()
    }

    fn headroom(response: &Response<B>) -> Option<Headroom> {
        response.extensions().get().copied()
    }
}

// === impl NoMark ===

impl<Res> Mark<Res> for NoMark {
    const MARKS: bool = false;

    fn mark(_: &mut Res, _: Option<ServedBy>, _: &CallContext) {}

    fn give_up(_: &mut Res, _: Option<Duration>) {}

    fn stay_away(_: &mut Res, _: Duration) {}
}
