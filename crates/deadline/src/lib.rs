//! A tower layer that gives each call one deadline, up to the end of the answer's body, and passes it on.
//!
//! # What it does
//!
//! [`DeadlineLayer`] stands outside of all that sends a request again:
//!
//! 1. The deadline is the earliest of what is configured, what the caller asks for, and what the request's
//!    [`CallContext`] holds already. So the configured time is what a request has that asks for nothing, and the most
//!    that any may ask for.
//! 2. Callers ask by header; [`DeadlineLayer::sources`] says which are believed:
//!
//!    | header | reads | from |
//!    |---|---|---|
//!    | `x-request-timeout-ms` | milliseconds, digits only | Buttress, see below |
//!    | `grpc-timeout` | up to 8 digits and one of `H M S m u n` | gRPC clients |
//!    | `x-stainless-read-timeout` | seconds, with or without a fraction | SDKs of OpenAI and Anthropic |
//!
//!    The last is when the client itself gives up. A margin is taken off it (5 %, and 20 ms at least), so that the
//!    client hears the answer, and its word not to retry. Zero says that the time is over. What cannot be read is
//!    passed over.
//! 3. The deadline goes into the [`CallContext`], where retry, failover and limiters read it. A request without a
//!    context gets one. It is the deadline of the whole call: a second layer further in would shorten that, and not one
//!    attempt.
//! 4. The call is polled before the timer: an answer that is there at the deadline is returned.
//! 5. **The deadline holds to the end of the body**, trailers included. Frames are polled before the timer as well.
//!    What is not there when the time is over never comes: the inner body is dropped, and its reader gets
//!    [`DeadlineExceeded`] as the error. A reader who comes late still gets one frame of data, if it is there, and the
//!    end of a body that has ended; a reader who does not come cannot be told.
//! 6. With [`DeadlineLayer::headers_only`] **it holds to the head** of the answer, and the body is not timed: for
//!    streams that another layer watches.
//! 7. [`DeadlineLayer::attempt_timeout`] shares the time out among the attempts that are allowed, so that one slow
//!    target does not use up the time of the next. See the function [`attempt_timeout`].
//!
//! [`ForwardDeadlineLayer`] stands next to the client, within all that sends a request again:
//!
//! 8. It writes what is left, less a margin (5 %, and 20 ms at least), into `x-request-timeout-ms` of each attempt; and
//!    into `grpc-timeout`, if the request came with it or [`ForwardDeadlineLayer::grpc`] asks for it. The next server
//!    gives up first, and its answer still arrives in time.
//! 9. A request without a deadline passes as it came.
//!
//! # When it refuses
//!
//! With `504`, the code `deadline_exceeded`, `x-should-retry: false`, and a `Retry-After` of a second, as a guess.
//!
//! - [`DeadlineLayer`]: when the deadline passes before the head of an answer; and without a call, if it has passed
//!   before.
//! - [`ForwardDeadlineLayer`]: without a call, if less than [`ForwardDeadlineLayer::floor`] would be left to the
//!   server. It could not finish in that time.
//!
//! # Cancellation
//!
//! Dropping the future or the body drops what is inside. At the deadline, the inner call is dropped before the refusal
//! is made, and the inner body before the error is returned. The layers hold no state.
//!
//! # Cost
//!
//! One [`CallContext`], where no layer further out has made it. No timer is registered for a call that is ready at
//! once, nor for a body that is never waited for. A call that waits holds its timer in place; a body that waits
//! allocates one, so that it stays as small as it was and `Unpin` if it was. Each frame of data, and each poll that
//! finds nothing, reads the clock once. Waiting for readiness is not timed: the time counts from the call.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use buttress_core::{Body, Refusal, RefusalKind};
//! use buttress_deadline::{DeadlineLayer, ForwardDeadlineLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = service_fn(|request: Request<()>| async move {
//!     assert_eq!(request.headers()["x-request-timeout-ms"], "1900", "what is left, less 5 %");
//!     tokio::time::sleep(Duration::from_secs(3)).await;
//!     Ok::<_, Infallible>(Response::new(Body::empty()))
//! });
//! let service = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new(Duration::from_secs(600)))
//!     .layer(ForwardDeadlineLayer::new())
//!     .service(upstream);
//!
//! let request = Request::builder().header("grpc-timeout", "2S").body(())?;
//! let response = service.oneshot(request).await?;
//!
//! assert_eq!(response.status(), 504);
//! assert_eq!(response.headers()["x-should-retry"], "false");
//! assert_eq!(response.extensions().get::<Refusal>().unwrap().kind(), RefusalKind::DeadlineExceeded);
//! # Ok(()) }
//! ```
//!
//! Without HTTP, the time is the configured one, and a closure says how to refuse:
//!
//! ```
//! use std::{io, time::Duration};
//! use buttress_core::Refusal;
//! use buttress_deadline::DeadlineLayer;
//! use tower::{ServiceExt as _, service_fn};
//! use tower_layer::Layer as _;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let refuse = |refusal: Refusal| Err::<u32, _>(io::Error::new(io::ErrorKind::TimedOut, refusal));
//! let layer = DeadlineLayer::plain(Duration::from_millis(50), refuse);
//! let service = layer.layer(service_fn(|_: &str| std::future::pending::<io::Result<u32>>()));
//!
//! assert_eq!(service.oneshot("ping").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
//! # }
//! ```
//!
//! [`CallContext`]: buttress_core::CallContext

mod body;
mod error;
mod forward;
mod future;
mod layer;
mod protocol;
mod service;
mod share;
mod sources;
mod timer;

pub use self::{
    body::ResponseBody,
    error::DeadlineExceeded,
    forward::{ForwardDeadline, ForwardDeadlineLayer, ForwardFuture},
    future::ResponseFuture,
    layer::DeadlineLayer,
    protocol::{Cover, HttpProtocol, PlainProtocol, Protocol},
    service::Deadline,
    share::attempt_timeout,
    sources::Source,
};
