//! A judge that is asked through a service, and takes its time.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Oneshot, Usage};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time,
};
use tower_service::Service;
use tracing::debug;

use super::{
    Judge,
    asked_counts::{JudgeCounts, Of, Tally},
    asked_limits::JudgeLimits,
};

/// A judge that asks any service, in work of its own: a model behind limits, retries and a circuit breaker, say.
///
/// 1. So many comparisons are under way [at once](JudgeLimits::at_once), and so many [wait](JudgeLimits::queue). What is more is
///    dropped at once, and counted.
/// 2. Each has [so much time](JudgeLimits::timeout), its wait included. A call that is late is cancelled.
/// 3. What was dropped, late, [too long](JudgeLimits::text), or failed, was not judged: that is `None`, and never a yes.
/// 4. Who asks and leaves cancels the call. A service that panics has failed, and the next comparison is asked as ever.
///
/// A service takes a [`Comparison`] and answers with an [`Opinion`], or with what can be made one: a `bool`, an `Option<bool>`. Feature
/// `llm` has one that asks a language model, `llm::ModelJudge`. No text is in any event, error or `Debug`.
///
/// ```
/// use buttress_semantic_cache::{Comparison, Judge as _, JudgeLimits, ServiceJudge};
/// use std::convert::Infallible;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let lengths = service_fn(async |compared: Comparison| Ok::<_, Infallible>(compared.fresh().len() == compared.known().len()));
/// let (judge, worker) = ServiceJudge::pair(lengths, JudgeLimits::new());
/// let judged = async {
///     assert_eq!(judge.equal("one", "two").await, Some(true));
///     assert_eq!(judge.equal("one", "three").await, Some(false));
/// };
/// tokio::select! {
///     () = judged => {}
///     () = worker => unreachable!("there is a handle"),
/// }
/// assert_eq!(judge.counts().calls, 2);
/// # }
/// ```
#[derive(Clone)]
pub struct ServiceJudge {
    queue: mpsc::Sender<Job>,
    limits: JudgeLimits,
    tally: Arc<Tally>,
}

/// The work behind a [`ServiceJudge`]: a future to be run for as long as there are handles. It ends after the last is gone.
///
/// # Cancel safety
///
/// Dropped, it cancels what is under way. Nobody is left waiting, and nothing is judged from then on.
#[must_use = "without it, nothing is judged"]
pub struct ServiceJudgeWorker(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Two answers to be compared. Both are what others wrote: data, whatever they say.
#[derive(Clone)]
pub struct Comparison {
    fresh: Box<str>,
    known: Box<str>,
}

/// What a service says of a [`Comparison`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opinion {
    /// Whether the two come to the same; `None` if it cannot tell.
    pub equal: Option<bool>,
    /// What it has cost to find out, where that is told.
    pub usage: Option<Usage>,
}

struct Job {
    comparison: Comparison,
    reply: oneshot::Sender<Option<Opinion>>,
}

// === impl ServiceJudge ===

impl ServiceJudge {
    /// Creates a judge that asks `service`, and the work to be run for it.
    pub fn pair<S>(service: S, limits: JudgeLimits) -> (Self, ServiceJudgeWorker)
    where
        S: Service<Comparison, Response: Into<Opinion>, Future: Send> + Clone + Send + Sync + 'static,
    {
        let (queue, jobs) = mpsc::channel(limits.queue.get());
        let tally = Arc::new(Tally::default());
        let worker = run(jobs, service, limits.at_once.get(), Arc::clone(&tally));
        (Self { queue, limits, tally }, ServiceJudgeWorker(Box::pin(worker)))
    }

    /// Creates a judge that asks `service`, and lets `runtime` do the work.
    pub fn spawn_on<S>(runtime: &Handle, service: S, limits: JudgeLimits) -> Self
    where
        S: Service<Comparison, Response: Into<Opinion>, Future: Send> + Clone + Send + Sync + 'static,
    {
        let (judge, worker) = Self::pair(service, limits);
        drop(runtime.spawn(worker));
        judge
    }

    /// Returns what it did since it was made.
    #[must_use]
    pub fn counts(&self) -> JudgeCounts {
        self.tally.read()
    }

