//! Brings together the texts that are asked for within a moment.

use std::panic::AssertUnwindSafe;

use buttress_core::Oneshot;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tower_service::Service;

use super::{
    super::{EmbedError, EmbedErrorKind, Embedding, Texts, front::Job},
    config::Batching,
};

/// Sends `jobs` in batches, until there are no more and all are answered.
pub(super) async fn run<V>(mut jobs: mpsc::Receiver<Job>, batching: Batching, vectors: V)
where
    V: Service<Texts, Response = Vec<Embedding>, Error: Into<EmbedError>> + Clone,
{
    let mut calls = FuturesUnordered::new();
    let mut waiting: Vec<Job> = Vec::new();
    let mut due = Instant::now();
    let mut open = true;
    while open || !waiting.is_empty() || !calls.is_empty() {
        let full = waiting.len() >= batching.texts;
        tokio::select! {
            job = jobs.recv(), if open && !full => match job {
                Some(job) => {
                    if waiting.is_empty() {
                        due = Instant::now() + batching.window;
                    }
                    waiting.push(job);
                }
                None => open = false,
            },
            () = sleep_until(due), if !waiting.is_empty() && !full && open && calls.len() < batching.calls => {
                calls.push(contained(&vectors, &mut waiting));
            }
            // Nobody else can come in: there is nothing to wait for.
            () = std::future::ready(()), if !waiting.is_empty() && (full || !open) && calls.len() < batching.calls => {
                calls.push(contained(&vectors, &mut waiting));
            }
            _ = calls.next(), if !calls.is_empty() => {}
        }
    }
}

/// Takes what waits, and returns the call that answers it. A panic in the service is one failed call, not the end of all.
fn contained<V>(vectors: &V, waiting: &mut Vec<Job>) -> impl Future<Output = ()> + use<V>
where
    V: Service<Texts, Response = Vec<Embedding>, Error: Into<EmbedError>> + Clone,
{
    let jobs: Vec<Job> = waiting.drain(..).filter_map(Job::still_wanted).collect();
    AssertUnwindSafe(answer(vectors.clone(), jobs)).catch_unwind().map(|outcome| {
        if outcome.is_err() {
            tracing::error!("the service panicked that embeds texts");
        }
    })
}

/// Answers all `jobs`.
async fn answer<V>(vectors: V, jobs: Vec<Job>)
where
    V: Service<Texts, Response = Vec<Embedding>, Error: Into<EmbedError>> + Clone,
{
    let mut batches = vec![jobs];
    while let Some(mut jobs) = batches.pop() {
        let Some(first) = jobs.first() else { continue };
        let shared = first.shared();
        let texts: Texts = jobs.iter().map(Job::text).collect();
        let asked = Oneshot::new(vectors.clone(), texts).await;
        // A service of somebody else's may return too few.
        let asked = asked.map_err(Into::into).and_then(|vectors| match vectors.len() == jobs.len() {
            true => Ok(vectors),
            false => Err(EmbedErrorKind::Malformed.into()),
        });
        shared.count_call(asked.as_ref().err());
        match asked {
            Ok(vectors) => jobs.into_iter().zip(vectors).for_each(|(job, vector)| job.finish(Ok(vector))),
            Err(error) if error.kind() == EmbedErrorKind::Rejected && jobs.len() > 1 => {
                let half = jobs.split_off(jobs.len() / 2);
                batches.extend([half, jobs]);
            }
            Err(error) => {
                tracing::debug!(texts = jobs.len(), kind = ?error.kind(), "texts were not embedded");
                jobs.into_iter().for_each(|job| job.finish(Err(error)));
            }
        }
    }
}
