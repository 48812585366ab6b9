//! Who may pass: the permit protocol.

use std::{
    sync::PoisonError,
    task::{Poll, Waker},
};

use tokio::time::Instant;

use crate::{
    Criticality, Queue, Shares,
    queue::{Next, State, Turn, Waiting},
    sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering},
};

/// Counts the calls under way, and lets no more pass than the limit.
///
/// While nobody waits, a place is taken and given back by one atomic operation on one word. The first to wait sets a flag in
/// that word, in the same operation that finds no place in it. From then on, until the queue is empty, every change to the
/// word is made under the lock of the queue. So a place cannot be given back unseen between the look and the wait.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The calls under way in the lower half; [`ASK`] above it.
    word: AtomicU64,
    /// Changed only under the lock of the queue.
    limit: AtomicU32,
    queue: Mutex<Waiting>,
}

/// Somebody waits, or there are shares: the queue must be asked.
const ASK: u64 = 1 << 32;

/// What a call finds at the gate.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A place, as one of so many.
    Free(u32),
    Wait(Turn),
    Full,
}

/// Who is to be woken, once no lock is held: a waker may run, or drop, anything. Seldom more than one.
#[derive(Default)]
#[must_use = "who has a place must be told"]
pub(crate) struct Woken {
    first: Option<Waker>,
    more: Vec<Waker>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(limit: u32, queue: Queue, shares: Shares) -> Self {
        let queue = Waiting::new(queue, shares);
        let word = if queue.has_shares() { ASK } else { 0 };
        Self { word: AtomicU64::new(word), limit: AtomicU32::new(limit.max(1)), queue: Mutex::new(queue) }
    }

    /// Takes a place if there is one and nobody waits for it. Returns how many are then taken.
    #[inline]
    pub(crate) fn try_pass(&self) -> Option<u32> {
        let limit = u64::from(self.limit.load(Ordering::Relaxed));
        let mut word = self.word.load(Ordering::Relaxed);
        // With the flag set, the word is more than any limit.
        while word < limit {
            match self.word.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(in_flight(word) + 1),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Takes a place or a turn in the queue, if there is either. `times` says since when a call waits and until when, and
    /// is asked only if it must.
    pub(crate) fn enter(&self, class: Criticality, times: impl FnOnce() -> Option<(Instant, Instant)>) -> Entry {
        let mut queue = self.queue();
        if let Some(taken) = self.pass_or_ask() {
            queue.place_taken(class);
            return Entry::Free(taken);
        }
        let turn = times().and_then(|(since, until)| queue.enter(class, since, until));
        self.settle(&queue);
        turn.map_or(Entry::Full, Entry::Wait)
    }

    /// Takes a place for a call that had stepped aside, or takes it into the queue again, where it was.
    pub(crate) fn come_back(&self, turn: &Turn) -> Option<u32> {
        let mut queue = self.queue();
        let taken = self.pass_or_ask();
        if taken.is_some() {
            queue.stay_away(turn);
            queue.place_taken(turn.class);
        } else {
            queue.come_back(turn);
        }
        taken
    }

    /// Lets a call keep its turn that does not wait here.
    pub(crate) fn step_aside(&self, turn: &Turn) {
        self.queue().step_aside(turn);
    }

    /// Forgets a call that had stepped aside.
    pub(crate) fn stay_away(&self, turn: &Turn) {
        self.queue().stay_away(turn);
    }

    /// Asks whether a call that waits has a place, and as one of how many; `None` if its time is over.
    pub(crate) fn poll(&self, turn: &Turn, waker: &Waker) -> Poll<Option<u32>> {
        match self.queue().ask(turn, waker) {
            State::Waits => Poll::Pending,
            State::Granted(taken) => Poll::Ready(Some(taken)),
            State::Expired => Poll::Ready(None),
        }
    }

    /// Forgets a call that waits. A place that it was given goes to the next.
    pub(crate) fn leave(&self, turn: &Turn) {
        let mut queue = self.queue();
        let granted = queue.leave(turn);
        self.settle(&queue);
        drop(queue);
        if granted {
            self.give_back(turn.class);
        }
    }

    /// Gives a place back.
    #[inline]
    pub(crate) fn give_back(&self, class: Criticality) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & ASK == 0 {
            match self.word.compare_exchange_weak(word, word - 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.hand_on(class);
    }

    #[inline(never)]
    fn hand_on(&self, class: Criticality) {
        let mut queue = self.queue();
        self.word.fetch_sub(1, Ordering::Release);
        queue.place_freed(class);
        self.hand_out(queue).wake();
    }

    /// Sets the limit. Those who wait get the places that are new; those who have a place keep it.
    pub(crate) fn set_limit(&self, limit: u32) -> Woken {
        let queue = self.queue();
        self.limit.store(limit.max(1), Ordering::Relaxed);
        self.hand_out(queue)
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(self.word.load(Ordering::Relaxed))
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue().len()
    }

    /// Takes a place, or sets the flag. To be called under the lock.
    fn pass_or_ask(&self) -> Option<u32> {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            // A place is free only if nobody waits: it would have been handed out.
            let free = in_flight(word) < limit;
            let next = if free { word + 1 } else { word | ASK };
            match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free.then(|| in_flight(next)),
                Err(now) => word = now,
            }
        }
    }

    /// Gives free places to those who wait, all of them before anybody else can take one.
    fn hand_out(&self, mut queue: MutexGuard<'_, Waiting>) -> Woken {
        let (limit, mut woken) = (self.limit(), Woken::default());
        while queue.somebody_waits() && self.in_flight() < limit {
            match queue.next(limit, self.in_flight() + 1, Instant::now()) {
                Some(Next::Granted(waker)) => {
                    self.word.fetch_add(1, Ordering::Acquire);
                    woken.add(waker);
                }
                Some(Next::Expired(waker)) => woken.add(waker),
                None => break,
            }
        }
        self.settle(&queue);
        woken
    }

    /// Takes the flag away if the queue need not be asked. To be called under the lock.
    fn settle(&self, queue: &Waiting) {
        if queue.may_be_passed() {
            self.word.fetch_and(!ASK, Ordering::Relaxed);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under the lock can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Woken ===

impl Woken {
    fn add(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            Some(waker) => self.more.push(waker),
            // It has not asked yet, and will find out when it does.
            None => {}
        }
    }

    pub(crate) fn wake(self) {
        self.first.into_iter().chain(self.more).for_each(Waker::wake);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn in_flight(word: u64) -> u32 {
    word as u32
}

#[cfg(all(test, buttress_loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};
    use std::{num::NonZeroU32, time::Duration};

    const CLASS: Criticality = Criticality::Critical;

    fn gate(limit: u32) -> Arc<Gate> {
        Arc::new(Gate::new(limit, Queue::of(NonZeroU32::MIN), Shares::default()))
    }

    fn enter(gate: &Gate) -> Entry {
        let now = Instant::now();
        match gate.try_pass() {
            Some(taken) => Entry::Free(taken),
            None => gate.enter(CLASS, || Some((now, now + Duration::from_secs(60)))),
        }
    }

    fn has_place(gate: &Gate, entry: &Entry) -> bool {
        match entry {
            Entry::Free(_) => true,
            Entry::Wait(turn) => gate.poll(turn, Waker::noop()).is_ready(),
            Entry::Full => false,
        }
    }

    #[test]
    fn a_place_given_back_while_another_begins_to_wait_is_not_lost() {
        loom::model(|| {
            let gate = gate(1);
            assert!(gate.try_pass().is_some());
            let other = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || enter(&gate))
            };
            gate.give_back(CLASS);
            let entry = other.join().unwrap();
            assert!(has_place(&gate, &entry), "there is a place, and nobody else wants it: {entry:?}");
            gate.give_back(CLASS);
            assert_eq!((gate.in_flight(), gate.queued()), (0, 0));
            assert!(gate.try_pass().is_some(), "the short way is open again");
        });
    }

    #[test]
    fn two_callers_never_take_one_place() {
        loom::model(|| {
            let gate = gate(1);
            let other = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || enter(&gate))
            };
            let mine = enter(&gate);
            let theirs = other.join().unwrap();
            let both = [&mine, &theirs].map(|entry| has_place(&gate, entry));
            assert_eq!(both.iter().filter(|has| **has).count(), 1, "one place, two callers");
        });
    }

