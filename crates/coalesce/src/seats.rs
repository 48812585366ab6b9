//! Who waits for something that any of them may poll.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// Who waits for something that any of them may poll. It is the waker that the thing itself is polled with.
///
/// All are woken each time: whoever comes first polls, and the rest finds what came of it.
#[derive(Default)]
pub(crate) struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// The first seat, in place: most calls have no other.
    first: Option<Waker>,
    is_first_taken: bool,
    /// Those after it.
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

// === impl Seats ===

impl Seats {
    pub(crate) fn take(&self) -> usize {
        let mut taken = self.taken();
        if !mem::replace(&mut taken.is_first_taken, true) {
            return 0;
        }
        taken.free.pop().unwrap_or_else(|| {
            taken.wakers.push(None);
            taken.wakers.len()
        })
    }

    /// Frees a seat, so that it must not be used any more.
    pub(crate) fn free(&self, seat: usize) {
        let mut taken = self.taken();
        let waker = taken.waker(seat).take();
        match seat {
            0 => taken.is_first_taken = false,
            seat => taken.free.push(seat),
        }
        drop(taken);
        drop(waker);
    }

    /// Keeps the waker of whoever sits at `seat`. To be called before the thing is looked at.
    pub(crate) fn register(&self, seat: usize, waker: &Waker) {
        let mut taken = self.taken();
        let slot = taken.waker(seat);
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            let old = slot.replace(waker.clone());
            drop(taken);
            drop(old);
        }
    }

    /// Wakes all but one. The seat of nobody, `usize::MAX`, wakes all.
    pub(crate) fn wake_others(&self, but: usize) {
        let mut taken = self.taken();
        let Taken { first, wakers, .. } = &mut *taken;
        let first = first.take_if(|_| but != 0);
        let others = wakers.iter_mut().zip(1..).filter(|(_, seat)| *seat != but);
        let wakers: Vec<Waker> = others.filter_map(|(waker, _)| waker.take()).collect();
        drop(taken);
        first.into_iter().chain(wakers).for_each(Waker::wake);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Taken {
    fn waker(&mut self, seat: usize) -> &mut Option<Waker> {
        match seat.checked_sub(1) {
            None => &mut self.first,
            Some(at) => &mut self.wakers[at],
        }
    }
}

impl Wake for Seats {
    fn wake(self: Arc<Self>) {
        self.wake_others(usize::MAX);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_others(usize::MAX);
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seats")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_test::task;

    #[test]
    fn all_are_woken_but_the_one_and_a_freed_seat_is_taken_again() {
        let seats = Arc::new(Seats::default());
        let (mut first, mut second) = (task::spawn(()), task::spawn(()));
        let places = [seats.take(), seats.take()];
        first.enter(|cx, _| seats.register(places[0], cx.waker()));
        second.enter(|cx, _| seats.register(places[1], cx.waker()));
        seats.wake_others(places[0]);
        assert!(!first.is_woken() && second.is_woken());
        Waker::from(Arc::clone(&seats)).wake();
        assert!(first.is_woken());
        seats.free(places[0]);
        assert_eq!([seats.take(), seats.take()], [places[0], 2]);
    }
}
