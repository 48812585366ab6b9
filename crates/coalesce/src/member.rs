//! One that waits for a call.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tracing::debug;

use crate::{
    Joinable, Share,
    flight::{Flight, Landed, Next, Stage},
};

/// One that waits. Dropping it leaves the call to the others.
pub(crate) struct Member<F: Future, A: Joinable> {
    flight: Arc<Flight<F, A>>,
    seat: usize,
    landed: bool,
}

// === impl Member ===

impl<F: Future, A: Joinable> Member<F, A> {
    pub(crate) const fn new(flight: Arc<Flight<F, A>>, seat: usize) -> Self {
        Self { flight, seat, landed: false }
    }

    /// Carries the call on. `begin` makes the one's own call, if it is its turn to make one.
    pub(crate) fn poll<Res, Err, P>(
        &mut self,
        cx: &mut Context<'_>,
        mut begin: impl FnMut() -> F,
        share: &P,
    ) -> Poll<Landed<Result<Res, Err>, A>>
    where
        F: Future<Output = Result<Res, Err>>,
        P: Share<Res, Err, Answer = A>,
    {
        let flight = &*self.flight;
        // Before it is looked at, so that nothing is missed.
        flight.seats.register(self.seat, cx.waker());
        loop {
            let landed = match flight.next(self.seat, &mut begin) {
                Next::Wait => return Poll::Pending,
                Next::Land(landed) => Some(landed),
                Next::Poll(turn) => match turn.poll() {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(output) => flight.land(self.seat, output, share),
                },
            };
            if let Some(landed) = landed {
                self.landed = true;
                return Poll::Ready(landed);
            }
        }
    }
}

impl<F: Future, A: Joinable> Drop for Member<F, A> {
    fn drop(&mut self) {
        let mut state = self.flight.state();
        state.waiting -= 1;
        let at = state.own.iter().position(|(whose, _)| *whose == self.seat);
        let own = at.map(|at| state.own.swap_remove(at));
        let waiting = state.waiting;
        if let Stage::Called(called) = &mut state.stage
            && called.leader == Some(self.seat)
        {
            called.leader = None;
            if waiting > 0 {
                self.flight.registry.counters.handed_over.add();
                debug!("handed over");
            }
        }
        let mut left = None;
        let (mut over, mut leash) = (None, None);
        if let Stage::Answered(answer) = &state.stage {
            left = Some(answer.clone()).filter(|_| !self.landed);
        } else if waiting == 0 {
            over = Some(mem::replace(&mut state.stage, Stage::Over));
            leash = state.leash.take();
        }
        drop(state);
        // All of these may call what is not ours, or take the registry's lock: not under that of the call.
        drop((own, over, leash));
        if let Some(answer) = left {
            answer.leave();
        }
        self.flight.seats.free(self.seat);
        self.flight.seats.wake_others(self.seat);
    }
}

impl<F: Future, A: Joinable> fmt::Debug for Member<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("seat", &self.seat).finish_non_exhaustive()
    }
}
