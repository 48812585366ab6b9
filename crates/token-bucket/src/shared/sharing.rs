//! The work in the background.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use buttress_redis::Error;
use tokio::time::{Instant, timeout};

use super::{
    outbox::{Due, Outbox},
    script::{Levels, Told},
    store::Store,
};
use crate::limiter::Limiter;

/// Writes settlements to Redis, gives leases back, and charges what was used while Redis was away. Made by
/// [`LimitsHandle::sharing`](crate::LimitsHandle::sharing), to be spawned or polled beside other work.
///
/// It completes when the layer, its services, handles and reservations are gone and all is written that can be. Dropping it loses what
/// has not been written: what would come back stays charged until it is refilled.
#[must_use = "without it, nothing is settled"]
pub struct Sharing(Pin<Box<dyn Future<Output = ()> + Send>>);

/// How often leases are looked for that have ended, and whether Redis is back.
const TICK: Duration = Duration::from_millis(50);
/// How many changes are under way at once.
const AT_ONCE: usize = 64;

struct Work {
    levels: Arc<Levels>,
    outbox: Arc<Outbox>,
    limiter: Weak<Limiter>,
}

// === impl Sharing ===

impl Sharing {
    /// Creates the work for a limiter; it has nothing to do without a store.
    pub(crate) fn new(limiter: &Arc<Limiter>) -> Self {
        let work = limiter.shared.as_ref().map(|store| Work {
            levels: Arc::clone(&store.levels),
            outbox: Arc::clone(&store.outbox),
            limiter: Arc::downgrade(limiter),
        });
        Self(Box::pin(async move {
            if let Some(work) = work {
                work.run().await;
            }
        }))
    }
}

impl Future for Sharing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing").finish_non_exhaustive()
    }
}

// === impl Work ===

impl Work {
    async fn run(self) {
        loop {
            // Neither outcome tells more than that it is time to look.
            drop(timeout(TICK, self.outbox.more.notified()).await);
            if self.outbox.is_closed() {
                while self.write().await {}
                return;
            }
            self.with_store(|limiter, store| {
                let now = Instant::now();
                limiter.end_leases(store, now);
                if store.levels.is_there() {
                    limiter.collect_spent(store, now);
                }
            });
            while self.write().await {}
            self.outbox.tried.notify_waiters();
        }
    }

    fn with_store<T>(&self, f: impl FnOnce(&Limiter, &Store) -> T) -> Option<T> {
        let limiter = self.limiter.upgrade()?;
        let store = limiter.shared.as_ref()?;
        Some(f(&limiter, store))
    }

    /// Writes what waits, up to a batch. Returns whether there may be more to write, and Redis to take it.
    async fn write(&self) -> bool {
        if !self.levels.is_there() {
            return false;
        }
        let batch = self.outbox.first(AT_ONCE, Instant::now());
        if batch.is_empty() {
            return false;
        }
        // What is dropped here, with the whole work, counts as lost in Redis, and not as done.
        let results = all(batch.iter().map(|due| self.write_one(due)).collect()).await;
        let now = Instant::now();
        let (mut all_written, number) = (true, batch.len());
        for (mut due, result) in batch.into_iter().zip(results) {
            match result {
                Ok(told) => {
                    self.outbox.settled.fetch_add(1, Ordering::Relaxed);
                    let waker = self.with_store(|limiter, store| limiter.hears(store, &due, &told, now));
                    waker.flatten().into_iter().for_each(Waker::wake);
                }
                Err(_) => {
                    all_written = false;
                    due.tried.get_or_insert(now);
                    self.outbox.put_back(due);
                }
            }
        }
        self.outbox.back(number);
        all_written
    }

    async fn write_one(&self, due: &Due) -> Result<Told, Error> {
        match due.limits.exact() {
            Ok(exact) => self.levels.apply(due.key, exact, &due.change).await,
            // No such limits are let in.
            Err(_) => Ok(Told::read(&[], 0)),
        }
    }
}

/// Completes when all futures have.
pub(crate) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
