//! What became of requests at the cache, and what that saved.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use buttress_core::Usage;
use buttress_llm::Call;
use buttress_semantic_cache::{Bypass, CacheOutcome, Explanation, Key, Miss, OnceCost};
use buttress_token_bucket::{Costs, Dimension};
use http::{HeaderValue, Request, Response};
use pin_project::pin_project;
use tower::Service;

use crate::{
    rules::{Rules, Treatment},
    tenants::PriceList,
};

/// What became of requests at the cache, by rule, and what that saved.
pub(crate) struct Ledger {
    rules: Vec<(Box<str>, [AtomicU64; OUTCOMES.len()])>,
    tokens: [AtomicU64; 3],
    nano_dollars: AtomicU64,
    /// Answers that do not tell what they once cost.
    untold: AtomicU64,
    /// Answers whose model has no price.
    unpriced: AtomicU64,
    prices: ArcSwap<PriceList>,
}

/// What was saved by answers that were given again, were they all asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) input: u64,
    pub(crate) cached_input: u64,
    pub(crate) output: u64,
    pub(crate) nano_dollars: u64,
    pub(crate) untold: u64,
    pub(crate) unpriced: u64,
}

/// Writes down what `S` does, the cache, and explains it to who may know.
#[derive(Clone, Debug)]
pub(crate) struct Told<S> {
    inner: S,
    ledger: Arc<Ledger>,
}

/// The future of [`Told`].
#[pin_project]
pub(crate) struct Telling<F> {
    #[pin]
    inner: F,
    ledger: Arc<Ledger>,
    treatment: Option<Treatment>,
    call: Option<Call>,
}

/// The words of what may become of a request.
const OUTCOMES: [&str; 7] = ["hit", "semantic-hit", "stale", "stale-if-error", "miss", "bypass", "refused"];

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(rules: &Rules, prices: PriceList) -> Self {
        Self {
            rules: rules.names().map(|name| (name.into(), Default::default())).collect(),
            tokens: Default::default(),
            nano_dollars: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            unpriced: AtomicU64::new(0),
            prices: ArcSwap::from_pointee(prices),
        }
    }

    /// Takes over what models cost.
    pub(crate) fn reprice(&self, prices: PriceList) {
        self.prices.store(Arc::new(prices));
    }

    /// Returns how many requests had which outcome, by rule.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.rules.iter().flat_map(|(rule, counts)| {
            let count =
                |(outcome, count): (&'static str, &AtomicU64)| (&**rule, outcome, count.load(Ordering::Relaxed));
            OUTCOMES.into_iter().zip(counts).map(count)
        })
    }

    pub(crate) fn saved(&self) -> Saved {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [input, cached_input, output] = self.tokens.each_ref().map(read);
        let (untold, unpriced) = (read(&self.untold), read(&self.unpriced));
        Saved { input, cached_input, output, nano_dollars: read(&self.nano_dollars), untold, unpriced }
    }

    /// Writes down what became of a request under `rule`.
    fn note(&self, rule: usize, outcome: Option<CacheOutcome>) {
        let word = outcome.map_or("refused", CacheOutcome::as_str);
        let at = OUTCOMES.iter().position(|outcome| *outcome == word);
        if let (Some((_, counts)), Some(at)) = (self.rules.get(rule), at) {
            counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes down that an answer for `model` was given again.
    fn save(&self, model: &str, cost: Option<Usage>) {
        let Some(usage) = cost else {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let fresh = usage.input.saturating_sub(usage.cached_input);
        for (count, tokens) in self.tokens.iter().zip([fresh, usage.cached_input, usage.output]) {
            count.fetch_add(tokens, Ordering::Relaxed);
        }
        // One that nobody has set a price for is not said to have saved what the dearest costs.
        match self.prices.load().known(model) {
            Some(prices) => {
                let costs = Costs::ZERO.priced(prices).with_usage(&usage);
                self.nano_dollars.fetch_add(costs.amount(Dimension::NANO_DOLLARS), Ordering::Relaxed);
            }
            None => {
                self.unpriced.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("saved", &self.saved()).finish_non_exhaustive()
    }
}

// === impl Told ===

impl<S> Told<S> {
    pub(crate) const fn new(inner: S, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }
}

impl<S, B, B2> Service<Request<B>> for Told<S>
where
    S: Service<Request<B>, Response = Response<B2>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Telling<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let extensions = request.extensions();
        let (treatment, call) = (extensions.get().copied(), extensions.get().cloned());
        Telling { inner: self.inner.call(request), ledger: Arc::clone(&self.ledger), treatment, call }
    }
}

impl<F, B, E> Future for Telling<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(treatment)) = (&mut result, this.treatment) {
            let outcome = response.extensions().get::<CacheOutcome>().copied();
            this.ledger.note(treatment.rule, outcome);
            if matches!(outcome, Some(CacheOutcome::Hit | CacheOutcome::SemanticHit(_) | CacheOutcome::Stale)) {
                let cost = response.extensions().get().map(|OnceCost(usage)| *usage);
                this.ledger.save(this.call.as_ref().and_then(Call::model).unwrap_or_default(), cost);
            }
            if treatment.explains {
                explain(response, outcome, &this.ledger.rules[treatment.rule].0);
            }
        }
        Poll::Ready(result)
    }
}

/// Says why, in a header for who may know.
fn explain<B>(response: &mut Response<B>, outcome: Option<CacheOutcome>, rule: &str) {
    let mut text = format!("{}; rule={rule}", outcome.map_or("refused", CacheOutcome::as_str));
    let mut add = |words: String| {
        text.push_str("; ");
        text.push_str(&words);
    };
    match outcome {
        Some(CacheOutcome::Miss(why)) => add(format!("miss={}", Miss::as_str(why))),
        Some(CacheOutcome::Bypassed(why)) => add(format!("bypass={}", Bypass::as_str(why))),
        _ => {}
    }
    if let Some(key) = response.extensions().get::<Key>() {
        add(format!("key={key}"));
    }
    if let Some(explanation) = response.extensions().get::<Explanation>() {
        add(explanation.as_str().to_owned());
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert("x-cache-detail", value);
    }
}
