//! The worker, which connects and connects again.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{
    config::Checked,
    connect::{Connection, Connector, ping},
    probes::Probes,
    shared::Shared,
    status::{AwayReason, count},
};

/// The work of a client in the background: it connects, finds out that Redis is away while nobody asks, and looks for it
/// at intervals while it is. Made by [`Redis::pair`](crate::Redis::pair), to be spawned or polled beside other work.
///
/// It must run on a tokio runtime with I/O and time. The connection's own reader is a task of that runtime, which ends with
/// the connection. It completes when the last handle of the client is gone.
///
/// # Cancel safety
///
/// Dropping it closes the connection. Redis is away from then on.
#[must_use = "without its worker, the client never connects"]
pub struct Worker(Pin<Box<dyn Future<Output = ()> + Send>>);

struct Work {
    shared: Arc<Shared>,
    connector: Connector,
    probes: Probes,
    rng: StdRng,
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, checked: Checked) -> Self {
        let rng = checked.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        let probes = Probes::new(checked.limits.probe_min, checked.limits.probe_max);
        let mut work = Work { shared, connector: Connector::new(checked), probes, rng };
        Self(Box::pin(async move {
            let shared = work.shared.clone();
            tokio::select! {
                () = shared.abandoned.notified() => {}
                () = work.run() => {}
            }
        }))
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

// === impl Work ===

impl Work {
    async fn run(&mut self) {
        let mut generation = 0;
        loop {
            generation += 1;
            let connection = self.find().await;
            let now = Instant::now();
            self.probes.up(now);
            self.shared.publish(connection, generation, now);
            self.watch(generation).await;
            self.probes.down(Instant::now());
            self.wait().await;
        }
    }

    /// Looks for Redis until it is there. One look at a time.
    async fn find(&mut self) -> Connection {
        loop {
            match self.look().await {
                Ok(connection) => return connection,
                Err(reason) => self.shared.still_away(reason),
            }
            self.wait().await;
        }
    }

    async fn look(&mut self) -> Result<Connection, AwayReason> {
        // After a hiccup all clients connecting anew would be the next one.
        if let Some(mut silent) = self.shared.take_silent()
            && ping(&mut silent, &self.shared.limits).await.is_ok()
        {
            return Ok(silent);
        }
        let connection = self.connector.connect().await?;
        count(&self.shared.counters.connected);
        Ok(connection)
    }

    /// Completes when Redis went away. Asks it when nobody else had an answer for a while.
    async fn watch(&self, generation: u64) {
        let shared = &*self.shared;
        let mut answered = 0;
        loop {
            tokio::select! {
                () = shared.went_away.notified() => {
                    if shared.live().is_none() {
                        return;
                    }
                }
                () = sleep(shared.limits.heartbeat) => {
                    let now_answered = shared.counters.answered.load(Ordering::Relaxed);
                    if answered == now_answered && let Some(mut live) = shared.live()
                        && let Err(reason) = ping(&mut live.connection, &shared.limits).await
                    {
                        shared.trip(generation, reason, Instant::now());
                    }
                    answered = now_answered;
                }
            }
        }
    }

    async fn wait(&mut self) {
        let interval = self.probes.next(&mut self.rng);
        sleep(interval).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.stop(Instant::now());
    }
}
