//! A tower layer that watches a streamed answer to its end: idle and cut-off streams end with an honest error.
//!
//! The official clients of the model providers take a stream that stops short for one that is complete. A connection that
//! breaks half-way, a target that falls silent, a stream without its last event: none of them is told apart from the end.
//!
//! # What it does
//!
//! [`StreamGuardLayer`] stands next to the client, within what counts failures and what holds answers back:
//!
//! 1. It reads the answer while it passes, as its [`OpenStream`] knows it, and changes nothing. **Each frame goes on at
//!    once**, up to the last whole event; only the torn beginning of an event waits for its rest. With
//!    [`StreamGuardLayer::bytewise`] every byte is content, and nothing waits.
//! 2. **An answer is complete when its format says so**: with its last event, whether or not the connection ends well. What
//!    follows is passed on, such as the count of tokens.
//! 3. **A stream that breaks ends with an error in its own format**, after the last whole event: cut off, ended too soon, not
//!    to be understood, silent for too long. Never with an invented stop, and never silently. Where none can stand there, for
//!    the format has none or the length was announced, the body fails.
//! 4. An error that the target itself reports within the stream passes as it is, and nothing is added.
//! 5. **The next content has a time limit**, [`StreamGuardLayer::idle`]. Pings and comments are no content and do not reset
//!    it. It begins with the first content; the time up to that is a commit gate's to keep, or
//!    [`StreamGuardLayer::first_content`]'s. There can be a limit for all of it, [`StreamGuardLayer::total`], and a least
//!    rate, [`StreamGuardLayer::min_events`] and [`StreamGuardLayer::min_bytes`].
//! 6. **Clocks run only while the target is waited for.** A client that reads slowly makes no target late, and slows the
//!    target down: nothing is read before it is asked for.
//! 7. What the answer came to is in the [`AnswerReport`] *before* the end of the body is seen: the class of its end, its
//!    first content, its usage as far as it told. Breakers, limiters and budgets ask there. A failure after content is
//!    [`Truncated`](buttress_core::Verdict::Truncated), whatever its cause: nothing can be repeated.
//! 8. A complete answer whose connection stays open has the idle time to end, and is ended then.
//! 9. Trailers pass, also after an error that was put there. Answers that are not read pass untouched: errors by their
//!    status, and formats that are not known.
//! 10. An encoded answer cannot be read. So a request with `accept-encoding` asks for `identity`, unless
//!     [`StreamGuardLayer::keep_accept_encoding`] says otherwise. A bytewise guard leaves it as it is.
//!
//! [`ContinueLayer`] stands outside of retry and failover, for those who ask for it: it goes on with a stream that broke after
//! content, once, on another target. How is for a [`Continue`] to know; with the feature `llm`, `ChatContinue` knows it of OpenAI's
//! chats.
//!
//! # When it refuses
//!
//! Never. What it says, it says at the end of a stream.
//!
//! # Cancellation
//!
//! A body that is dropped drops the target's answer at once, and with it its connection or its HTTP/2 stream. The report says
//! nothing then: that the client left is for [`EndBody`](buttress_core::EndBody) to tell. A stream that is ended here drops
//! the target's answer before its reader sees the error.
//!
//! # Cost
//!
//! For each answer, an [`AnswerReport`], one allocation for what reads it, and a timer if anything was waited for. For each event nothing is allocated: frames
//! are passed as they are, and torn ones are sliced. What is held back is bounded by the longest event that the reader takes.
//! A poll that finds nothing reads the clock; the timer is set anew only when it went off too soon.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{AnswerReport, Body, Verdict};
//! use buttress_llm::{Format, LlmStreams};
//! use buttress_stream_guard::StreamGuardLayer;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body::Frame;
//! use http_body_util::{BodyExt, Limited, StreamBody};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // It stops in the midst of an event.
//! let chunks = ["data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n", "data: {\"choices\":[{\"del"];
//! let upstream = service_fn(move |_: Request<()>| async move {
//!     let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
//!     let body = Body::boxed(StreamBody::new(futures_util::stream::iter(frames)));
//!     Ok::<_, Infallible>(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
//! });
//! // Which format a target answers in, `LlmRewrite` of `buttress-llm` says.
//! let request = Request::builder().extension(Format::Chat).body(())?;
//!
//! let response = StreamGuardLayer::new(LlmStreams::new()).layer(upstream).oneshot(request).await?;
//!
//! let report = response.extensions().get::<AnswerReport>().unwrap().clone();
//! let read = BodyExt::collect(Limited::new(response.into_body(), 1_024)).await.map_err(|_| "too long")?.to_bytes();
//! let (whole, error) = str::from_utf8(&read)?.split_once("\n\n").unwrap();
//! assert_eq!(format!("{whole}\n\n"), chunks[0], "what was whole");
//! assert!(error.starts_with("data: {\"error\":"), "which clients raise: {error}");
//! assert_eq!(report.class().unwrap().verdict, Verdict::Truncated);
//! # Ok(()) }
//! ```
//!
//! [`AnswerReport`]: buttress_core::AnswerReport
//! [`OpenStream`]: buttress_core::OpenStream

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
#[cfg(feature = "llm")]
mod chat;
mod clock;
mod continuation;
mod continue_body;
mod continue_layer;
mod counts;
mod future;
mod held;
mod layer;
mod pace;
mod passage;
mod service;
mod story;
mod watch;

#[cfg(feature = "llm")]
pub use self::chat::{ChatContinue, ChatThread};
pub use self::{
    body::ResponseBody,
    continuation::{Continue, Thread},
    continue_body::ContinuedBody,
    continue_layer::{ContinueFuture, ContinueLayer, Continuing},
    counts::Counts,
    future::ResponseFuture,
    layer::StreamGuardLayer,
    service::StreamGuard,
};
