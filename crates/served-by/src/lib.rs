//! A tower layer that tells callers the truth about who answered, and what was tried.
//!
//! # What it does
//!
//! 1. A layer further in that chose a target names it in the response's extensions ([`ServedBy`]), and keeps the trail of
//!    attempts in a [`CallContext`] there. This layer writes both into headers:
//!
//!    | header | says | by default |
//!    |---|---|---|
//!    | served-by | the target whose answer this is | `x-served-by` |
//!    | region | that target's region | `x-served-region` |
//!    | model | the model that target was asked for | `x-served-model` |
//!    | attempts | how many attempts were made | `x-attempts` |
//!    | trail | each attempt: target, outcome, time to its end or to the head of its answer | `x-attempt-trail` |
//!
//! 2. A header is written only if its fact is known. An answer that no target gave, such as a refusal, names none.
//! 3. Copies of these headers that come in with a request are removed, so that no caller can plant one; and so are copies
//!    that a target sends, so that each header here is this process's own word.
//! 4. The names are set with [`Headers`]; any header can be left out.
//!
//! # When it refuses
//!
//! Never.
//!
//! # Cancellation
//!
//! Dropping the future drops the inner one. The layer holds no state.
//!
//! # Cost
//!
//! One allocation, for the trail; target, region and model are header values already. A header map without room for five
//! more headers grows once.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{Label, ServedBy, Target};
//! use buttress_served_by::ServedByLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::named("azure-east")?.with_region(Label::try_new("eastus")?);
//! let service = ServiceBuilder::new().layer(ServedByLayer::new()).service(service_fn(move |_: Request<()>| {
//!     let served_by = ServedBy { target: target.clone(), model: None };
//!     async move { Ok::<_, Infallible>(Response::builder().extension(served_by).body(()).unwrap()) }
//! }));
//!
//! let response = service.oneshot(Request::new(())).await?;
//!
//! assert_eq!(response.headers()["x-served-by"], "azure-east");
//! assert_eq!(response.headers()["x-served-region"], "eastus");
//! assert!(!response.headers().contains_key("x-served-model"), "what is not known is not said");
//! # Ok(()) }
//! ```

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{CallContext, ServedBy, Trail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Tells callers who answered. See the [crate docs](crate).
#[derive(Clone, Debug, Default)]
pub struct ServedByLayer {
    names: Arc<Names>,
}

/// The names of the headers; `None` leaves one out. See the [crate docs](crate) for what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made with `..Headers::default()`")]
pub struct Headers {
    /// The target that answered.
    pub served_by: Option<HeaderName>,
    /// Its region.
    pub region: Option<HeaderName>,
    /// The model it was asked for.
    pub model: Option<HeaderName>,
    /// How many attempts were made.
    pub attempts: Option<HeaderName>,
    /// Each attempt.
    pub trail: Option<HeaderName>,
}

/// Tells callers who answered. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct Served<S> {
    inner: S,
    names: Arc<Names>,
}

/// The names of the headers, and which others can be told from all of them at a glance.
#[derive(Clone, Debug)]
struct Names {
    headers: Headers,
    /// One bit for each name: see [`bit`].
    bits: u64,
}

/// The future of [`Served`].
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    names: Arc<Names>,
}

// === impl ServedByLayer ===

impl ServedByLayer {
    /// Creates a layer that writes headers of the default names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a layer that writes headers of these names.
    #[must_use]
    pub fn named(headers: Headers) -> Self {
        Self { names: Arc::new(headers.into()) }
    }
}

impl<S> Layer<S> for ServedByLayer {
    type Service = Served<S>;

    fn layer(&self, inner: S) -> Served<S> {
        Served { inner, names: Arc::clone(&self.names) }
    }
}

// === impl Headers ===

impl Default for Headers {
    fn default() -> Self {
        let name = |text| Some(HeaderName::from_static(text));
        Self {
            served_by: name("x-served-by"),
            region: name("x-served-region"),
            model: name("x-served-model"),
            attempts: name("x-attempts"),
            trail: name("x-attempt-trail"),
        }
    }
}

impl Headers {
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let Self { served_by, region, model, attempts, trail } = self;
        [served_by, region, model, attempts, trail].into_iter().flatten()
    }
}

// === impl Names ===

impl Default for Names {
    fn default() -> Self {
        Headers::default().into()
    }
}

impl From<Headers> for Names {
    fn from(headers: Headers) -> Self {
        let bits = headers.names().fold(0, |bits, name| bits | bit(name));
        Self { headers, bits }
    }
}

impl Names {
    fn strip(&self, from: &mut HeaderMap) {
        // Hardly anybody sends one, and to look through the few names there are takes less than to look each of these up.
        let ours = |name: &HeaderName| self.bits & bit(name) != 0 && self.headers.names().any(|our| our == name);
        if from.keys().any(ours) {
            for name in self.headers.names() {
                from.remove(name);
            }
        }
    }

    fn write<B>(&self, response: &mut Response<B>) {
        let Headers { served_by, region, model, attempts, trail } = &self.headers;
        // Taken out and put back, which moves the extensions, so that the headers can be written meanwhile.
        let extensions = std::mem::take(response.extensions_mut());
        let headers = response.headers_mut();
        self.strip(headers);
        if let Some(by) = extensions.get::<ServedBy>() {
            set(headers, served_by.as_ref(), || Some(by.target.name().to_header_value()));
            set(headers, region.as_ref(), || by.target.region().map(|region| region.to_header_value()));
            set(headers, model.as_ref(), || by.model.as_ref().map(|model| model.to_header_value()));
        }
        if let Some(context) = extensions.get::<CallContext>() {
            context.with_trail(|made| {
                set(headers, attempts.as_ref(), || Some(count(made.made())));
                set(headers, trail.as_ref(), || written(made));
            });
        }
        *response.extensions_mut() = extensions;
    }
}

/// Returns the bit of a name, by its length and its last letter: two names of different bits are different.
fn bit(name: &HeaderName) -> u64 {
    let text = name.as_str().as_bytes();
    let last = text.last().copied().unwrap_or_default();
    1 << ((text.len() + 5 * usize::from(last)) % 64)
}

fn set(headers: &mut HeaderMap, name: Option<&HeaderName>, value: impl FnOnce() -> Option<HeaderValue>) {
    if let Some(name) = name
        && let Some(value) = value()
    {
        headers.insert(name.clone(), value);
    }
}

/// Writes a count, the small ones without an allocation.
fn count(n: u32) -> HeaderValue {
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    SMALL.get(n as usize).map_or_else(|| n.into(), |text| HeaderValue::from_static(text))
}

/// Writes a trail into one allocation of just its length; `None` if nothing was tried.
///
/// What is written twice is the rare trail of many attempts.
fn written(trail: &Trail) -> Option<HeaderValue> {
    use fmt::Write as _;
    if trail.made() == 0 {
        return None;
    }
    let mut line = Line { text: [0; 96], length: 0 };
    if write!(line, "{trail}").is_ok() {
        return HeaderValue::from_bytes(&line.text[..line.length]).ok();
    }
    let mut length = Length(0);
    write!(length, "{trail}").ok()?;
    let mut text = String::with_capacity(length.0);
    write!(text, "{trail}").ok()?;
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

/// A short text on the stack. To write more than it has room for fails.
struct Line {
    text: [u8; 96],
    length: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.text.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Counts what is written.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

// === impl Served ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Served<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        self.names.strip(request.headers_mut());
        ResponseFuture { inner: self.inner.call(request), names: Arc::clone(&self.names) }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let Ok(response) = &mut result {
            this.names.write(response);
        }
        Poll::Ready(result)
    }
}
