//! From what a caller sends to what the stack takes.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body as AxumBody,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use buttress_core::{CallContext, Class, HttpRefusal, Payload, Refusal, RefusalKind, Refuse as _, Verdict};
use buttress_llm::{Call, Format, Route};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};
use tower::{Service as _, ServiceExt as _};

use crate::{Config, stack::Stack};

/// What every request is met with.
#[derive(Clone, Debug)]
pub struct Intake {
    stack: Stack,
    limits: Limits,
    draining: Arc<AtomicBool>,
}

/// What answers everything: the intake, save for questions about the gateway's own health. Clones are one.
///
/// The router answers those alone. It would clone the intake, and so the whole stack, several times for each request.
#[derive(Clone, Debug)]
pub(crate) struct Front(Arc<(Intake, Router)>);

const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

#[derive(Clone, Copy, Debug)]
struct Limits {
    max_body_bytes: usize,
    deadline: Duration,
    attempts: NonZeroU32,
}

// === impl Intake ===

impl Intake {
    /// Creates the intake of `stack`, with the limits of `config`.
    #[must_use]
    pub fn new(config: &Config, stack: Stack) -> Self {
        let limits = Limits {
            max_body_bytes: config.max_body_bytes,
            deadline: config.deadline,
            attempts: config.failover.attempts,
        };
        Self { stack, limits, draining: Arc::default() }
    }

    /// Makes what answers everything.
    pub(crate) fn front(self) -> Front {
        let health = Router::new()
            .route(LIVE, get(async || health(StatusCode::OK, "alive")))
            .route(READY, get(ready))
            .with_state(Arc::clone(&self.draining));
        Front(Arc::new((self, health)))
    }

    /// Says from now on that the gateway is not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn serve(&self, request: Request<AxumBody>) -> Response {
        let deadline = Instant::now() + self.limits.deadline;
        let format = Route::parse(request.uri().path()).map_or(Format::Chat, |route| route.format());
        let request = match self.admit(request, deadline).await {
            Ok(request) => request,
            Err(refusal) => return phrased(format, refuse(refusal)),
        };
        let mut stack = self.stack.clone();
        let Ok(stack) = stack.ready().await;
        let Ok(response) = stack.call(request).await;
        last_word(phrased(format, without_dead_key(response)))
    }

    /// Reads the whole request. What cannot be understood, or is too long, never reaches a target.
    async fn admit(&self, request: Request<AxumBody>, deadline: Instant) -> Result<Request<Payload>, Refusal> {
        let (parts, body) = request.into_parts();
        let body = timeout_at(deadline, self.limits.read(&parts.headers, body)).await.map_err(|_| too_late())??;
        let mut request = Request::from_parts(parts, Payload::new(body));
        Call::of_or_read(&mut request)?;
        CallContext::of_or_insert(&mut request, self.limits.attempts).limit_deadline(deadline);
        Ok(request)
    }
}

// === impl Front ===

impl Front {
    pub(crate) async fn answer(self, request: Request<AxumBody>) -> Response {
        let (intake, health) = &*self.0;
        if !matches!(request.uri().path(), LIVE | READY) {
            return intake.serve(request).await;
        }
        // Boxed, since every request's future would have room for it.
        let Ok(response) = Box::pin(health.clone().oneshot(request)).await;
        response
    }
}

// === impl Limits ===

impl Limits {
    async fn read(&self, headers: &http::HeaderMap, body: AxumBody) -> Result<Bytes, Refusal> {
        let max = self.max_body_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Said before the body is read, so that nobody sends it in vain.
        if announced.is_some_and(|length: u64| length > max as u64) {
            return Err(too_large(max));
        }
        #[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
        match Limited::new(body, max).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large(max)),
            Err(_) => Err(Refusal::new(RefusalKind::BadRequest, "the body broke off before its end")),
        }
    }
}

async fn ready(State(draining): State<Arc<AtomicBool>>) -> Response {
    match draining.load(Ordering::Relaxed) {
        false => health(StatusCode::OK, "ready"),
        true => health(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

fn health(status: StatusCode, word: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, format!(r#"{{"status":"{word}"}}"#)).into_response()
}

/// Phrases what a layer refused in the caller's own format. The layers speak OpenAI's.
fn phrased(format: Format, response: Response) -> Response {
    let Some(refusal) = response.extensions().get::<Refusal>().filter(|_| !matches!(format, Format::Chat)) else {
        return response;
    };
    let (kind, body) = format.envelope(response.status(), refusal.kind().code(), refusal.message());
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, kind);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, AxumBody::from(body))
}

/// Says in the gateway's own words that a target has refused the key that it was shown: its own words tell some of that key's
/// letters, and would be taken to be about the caller's.
fn without_dead_key(response: Response) -> Response {
    let extensions = response.extensions();
    let is_dead = extensions.get::<Class>().is_some_and(|class| class.verdict == Verdict::CredentialDead);
    if !is_dead || extensions.get::<Refusal>().is_some() {
        return response;
    }
    let mut refused =
        refuse(Refusal::new(RefusalKind::Unavailable, "a target refuses the gateway's own key").hopeless());
    for name in ["x-attempts", "x-attempt-trail"] {
        if let Some(value) = response.headers().get(name) {
            refused.headers_mut().insert(name, value.clone());
        }
    }
    refused
}

/// Says of a failure that might pass that what could be tried was tried, and when to come back. A client that tries it all
/// again by itself would multiply the attempts that were made here.
fn last_word(mut response: Response) -> Response {
    if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().entry("x-should-retry").or_insert(HeaderValue::from_static("false"));
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    response
}

fn refuse(refusal: Refusal) -> Response {
    let Ok::<_, std::convert::Infallible>(response) = HttpRefusal.refuse(refusal);
    response
}

fn too_large(max: usize) -> Refusal {
    Refusal::new(RefusalKind::TooLarge, format!("the body is longer than {max} bytes, the most that is taken here"))
}

fn too_late() -> Refusal {
    Refusal::new(RefusalKind::DeadlineExceeded, "the body did not arrive in time")
}
