//! The gate beside a model of it that is slow and plain.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    task::{Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::Instant;

use crate::{
    Criticality, Queue, Shares,
    gate::{Entry, Gate},
    queue::Turn,
};

const LENGTH: u32 = 3;
const TARGET: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(60);

#[derive(Clone, Copy, Debug)]
enum Op {
    Enter(Criticality, u64),
    /// Of the calls that have a place, the nth gives it back.
    GiveBack(usize),
    /// Of the calls that wait, the nth goes away, whether it was given a place or not.
    Leave(usize),
    /// Of the calls that wait, the nth asks.
    Ask(usize),
    SetLimit(u32),
    Advance(u64),
}

/// A call that waits, for all the model knows.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u64,
    class: Criticality,
    since: Instant,
    until: Instant,
}

#[derive(Debug)]
struct Model {
    limit: u32,
    shares: Shares,
    in_use: Vec<Criticality>,
    waiting: Vec<Call>,
    granted: HashSet<u64>,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let class = prop::sample::select(Criticality::ALL.to_vec());
    let op = prop_oneof![
        4 => (class, 1..100u64).prop_map(|(class, ms)| Op::Enter(class, ms)),
        3 => (0..8usize).prop_map(Op::GiveBack),
        1 => (0..8usize).prop_map(Op::Leave),
        2 => (0..8usize).prop_map(Op::Ask),
        1 => prop_oneof![1..6u32, Just(u32::MAX)].prop_map(Op::SetLimit),
        2 => prop_oneof![1..30u64, Just(10_000)].prop_map(Op::Advance),
    ];
    prop::collection::vec(op, 1..120)
}

fn shares() -> impl Strategy<Value = Shares> {
    prop_oneof![
        Just(Shares::default()),
        (0..=50u8, 0..=50u8).prop_map(|(critical, sheddable)| {
            Shares::try_new([(Criticality::Critical, critical), (Criticality::Sheddable, sheddable)]).expect("≤ 100")
        })
    ]
}

proptest! {
    /// Who has a place, who waits and who is late: after every step as in the model.
    #[test]
    fn the_gate_does_what_a_plain_model_does(limit in 1..5u32, shares in shares(), ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let queue = Queue::of(NonZeroU32::new(LENGTH).unwrap()).max_wait(LONGEST).newest_first_after(TARGET);
            let gate = Gate::new(limit, queue, shares);
            let mut model = Model { limit, shares, in_use: Vec::new(), waiting: Vec::new(), granted: HashSet::new() };
            let mut turns: Vec<Turn> = Vec::new();
            for op in ops {
                if let Op::Advance(ms) = op {
                    tokio::time::advance(Duration::from_millis(ms)).await;
                } else {
                    step(&gate, &mut model, &mut turns, op)?;
                }
                prop_assert_eq!(u64::from(gate.in_flight()), model.in_use.len() as u64, "{:?}", op);
                prop_assert_eq!(gate.queued(), model.waiting.len(), "{:?}", op);
            }
            // All go, and nothing is left.
            turns.iter().for_each(|turn| {
                model.leave(turn);
                gate.leave(turn);
            });
            model.in_use.iter().for_each(|class| gate.give_back(*class));
            prop_assert_eq!((gate.in_flight(), gate.queued()), (0, 0));
            Ok(())
        })?;
    }
}

#[test]
fn a_million_calls_that_want_to_wait_find_room_for_as_many_as_was_said() {
    let room = NonZeroU32::new(1_000).unwrap();
    let gate = Gate::new(1, Queue::of(room), Shares::default());
    assert_eq!(gate.try_pass(), Some(1));
    let now = Instant::now();
    let enter = || gate.enter(Criticality::Critical, || Some((now, now + LONGEST)));
    let waiting = (0..1_000_000).filter(|_| matches!(enter(), Entry::Wait(_))).count();
    assert_eq!((waiting, gate.queued()), (1_000, 1_000));
}

