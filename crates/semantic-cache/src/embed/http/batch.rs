//! Brings together the texts that are asked for within a moment.

use std::panic::AssertUnwindSafe;

use buttress_core::Payload;
use bytes::Buf;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use http::{Request, Response};
use http_body::Body;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tower_service::Service;

use super::{super::front::Job, call::Caller, config::Batching};

/// Sends `jobs` in batches, until there are no more and all are answered.
pub(super) async fn run<S, B>(mut jobs: mpsc::Receiver<Job>, batching: Batching, caller: Caller<S>)
where
    S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
    B: Body<Data: Buf + Send> + Send + 'static,
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
                calls.push(contained(&caller, &mut waiting));
            }
            // Nobody else can come in: there is nothing to wait for.
            () = std::future::ready(()), if !waiting.is_empty() && (full || !open) && calls.len() < batching.calls => {
                calls.push(contained(&caller, &mut waiting));
            }
            _ = calls.next(), if !calls.is_empty() => {}
        }
    }
}

/// Takes what waits, and returns the call that answers it. A panic in the service is one failed call, not the end of all.
fn contained<'a, S, B>(caller: &'a Caller<S>, waiting: &mut Vec<Job>) -> impl Future<Output = ()> + Send + 'a
where
    S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
    B: Body<Data: Buf + Send> + Send + 'static,
{
    let jobs: Vec<Job> = waiting.drain(..).filter_map(Job::still_wanted).collect();
    AssertUnwindSafe(caller.answer(jobs)).catch_unwind().map(|outcome| {
        if outcome.is_err() {
            tracing::error!("the service panicked that embeds texts");
        }
    })
}