    #[test]
    fn a_place_granted_to_one_who_leaves_goes_to_the_next() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(1, Queue::of(NonZeroU32::new(2).unwrap()), Shares::default()));
            assert!(gate.try_pass().is_some());
            let [Entry::Wait(first), Entry::Wait(second)] = [(); 2].map(|()| enter(&gate)) else { panic!("both wait") };
            let other = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.give_back(CLASS))
            };
            gate.leave(&first);
            other.join().unwrap();
            assert!(gate.poll(&second, Waker::noop()).is_ready(), "the second has the place");
            gate.give_back(CLASS);
            assert_eq!((gate.in_flight(), gate.queued()), (0, 0));
        });
    }

    #[test]
    fn a_limit_that_is_raised_while_one_begins_to_wait_lets_it_in() {
        loom::model(|| {
            let gate = gate(1);
            assert!(gate.try_pass().is_some());
            let other = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || enter(&gate))
            };
            gate.set_limit(2).wake();
            let entry = other.join().unwrap();
            assert!(has_place(&gate, &entry), "there are two places: {entry:?}");
            assert_eq!((gate.in_flight(), gate.queued()), (2, 0));
        });
    }

    #[test]
    fn a_place_given_back_while_the_limit_is_lowered_is_counted_once() {
        loom::model(|| {
            let gate = gate(2);
            assert!(gate.try_pass().is_some() && gate.try_pass().is_some());
            let Entry::Wait(turn) = enter(&gate) else { panic!("there is no third place") };
            let other = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.give_back(CLASS))
            };
            gate.set_limit(1).wake();
            other.join().unwrap();
            let granted = gate.poll(&turn, Waker::noop()).is_ready();
            assert_eq!(gate.in_flight(), if granted { 2 } else { 1 });
            gate.give_back(CLASS);
            assert!(granted || gate.poll(&turn, Waker::noop()).is_ready());
        });
    }
}
