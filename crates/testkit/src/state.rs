//! What all clones of a probe share, and what each of them holds.

use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::time::Sleep;

use crate::{Answer, BodyWatch, ProbeError, Reply};

pub(crate) struct Core<T: Answer> {
    shared: Arc<Shared<T>>,
    place: Option<Place<T>>,
}

pub(crate) struct Shared<T: Answer> {
    state: Mutex<State<T>>,
    pub(crate) bodies: BodyWatch,
}

pub(crate) struct State<T: Answer> {
    pub(crate) limit: usize,
    pub(crate) readiness: Result<bool, ProbeError>,
    pub(crate) next: VecDeque<Reply<T>>,
    pub(crate) always: Reply<T>,
    pub(crate) seen: Vec<T::Seen>,
    pub(crate) ready_polls: usize,
    pub(crate) permits: usize,
    pub(crate) futures: usize,
    /// Counts releases: who hangs goes on in the next round.
    pub(crate) round: u64,
    pub(crate) waiting: Vec<Waker>,
}

/// A place in the service, given back on drop.
struct Place<T: Answer>(Arc<Shared<T>>);

/// A future that lives.
struct Live<T: Answer>(Arc<Shared<T>>);

/// A call on its way to its answer.
pub(crate) struct Exchange<T: Answer> {
    reply: Option<Reply<T>>,
    number: usize,
    hangs_since: u64,
    delay: Option<Pin<Box<Sleep>>>,
    live: Live<T>,
    _place: Place<T>,
}

// === impl Core ===

impl<T: Answer> Core<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            limit: usize::MAX,
            readiness: Ok(true),
            next: VecDeque::new(),
            always: Reply::ok(),
            seen: Vec::new(),
            ready_polls: 0,
            permits: 0,
            futures: 0,
            round: 0,
            waiting: Vec::new(),
        };
        let shared = Shared { state: Mutex::new(state), bodies: BodyWatch::default() };
        Self { shared: Arc::new(shared), place: None }
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        let mut state = self.shared.state();
        state.ready_polls += 1;
        let ready = state.readiness.clone()?;
        if !ready || (self.place.is_none() && state.permits >= state.limit) {
            state.wait(cx);
            return Poll::Pending;
        }
        if self.place.is_none() {
            state.permits += 1;
            self.place = Some(Place(Arc::clone(&self.shared)));
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn shared(&self) -> Arc<Shared<T>> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn call(&mut self, seen: T::Seen) -> Exchange<T> {
        let Some(place) = self.place.take() else {
            panic!("the probe was called unready: `poll_ready` must say ready on this very instance before each call");
        };
        let mut state = self.shared.state();
        let number = state.seen.len();
        state.seen.push(seen);
        state.futures += 1;
        let reply = state.next.pop_front().unwrap_or_else(|| state.always.clone());
        let live = Live(Arc::clone(&self.shared));
        Exchange { reply: Some(reply), number, hangs_since: state.round, delay: None, live, _place: place }
    }
}

impl<T: Answer> Clone for Core<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), place: None }
    }
}

// === impl Shared ===

impl<T: Answer> Shared<T> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes all who may have waited for the change.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.state();
        change(&mut state);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<T: Answer> State<T> {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }
}

// === impl Place ===

impl<T: Answer> Drop for Place<T> {
    fn drop(&mut self) {
        self.0.update(|state| state.permits -= 1);
    }
}

// === impl Live ===

impl<T: Answer> Drop for Live<T> {
    fn drop(&mut self) {
        self.0.state().futures -= 1;
    }
}

// === impl Exchange ===

impl<T: Answer> Exchange<T> {
    /// Returns how many frames of the request are still to be read.
    pub(crate) fn frames_left(&mut self) -> Option<&mut usize> {
        self.reply.as_mut().map(|reply| &mut reply.reads)
    }

    /// Notes more of the request.
    pub(crate) fn note(&self, note: impl FnOnce(&mut T::Seen)) {
        note(&mut self.live.0.state().seen[self.number]);
    }

    /// Ends the exchange without its reply.
    pub(crate) fn give_up(&mut self) {
        self.reply = None;
    }

    /// Returns what counts the bodies of the answers.
    pub(crate) fn bodies(&self) -> &BodyWatch {
        &self.live.0.bodies
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ProbeError>> {
        let reply = self.reply.as_mut().expect("polled after completion");
        if reply.hangs {
            let mut state = self.live.0.state();
            if state.round == self.hangs_since {
                state.wait(cx);
                return Poll::Pending;
            }
            reply.hangs = false;
        }
        if let Some(after) = reply.after.take() {
            self.delay = Some(Box::pin(tokio::time::sleep(after)));
        }
        if let Some(delay) = &mut self.delay {
            ready!(delay.as_mut().poll(cx));
        }
        let reply = self.reply.take().expect("it was there a moment ago");
        Poll::Ready(reply.result)
    }
}
