//! A call that many wait for, up to the head of its answer.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tracing::debug;

use crate::{Joinable, Leash, Share, registry::Registry, seats::Seats};

/// A call that many wait for. It belongs to none of them: whoever is polled carries it on.
pub(crate) struct Flight<F: Future, A> {
    state: Mutex<State<F, A>>,
    pub(crate) seats: Arc<Seats>,
    /// Wakes all seats.
    waker: Waker,
    pub(crate) registry: Arc<Registry>,
}

pub(crate) struct State<F: Future, A> {
    pub(crate) waiting: usize,
    pub(crate) stage: Stage<F, A>,
    pub(crate) leash: Option<Leash>,
    /// What is somebody's own and was found by somebody else: the failure of its call.
    pub(crate) own: Vec<(usize, F::Output)>,
    /// Whether a call was begun before.
    called: bool,
}

pub(crate) enum Stage<F, A> {
    /// No call is under way: whoever is polled begins one.
    Open,
    Called(Called<F>),
    Answered(A),
    /// Everybody left before there was an answer.
    Over,
}

pub(crate) struct Called<F> {
    /// Absent while somebody polls it.
    future: Option<Pin<Box<F>>>,
    /// Whose call it is, unless it left.
    pub(crate) leader: Option<usize>,
    /// Somebody came while it was absent.
    knocked: bool,
}

/// What became of waiting.
pub(crate) enum Landed<T, A> {
    /// The caller's own call has failed.
    Own(T),
    /// There is an answer for all.
    Shared { answer: A, joined: bool },
}

/// What the one who is polled can do.
pub(crate) enum Next<'a, F: Future, A> {
    Wait,
    Land(Landed<F::Output, A>),
    Poll(Turn<'a, F, A>),
}

/// Puts the call back when it has been polled.
pub(crate) struct Turn<'a, F: Future, A> {
    flight: &'a Flight<F, A>,
    seat: usize,
    future: Option<Pin<Box<F>>>,
    /// Whether the poll has returned: a call that panicked is not to be polled again.
    whole: bool,
}

// === impl Flight ===

impl<F: Future, A> Flight<F, A> {
    /// Creates a call that is yet to be begun, with one seat taken.
    pub(crate) fn new(leash: Leash) -> (Arc<Self>, usize) {
        let seats = Arc::new(Seats::default());
        let seat = seats.take();
        let registry = leash.registry();
        let waker = Waker::from(Arc::clone(&seats));
        let state = State { waiting: 1, stage: Stage::Open, leash: Some(leash), own: Vec::new(), called: false };
        (Arc::new(Self { state: Mutex::new(state), seats, waker, registry }), seat)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State<F, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future, A: Joinable> Flight<F, A> {
    /// Takes a seat. The error says whether the call is over; otherwise too many wait for it.
    pub(crate) fn join(&self, followers: usize) -> Result<usize, bool> {
        let mut state = self.state();
        match &state.stage {
            Stage::Over => return Err(true),
            _ if state.waiting > followers => return Err(false),
            Stage::Answered(answer) if !answer.join() => return Err(true),
            Stage::Answered(_) | Stage::Open | Stage::Called(_) => {}
        }
        state.waiting += 1;
        self.registry.counters.joined.add();
        debug!("joined");
        Ok(self.seats.take())
    }

    pub(crate) fn next(&self, seat: usize, begin: &mut dyn FnMut() -> F) -> Next<'_, F, A> {
        let mut state = self.state();
        if let Some(at) = state.own.iter().position(|(whose, _)| *whose == seat) {
            return Next::Land(Landed::Own(state.own.swap_remove(at).1));
        }
        if matches!(state.stage, Stage::Open) {
            // Nothing of the inner service is touched yet: that is when it is polled, without the lock.
            let future = Some(Box::pin(begin()));
            state.stage = Stage::Called(Called { future, leader: Some(seat), knocked: false });
            self.registry.counters.led.add();
            if mem::replace(&mut state.called, true) {
                self.registry.counters.promoted.add();
                debug!("promoted");
            }
        }
        match &mut state.stage {
            Stage::Answered(answer) => Next::Land(Landed::Shared { answer: answer.clone(), joined: true }),
            Stage::Called(called) => match called.future.take() {
                Some(future) => Next::Poll(Turn { flight: self, seat, future: Some(future), whole: false }),
                None => {
                    called.knocked = true;
                    Next::Wait
                }
            },
            Stage::Open | Stage::Over => unreachable!("whoever waits keeps the call alive, and it was begun above"),
        }
    }

    /// Deals with what the call came to. `None` if it failed and was somebody else's.
    pub(crate) fn land<Res, Err, P>(
        &self,
        seat: usize,
        output: Result<Res, Err>,
        share: &P,
    ) -> Option<Landed<F::Output, A>>
    where
        F: Future<Output = Result<Res, Err>>,
        P: Share<Res, Err, Answer = A>,
    {
        let success = share.is_success(&output);
        let answer = match output {
            Ok(answer) if success => answer,
            output => return self.fail(seat, output),
        };
        let leash = self.state().leash.take();
        // It may call the body, which is not ours: without the lock.
        let (answer, leash) = share.share(answer, leash);
        let mut state = self.state();
        answer.open(state.waiting);
        let old = mem::replace(&mut state.stage, Stage::Answered(answer.clone()));
        drop(state);
        drop(leash);
        self.seats.wake_others(seat);
        Some(Landed::Shared { answer, joined: !old.is_of(seat) })
    }

    fn fail(&self, seat: usize, output: F::Output) -> Option<Landed<F::Output, A>> {
        let mut state = self.state();
        let Stage::Called(called) = mem::replace(&mut state.stage, Stage::Open) else {
            unreachable!("it was called until now");
        };
        let (landed, lost) = match called.leader {
            Some(leader) if leader == seat => (Some(Landed::Own(output)), None),
            Some(leader) => {
                state.own.push((leader, output));
                (None, None)
            }
            // Whose failure it was does not want it any more.
            None => (None, Some(output)),
        };
        drop(state);
        drop(lost);
        self.seats.wake_others(seat);
        landed
    }
}

// === impl Stage ===

impl<F, A> Stage<F, A> {
    fn is_of(&self, seat: usize) -> bool {
        matches!(self, Self::Called(called) if called.leader == Some(seat))
    }
}

// === impl Turn ===

impl<F: Future, A> Turn<'_, F, A> {
    pub(crate) fn poll(mut self) -> Poll<F::Output> {
        let future = self.future.as_mut().expect("whose turn it is has the call");
        let polled = future.as_mut().poll(&mut Context::from_waker(&self.flight.waker));
        self.whole = true;
        if polled.is_ready() {
            // What the call holds goes before its answer is dealt with.
            self.future = None;
        }
        polled
    }
}

impl<F: Future, A> Drop for Turn<'_, F, A> {
    fn drop(&mut self) {
        let future = self.future.take();
        if self.whole && future.is_none() {
            return;
        }
        let (future, broken) = if self.whole { (future, None) } else { (None, future) };
        let mut state = self.flight.state();
        let mut knocked = broken.is_some();
        match &mut state.stage {
            Stage::Called(called) if future.is_some() => {
                called.future = future;
                knocked = mem::take(&mut called.knocked);
            }
            // Its panic is of the one who was polled. The next one begins anew.
            stage => *stage = Stage::Open,
        }
        drop(state);
        drop(broken);
        if knocked {
            self.flight.seats.wake_others(self.seat);
        }
    }
}