    async fn ask(&self, fresh: &str, known: &str) -> Result<Opinion, Of> {
        if fresh.len().saturating_add(known.len()) > self.limits.text {
            return Err(Of::TooLong);
        }
        let place = self.queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Of::Dropped,
            mpsc::error::TrySendError::Closed(()) => Of::Failed,
        })?;
        let (reply, opinion) = oneshot::channel();
        place.send(Job { comparison: Comparison::new(fresh, known), reply });
        // Dropped when it is late, `opinion` tells the worker that nobody waits.
        let opinion = time::timeout(self.limits.timeout, opinion).await.map_err(|_| Of::Late)?;
        opinion.ok().flatten().ok_or(Of::Failed)
    }
}

impl Judge for ServiceJudge {
    async fn equal(&self, fresh: &str, known: &str) -> Option<bool> {
        self.tally.add(Of::Asked);
        match self.ask(fresh, known).await {
            Ok(opinion) => {
                self.tally.add(Of::opinion(opinion.equal));
                opinion.equal
            }
            Err(why) => {
                debug!(reason = why.as_str(), "not judged");
                self.tally.add(why);
                None
            }
        }
    }
}

impl fmt::Debug for ServiceJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceJudge").field("limits", &self.limits).field("counts", &self.counts()).finish()
    }
}

// === impl ServiceJudgeWorker ===

impl Future for ServiceJudgeWorker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ServiceJudgeWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceJudgeWorker")
    }
}

async fn run<S>(mut jobs: mpsc::Receiver<Job>, service: S, at_once: usize, tally: Arc<Tally>)
where
    S: Service<Comparison, Response: Into<Opinion>> + Clone,
{
    let (mut calls, mut open) = (FuturesUnordered::new(), true);
    while open || !calls.is_empty() {
        tokio::select! {
            job = jobs.recv(), if open && calls.len() < at_once => match job {
                Some(job) => calls.push(answer(service.clone(), job, &tally)),
                None => open = false,
            },
            _ = calls.next(), if !calls.is_empty() => {}
        }
    }
}

/// Asks, unless nobody waits for it any more, and no longer than somebody does.
async fn answer<S>(service: S, job: Job, tally: &Tally)
where
    S: Service<Comparison, Response: Into<Opinion>>,
{
    let Job { comparison, mut reply } = job;
    if reply.is_closed() {
        return;
    }
    tally.add(Of::Calls);
    let asked = AssertUnwindSafe(Oneshot::new(service, comparison)).catch_unwind();
    tokio::select! {
        biased;
        outcome = asked => {
            if outcome.is_err() {
                tracing::error!("the service panicked that compares answers");
            }
            let opinion: Option<Opinion> = outcome.ok().and_then(Result::ok).map(Into::into);
            if let Some(usage) = opinion.and_then(|opinion| opinion.usage) {
                tally.spend(usage);
            }
            let _ = reply.send(opinion);
        }
        () = reply.closed() => {}
    }
}

// === impl Comparison ===

impl Comparison {
    /// Creates a comparison of a `fresh` answer with one that is `known`.
    pub fn new(fresh: impl Into<Box<str>>, known: impl Into<Box<str>>) -> Self {
        Self { fresh: fresh.into(), known: known.into() }
    }

    /// Returns the answer that was given just now.
    #[must_use]
    pub fn fresh(&self) -> &str {
        &self.fresh
    }

    /// Returns the answer that is kept.
    #[must_use]
    pub fn known(&self) -> &str {
        &self.known
    }
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the texts.
        write!(f, "Comparison({} and {} bytes)", self.fresh.len(), self.known.len())
    }
}

// === impl Opinion ===

impl Opinion {
    /// Sets what it has cost.
    #[must_use]
    pub const fn costing(mut self, usage: Option<Usage>) -> Self {
        self.usage = usage;
        self
    }
}

impl From<Option<bool>> for Opinion {
    fn from(equal: Option<bool>) -> Self {
        Self { equal, usage: None }
    }
}

impl From<bool> for Opinion {
    fn from(equal: bool) -> Self {
        Some(equal).into()
    }
}
