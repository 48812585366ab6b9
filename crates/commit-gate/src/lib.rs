//! A tower layer that holds an answer back until its first content, so that early failures can be repeated elsewhere.
//!
//! A model that answers `200` has promised nothing: the stream may end at once, begin with an error, or stay silent for ever.
//! Once status and headers are out, no other target can take over. So they wait.
//!
//! # What it does
//!
//! [`CommitGateLayer`] stands within all that sends a request again, and outside of what watches the rest of the stream:
//!
//! 1. Status, headers and what came of the body are held back until the first **content**: text, a tool call, a refusal in
//!    words. Roles, pings and comments are none. What content is, an [`OpenStream`] knows; with
//!    [`CommitGateLayer::first_byte`] it is the first byte of any answer.
//! 2. Then all of it goes out unchanged, and what was held in one piece. The rest passes without being read.
//! 3. **An answer that fails before its first content becomes an error**: one whose first event is an error, that ends
//!    without content, is cut off, or cannot be understood. The target's answer is dropped, and with it its connection.
//!    The new one has the status of the error (`529` of an overloaded model, `429` of a rate limit; `502` and `504` where
//!    the target gave none), its words as its clients know them, and the [`Class`] in its extensions that retry and failover
//!    act on.
//! 4. The headers of the dropped answer are kept, for its request ids, save those that speak of its body. `retry-after` and
//!    `retry-after-ms` say what the target asked for.
//! 5. **The first content has a time limit**, [`CommitGateLayer::first_content`], counted from the call: it covers the wait
//!    for the head, and nothing but content stops it. What is not there by then is dropped, and the answer is `504` with the
//!    class `ttft-timeout`. [`CommitGateLayer::first_content_by`] sets it for each target or model, and
//!    [`CommitGateLayer::whole_answer`] for answers that are made whole before they are sent.
//! 6. What is held has bounds, in events and in bytes. An answer that reaches one goes out as it is; that is traced and
//!    counted, see [`CommitGateLayer::counts`]. Signs of life are no events: a model that is slow to load may send many.
//! 7. Answers that are not read pass at once: errors by their status, formats that are not known, and answers with a
//!    [`Class`] that says that they failed.
//! 8. An encoded answer cannot be read. So a request with `accept-encoding` asks for `identity`, unless
//!    [`CommitGateLayer::keep_accept_encoding`] says otherwise. A gate for the first byte leaves it as it is.
//! 9. When the first content came goes into the [`AnswerReport`], and so does the class of a failure.
//!
//! An answer may end without content and be one, such as an empty text: that is for the [`OpenStream`] to say.
//!
//! # When it refuses
//!
//! Never before the call. Its errors are those of point 3 and 5, and stand for the target's answer.
//!
//! # Cancellation
//!
//! Dropping the future drops the call, or the answer that is held. The layer holds nothing but its counters.
//!
//! # Cost
//!
//! An answer whose first frame holds content is not copied. What is held of any other is copied together. What reads it is one
//! allocation. Where no layer further in has left an [`AnswerReport`], there is one for it, and what `http` needs to hold it. No
//! timer is registered for an answer that is there at once. The body of the answer must be [`Unpin`]; it is moved, and never
//! boxed.
//!
//! Where a layer further in reads the answer [with the same reader](buttress_core::AnswerReport::read_by), as a stream guard
//! does, its word on the first content is taken: the frame that holds it, which of a whole answer is all there is, is not read
//! twice.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_commit_gate::CommitGateLayer;
//! use buttress_core::{Body, Class, Verdict};
//! use buttress_llm::{Format, LlmStreams};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // It says 200, and then that it is overloaded.
//! let stream = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
//! let upstream = service_fn(move |_: Request<()>| async move {
//!     let body = Body::from(Bytes::from(stream));
//!     Ok::<_, Infallible>(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
//! });
//! // Which format a target answers in, `LlmRewrite` of `buttress-llm` says.
//! let request = Request::builder().extension(Format::Messages).body(())?;
//!
//! let response = CommitGateLayer::new(LlmStreams::new()).layer(upstream).oneshot(request).await?;
//!
//! assert_eq!(response.status(), 529);
//! assert_eq!(response.extensions().get::<Class>().unwrap().verdict, Verdict::Transient);
//! # Ok(()) }
//! ```
//!
//! [`AnswerReport`]: buttress_core::AnswerReport
//! [`Class`]: buttress_core::Class
//! [`OpenStream`]: buttress_core::OpenStream

mod body;
mod counts;
mod failure;
mod future;
mod gate;
mod held;
mod layer;
mod service;
mod timer;

pub use self::{
    body::ResponseBody, counts::Counts, future::ResponseFuture, layer::CommitGateLayer, service::CommitGate,
};
