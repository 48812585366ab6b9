//! The vocabulary that Buttress layers share.
//!
//! A retry, a failover, a breaker and a limiter stacked around one client must agree on a few things: what an answer says
//! about the server that gave it, how long that server wants to be left alone, how many attempts are left in all, and when
//! an answer has really ended. This crate holds those words and nothing else. It has no layer, and it knows nothing of
//! language models.
//!
//! # What is here
//!
//! 1. [`Verdict`] says what one attempt tells about its target; [`Classify`] makes it ([`HttpClassify`] from status and
//!    headers, or any closure), together with a [`RetryHint`] and the [`Outcome`] that a log or a header prints.
//! 2. [`CallContext`] travels in the request's extensions: one deadline, one allowance of attempts, the failure domains
//!    that were tried, and the trail of attempts. The first layer that needs it creates it; the rest find it.
//!    [`Criticality`], in the same place, says how much the request matters.
//! 3. [`EndBody`] reports the end of a body exactly once as a [`BodyEnd`], also when it is dropped.
//! 4. [`Refusal`] is a layer's own *no*; a [`Refuse`] maker turns it into a response ([`HttpRefusal`]) or into whatever
//!    `Result` a service without HTTP returns (any closure).
//! 5. [`Target`] names an upstream, [`ServedBy`] names the one that answered, [`Rewrite`] fits a request to one.
//!    [`Tenant`] says whose a request is.
//! 6. [`Replay`] says how a request is sent more than once: [`Http`] clones it, [`HttpReplay`] buffers its body lazily and
//!    within a bound ([`ReplayBody`]), [`HttpShared`] lets two layers keep one copy ([`SharedRequest`]), [`ByClone`] and
//!    [`ByFn`] serve requests that have no HTTP in them.
//! 7. [`Body`] is a response body that a layer can make as well as pass on; [`Payload`] is a request body that is wholly in
//!    memory. [`Oneshot`] drives one clone of a service to readiness and calls it once; [`Answering`] turns
//!    errors into responses at the edge of a stack. With the feature `client`, `Client` gives hyper-util's client these bodies
//!    and a [`TransportError`], at the bottom of a stack.
//! 8. [`EventReader`] says what the parts of a streamed answer are: content, signs of life, an end, or a [`StreamFailure`]
//!    under a 200. [`OpenStream`] makes one for each answer ([`Bytewise`] for answers of any kind). What a layer has read of
//!    an answer it leaves in an [`AnswerReport`] for those further out: how it truly ended, and its [`Usage`].
//!    [`Attend`] hears of the end without wrapping a body. [`Headroom`] is what the target has left, by its own word.
//!
//! # Cost
//!
//! Verdicts, classes and hints are `Copy`. A success is classified without an allocation. A [`CallContext`] is one
//! allocation, and three that `http` needs to hold it in the extensions; a request with nothing else in them is copied without
//! them. Clones of targets and labels count a reference.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use buttress_core::{Classify, HttpClassify, Verdict};
//!
//! let response = http::Response::builder()
//!     .status(429)
//!     .header("retry-after", "2")
//!     .header("retry-after-ms", "1500")
//!     .body(())?;
//!
//! let class = HttpClassify.classify(Ok::<_, &std::convert::Infallible>(&response));
//!
//! assert_eq!(class.verdict, Verdict::RateLimited);
//! assert_eq!(class.hint.after, Some(Duration::from_millis(1500)), "milliseconds are the finer word");
//! assert!(class.verdict.try_elsewhere() && !class.verdict.breaker_counts());
//! # Ok::<(), http::Error>(())
//! ```
//!
//! # A stack with a name
//!
//! Layers change the type of a body that they watch. To keep a stack in a struct, box body and service once, at the outermost
//! edge. An axum router takes such a service too:
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{Body, BoxError, Payload};
//! use http::{Request, Response};
//! use tower::{Service, ServiceExt as _, service_fn, util::BoxCloneSyncService};
//!
//! struct Upstream {
//!     stack: BoxCloneSyncService<Request<Payload>, Response<Body>, BoxError>,
//! }
//!
//! // Where a stack does not compile, this tells what it lacks; of `oneshot` the compiler only says that it is not there.
//! fn service<S: Service<Request<Payload>>>(stack: S) -> S {
//!     stack
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let stack = service(service_fn(async |_| Ok::<_, Infallible>(Response::new(http_body_util::Full::from("layers go around this")))));
//! let stack = stack.map_response(|response: Response<_>| response.map(Body::boxed)).map_err(BoxError::from);
//! let upstream = Upstream { stack: BoxCloneSyncService::new(stack) };
//!
//! let response = upstream.stack.oneshot(Request::new(Payload::default())).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer_report;
mod answering;
mod begin;
mod body;
mod body_end;
mod classify;
#[cfg(feature = "client")]
mod client;
mod context;
mod criticality;
mod error;
mod grpc;
mod headroom;
mod hint;
mod http_refusal;
#[cfg(feature = "keys")]
mod key_hasher;
mod label;
mod mark;
mod oneshot;
mod payload;
mod refusal;
mod replay;
mod replay_body;
mod shared_request;
mod stream;
mod stream_failure;
mod target;
mod tenant;
mod trail;
mod verdict;

#[cfg(feature = "client")]
pub use self::client::{Client, ClientFuture};
#[cfg(feature = "keys")]
pub use self::key_hasher::KeyHasher;
pub use self::{
    answer_report::{AnswerReport, Attend, Speaker},
    answering::{Answering, AnsweringFuture},
    body::Body,
    body_end::{BodyEnd, End, EndBody, OnBodyEnd},
    classify::{Class, Classify, HttpClassify, Outcome},
    context::{Bounds, CallContext},
    criticality::Criticality,
    error::{BoxError, TransportError, TransportErrorKind},
    grpc::GrpcClassify,
    headroom::{Headroom, Measure, Room},
    hint::RetryHint,
    label::{Label, LabelError},
    mark::{HttpMark, Mark, NoMark},
    oneshot::Oneshot,
    payload::Payload,
    refusal::{HttpRefusal, Refusal, RefusalKind, Refuse},
    replay::{ByClone, ByFn, Head, Http, HttpReplay, HttpReplayed, NotReplayable, Replay},
    replay_body::{ReplayBody, Superseded},
    shared_request::{HttpShared, SharedRequest},
    stream::{Bytewise, BytewiseReader, Event, EventKind, EventReader, OpenStream, Usage},
    stream_failure::StreamFailure,
    target::{Rewrite, Rewritten, ServedBy, Target},
    tenant::{ByExtension, ByHeader, ByTenant, OneTenant, Tenant},
    trail::{Attempt, Trail},
    verdict::Verdict,
};
