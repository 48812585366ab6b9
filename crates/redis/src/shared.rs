//! What callers and the worker share.

use std::{
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    connect::Connection,
    error::{Error, ErrorKind},
    limits::Limits,
    status::{AwayReason, Counters, Status, count},
};

/// What callers and the worker share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// The connection that calls are sent over; nothing while Redis is away. Held for an instant, never over an await.
    live: RwLock<Option<Live>>,
    /// A connection that was silent, for the worker to ask once more.
    silent: Mutex<Option<Connection>>,
    status: watch::Sender<Status>,
    /// Failures in a row.
    failures: AtomicU32,
    in_flight: AtomicUsize,
    /// Tells the worker that Redis went away.
    pub(crate) went_away: Notify,
    /// Tells the worker that no caller is left.
    pub(crate) abandoned: Notify,
}

/// A connection in use.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    /// Which one it is: a late failure of an earlier connection says nothing of this one.
    pub(crate) generation: u64,
}

/// A place among the calls under way. Dropped, it is free.
pub(crate) struct Place<'a>(&'a AtomicUsize);

// === impl Shared ===

impl Shared {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            live: RwLock::default(),
            silent: Mutex::default(),
            status: watch::Sender::new(Status::Away { since: now, reason: AwayReason::Starting }),
            failures: AtomicU32::new(0),
            in_flight: AtomicUsize::new(0),
            went_away: Notify::new(),
            abandoned: Notify::new(),
        }
    }

    /// Takes a place and a handle of the connection, or says at once that there is none.
    pub(crate) fn admit(&self) -> Result<(Place<'_>, Live), Error> {
        let Some(live) = self.live() else {
            count(&self.counters.away);
            return Err(Error::away(self.away_reason()));
        };
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.in_flight);
        if before >= self.limits.max_in_flight.get() {
            count(&self.counters.overloaded);
            return Err(Error::new(ErrorKind::Away));
        }
        Ok((place, live))
    }

    pub(crate) fn live(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Redis answered.
    pub(crate) fn succeeded(&self) {
        // Most of the time there is nothing to write, and a write would be shared by all cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Redis did not answer in time.
    pub(crate) fn timed_out(&self, generation: u64, now: Instant) {
        // What an earlier connection owed says nothing about this one.
        if self.live().is_none_or(|live| live.generation != generation) {
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= self.limits.trip_after.get() {
            self.trip(generation, AwayReason::TimedOut, now);
        }
    }

    /// Takes the connection out of use, unless another is in use by now.
    pub(crate) fn trip(&self, generation: u64, reason: AwayReason, now: Instant) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let Some(tripped) = live.take_if(|live| live.generation == generation) else { return };
        // One that only kept silent may still be good. One that cannot serve is not asked again: it may be the wrong server.
        let silent = (reason == AwayReason::TimedOut).then_some(tripped.connection);
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent;
        self.status.send_replace(Status::Away { since: now, reason });
        drop(live);
        count(&self.counters.went_away);
        warn!(reason = reason.as_str(), "redis is away");
        self.went_away.notify_one();
    }

    /// Takes the connection that kept silent, if there is one.
    pub(crate) fn take_silent(&self) -> Option<Connection> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Brings a connection into use.
    pub(crate) fn publish(&self, connection: Connection, generation: u64, now: Instant) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        *live = Some(Live { connection, generation });
        self.failures.store(0, Ordering::Relaxed);
        let before = self.status.send_replace(Status::Connected { since: now });
        drop(live);
        let away = before.away_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        info!(away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX), "redis is there");
    }

    /// Notes what was found out about a Redis that is away.
    pub(crate) fn still_away(&self, why: AwayReason) {
        count(&self.counters.probes_failed);
        self.status.send_if_modified(|status| match status {
            Status::Away { reason, .. } if *reason != why => {
                *reason = why;
                true
            }
            _ => false,
        });
    }

    /// The worker is gone: nobody will bring Redis back.
    pub(crate) fn stop(&self, now: Instant) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        *live = None;
        drop(self.take_silent());
        self.status.send_modify(|status| {
            let since = status.away_since().unwrap_or(now);
            *status = Status::Away { since, reason: AwayReason::Stopped };
        });
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn away_reason(&self) -> AwayReason {
        match self.status() {
            Status::Away { reason, .. } => reason,
            // It came back between the two looks.
            Status::Connected { .. } => AwayReason::Starting,
        }
    }
}

// === impl Place ===

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