fn step(gate: &Gate, model: &mut Model, turns: &mut Vec<Turn>, op: Op) -> Result<(), TestCaseError> {
    match op {
        Op::Enter(class, ms) => {
            let now = Instant::now();
            let until = now + Duration::from_millis(ms);
            let entry = match gate.try_pass() {
                Some(taken) => Entry::Free(taken),
                None => gate.enter(class, || Some((now, until))),
            };
            let free = (model.in_use.len() as u64) < u64::from(model.limit);
            let room = model.waiting.iter().filter(|call| call.class == class).count() < LENGTH as usize;
            match entry {
                Entry::Free(_) => {
                    prop_assert!(free);
                    model.in_use.push(class);
                }
                Entry::Wait(turn) => {
                    prop_assert!(!free && room);
                    model.waiting.push(Call { number: turn.number, class, since: now, until });
                    turns.push(turn);
                }
                Entry::Full => prop_assert!(!free && !room),
            }
        }
        Op::GiveBack(nth) => {
            // Not what was granted to a call that does not know yet.
            let known = model.in_use.len() - model.granted.len();
            if known > 0 {
                let mut asked: Vec<_> = model.in_use.clone();
                for turn in turns.iter().filter(|turn| model.granted.contains(&turn.number)) {
                    asked.remove(asked.iter().position(|class| *class == turn.class).expect("it is in use"));
                }
                let class = asked[nth % known];
                gate.give_back(class);
                model.free(class);
            }
        }
        Op::Leave(nth) if !turns.is_empty() => {
            let turn = turns.remove(nth % turns.len());
            gate.leave(&turn);
            model.leave(&turn);
        }
        Op::Ask(nth) if !turns.is_empty() => {
            let nth = nth % turns.len();
            let turn = turns[nth];
            let answer = gate.poll(&turn, Waker::noop());
            let waits = model.waiting.iter().any(|call| call.number == turn.number);
            let granted = model.granted.remove(&turn.number);
            prop_assert_eq!((answer.is_pending(), matches!(answer, Poll::Ready(Some(_)))), (waits, granted));
            if answer.is_ready() {
                turns.remove(nth);
            }
        }
        Op::SetLimit(limit) => {
            gate.set_limit(limit).wake();
            model.limit = limit;
            model.hand_out();
        }
        Op::Leave(_) | Op::Ask(_) | Op::Advance(_) => {}
    }
    Ok(())
}

// === impl Model ===

impl Model {
    fn free(&mut self, class: Criticality) {
        self.in_use.remove(self.in_use.iter().position(|each| *each == class).expect("it is in use"));
        self.hand_out();
    }

    fn leave(&mut self, turn: &Turn) {
        self.waiting.retain(|call| call.number != turn.number);
        if self.granted.remove(&turn.number) {
            self.free(turn.class);
        }
    }

    fn hand_out(&mut self) {
        let now = Instant::now();
        while (self.in_use.len() as u64) < u64::from(self.limit)
            && let Some(class) = self.next_class()
        {
            let of_class = || self.waiting.iter().filter(|call| call.class == class);
            let oldest = *of_class().min_by_key(|call| call.number).expect("it waits");
            let newest = *of_class().max_by_key(|call| call.number).expect("it waits");
            let call = if now - oldest.since > TARGET { newest } else { oldest };
            self.waiting.retain(|each| each.number != call.number);
            if call.until > now {
                self.in_use.push(class);
                self.granted.insert(call.number);
            }
        }
    }

    fn next_class(&self) -> Option<Criticality> {
        let waits = |class: &Criticality| self.waiting.iter().any(|call| call.class == *class);
        let owed = |class: &Criticality| {
            let in_use = self.in_use.iter().filter(|each| *each == class).count() as u64;
            waits(class) && in_use < u64::from(self.shares.guaranteed(*class, self.limit))
        };
        Criticality::ALL.into_iter().find(owed).or_else(|| Criticality::ALL.into_iter().find(waits))
    }
}
