//! A circuit beside a model that keeps everything and knows no shortcut.

use std::time::Duration;

use buttress_core::Label;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::{
    Key, OpenTime, Settings, State,
    circuit::{Circuit, Gate, Shared},
    outcome::{Kind, Outcome},
    rules::{Rules, Span},
    window::Mark,
};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum Op {
    Advance(u64),
    Acquire,
    /// Ends one of the calls that are out, new or old.
    End(usize, Kind, bool, Option<u64>),
    Answered(usize),
    Advise(u64),
    Order(State),
}

/// All that ever happened in this state, in lists.
#[derive(Debug)]
struct Model {
    rules: Rules,
    base: Instant,
    now: Instant,
    state: State,
    generation: u64,
    calls: Vec<(u64, Mark)>,
    results: Vec<Mark>,
    run: u32,
    openings: u32,
    closed_since: Instant,
    until: Option<Instant>,
    rest: Option<Instant>,
    suspect: Option<Instant>,
    out: u32,
    answering: u32,
    since: Instant,
    ramped: usize,
}

// === impl Model ===

impl Model {
    fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            base: now,
            now,
            state: State::Closed,
            generation: 0,
            calls: Vec::new(),
            results: Vec::new(),
            run: 0,
            openings: 0,
            closed_since: now,
            until: None,
            rest: None,
            suspect: None,
            out: 0,
            answering: 0,
            since: now,
            ramped: 0,
        }
    }

    fn tick(&self) -> u64 {
        match self.rules.span {
            Span::Count(_) => 0,
            Span::Time(_) => (self.now - self.base).as_secs(),
        }
    }

    fn window(&self) -> Vec<Mark> {
        let marks = self.calls.iter();
        match self.rules.span {
            Span::Count(size) => marks.rev().take(size.get() as usize).map(|call| call.1).collect(),
            Span::Time(length) => {
                let tick = self.tick();
                marks.filter(|call| call.0 + length.as_secs() > tick).map(|call| call.1).collect()
            }
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.suspect = None;
        match state {
            State::Closed => {
                self.calls.clear();
                self.run = 0;
                self.closed_since = self.now;
                self.rest = None;
            }
            State::HalfOpen => {
                (self.out, self.answering, self.since) = (0, 0, self.now);
                self.results.clear();
            }
            State::Ramping => {
                (self.out, self.answering, self.since) = (0, 0, self.now);
                self.ramped = self.results.len();
            }
            _ => {}
        }
    }

    fn open(&mut self, advised: Option<Duration>) {
        if self.state == State::Closed {
            let steps = (self.now - self.closed_since).as_nanos() / Duration::from_secs(30).as_nanos();
            self.openings = self.openings.saturating_sub(steps as u32);
        }
        self.openings += u32::from(advised.is_none());
        let own = Duration::from_secs(5) * 2_u32.pow(self.openings.saturating_sub(1).min(20));
        let own = own.min(Duration::from_secs(120));
        let time = advised.map_or(own, |time| time.min(own));
        let until = self.now + time;
        self.until = Some(self.rest.map_or(until, |rest| rest.max(until)));
        self.enter(State::Open);
    }

    fn lapse(&mut self) {
        match self.state {
            State::Open if self.until.is_some_and(|at| at <= self.now) => self.enter(State::HalfOpen),
            State::HalfOpen | State::Ramping if self.now - self.since >= self.rules.max_wait => {
                if self.out > self.answering {
                    self.open(None);
                } else {
                    (self.out, self.answering, self.since) = (0, 0, self.now);
                }
            }
            _ => {}
        }
    }

    fn acquire(&mut self) -> bool {
        self.lapse();
        let free = match self.state {
            State::HalfOpen => self.out + (self.results.len() as u32) < self.rules.probes,
            State::Ramping => {
                let good = self.results[self.ramped..].iter().filter(|mark| !mark.failed && !mark.slow).count();
                self.out < self.rules.probes + 1 + good as u32
            }
            State::Open | State::ForcedOpen => false,
            _ => true,
        };
        self.out += u32::from(free);
        free
    }

    fn share(marks: &[Mark], of: usize, is: fn(&Mark) -> bool) -> f64 {
        if of == 0 { 0.0 } else { marks.iter().filter(|mark| is(mark)).count() as f64 / of as f64 }
    }

    fn end(&mut self, generation: u64, kind: Kind, slow: bool, hint: Option<Duration>, answered: bool) {
        if generation != self.generation || self.state == State::Disabled {
            return;
        }
        if let Some(hint) = hint {
            self.rest = self.rest.max(Some(self.now + hint));
        }
        let mark = match kind {
            Kind::Success => Some(Mark { failed: false, slow }),
            Kind::Failure => Some(Mark { failed: true, slow }),
            Kind::Dropped if slow => Some(Mark { failed: false, slow }),
            _ => None,
        };
        if matches!(self.state, State::HalfOpen | State::Ramping) {
            self.out = self.out.saturating_sub(1);
            if mark.is_some() || kind == Kind::Neutral {
                self.since = self.now;
            }
            self.answering = self.answering.saturating_sub(u32::from(answered)).min(self.out);
        }
        let Some(mark) = mark else { return };
        match self.state {
            State::Closed => self.end_closed(kind, mark),
            State::HalfOpen | State::Ramping => self.end_trial(mark),
            _ => {}
        }
    }

    fn end_closed(&mut self, kind: Kind, mark: Mark) {
        self.calls.push((self.tick(), mark));
        match kind {
            Kind::Failure => self.run += 1,
            Kind::Success => self.run = 0,
            _ => {}
        }
        let window = self.window();
        let minimum = match self.rules.span {
            Span::Count(size) => size.get().min(self.rules.minimum),
            Span::Time(_) => self.rules.minimum,
        };
        let enough = window.len() >= minimum as usize;
        let failed = Self::share(&window, window.len(), |mark| mark.failed) >= 0.5;
        let slow = Self::share(&window, window.len(), |mark| mark.slow) >= 0.8;
        if self.run >= 5 || enough && (failed || slow) {
            self.open(None);
        } else if (mark.failed || mark.slow) && self.suspect.is_some_and(|at| at > self.now) {
            let left = self.suspect.expect("just seen") - self.now;
            self.open(Some(left));
        }
    }

    fn end_trial(&mut self, mark: Mark) {
        self.results.push(mark);
        if self.state == State::HalfOpen {
            let all = self.rules.probes as usize;
            let left = all.saturating_sub(self.results.len());
            let bad = |extra: usize| {
                let with = |is: fn(&Mark) -> bool| self.results.iter().filter(|mark| is(mark)).count() + extra;
                with(|mark| mark.failed) as f64 / all as f64 >= 0.5 || with(|mark| mark.slow) as f64 / all as f64 >= 0.8
            };
            if bad(0) {
                self.open(None);
            } else if left == 0 || !bad(left) {
                self.enter(State::Ramping);
            }
            return;
        }
        let all = self.results.len();
        let failed = Self::share(&self.results, all, |mark| mark.failed) >= 0.5;
        let slow = Self::share(&self.results, all, |mark| mark.slow) >= 0.8;
        let good = self.results.iter().filter(|mark| !mark.failed && !mark.slow).count();
        if (mark.failed || mark.slow) && (failed || slow) {
            self.open(None);
        } else if good >= (self.rules.ramp + self.rules.probes) as usize {
            self.enter(State::Closed);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        6 => Just(Kind::Success),
        6 => Just(Kind::Failure),
        1 => Just(Kind::Neutral),
        1 => Just(Kind::Dropped),
    ];
    let hint = prop_oneof![8 => Just(None), 1 => (0_u64..20_000).prop_map(Some)];
    let order = prop_oneof![Just(State::Closed), Just(State::ForcedOpen), Just(State::HalfOpen), Just(State::Disabled)];
    prop_oneof![
        4 => prop_oneof![0_u64..1_500, 0_u64..70_000].prop_map(Op::Advance),
        20 => Just(Op::Acquire),
        20 => (any::<usize>(), kind, prop::bool::weighted(0.2), hint)
            .prop_map(|(at, kind, slow, hint)| Op::End(at, kind, slow, hint)),
        2 => any::<usize>().prop_map(Op::Answered),
        1 => (0_u64..20_000).prop_map(Op::Advise),
        1 => order.prop_map(Op::Order),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let some = |most: u32| (1..=most).prop_map(|n| std::num::NonZeroU32::new(n).expect("from 1"));
    (some(5), 0_u32..4, some(12), prop_oneof![some(30).prop_map(Ok), (10_u64..40).prop_map(Err)]).prop_map(
        |(probes, ramp, minimum, span)| {
            // The model has a ramp at all times; one of zero would be none.
            let settings = Settings::new().probes(probes).ramp(ramp + 1).minimum_calls(minimum).slow_in_total(MS, 80);
            let settings = settings.open_time(OpenTime::default().with_jitter(0));
            match span {
                Ok(calls) => settings.count_window(calls),
                Err(seconds) => settings.time_window(Duration::from_secs(seconds)),
            }
        },
    )
}

fn circuit(settings: Settings, now: Instant) -> Circuit {
    settings.check().expect("in range");
    let key = Key::new(Label::try_new("k").expect("a label"));
    Circuit::new(key, std::sync::Arc::new(Shared::new(settings, now)), now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_circuit_does_what_the_model_does_whenever_time_jumps(
        settings in settings(),
        ops in prop::collection::vec(op(), 1..300),
    ) {
        let start = Instant::now();
        let mut model = Model::new(settings.rules, start);
        let circuit = circuit(settings, start);
        let mut out: Vec<(Gate, bool)> = Vec::new();
        for op in ops {
            let now = model.now;
            match op {
                Op::Advance(ms) => model.now += MS * ms as u32,
                Op::Acquire => {
                    let admitted = circuit.acquire(|| now);
                    prop_assert_eq!(admitted.is_ok(), model.acquire(), "{:?}", model);
                    out.extend(admitted.map(|gate| (gate, false)));
                }
                Op::Answered(at) if !out.is_empty() => {
                    let at = at % out.len();
                    let (gate, answered) = &mut out[at];
                    if !*answered && matches!(gate.state(), State::HalfOpen | State::Ramping) {
                        *answered = true;
                        circuit.note_answer(*gate, now);
                        if gate.generation() == model.generation {
                            model.answering = (model.answering + 1).min(model.out);
                        }
                    }
                }
                Op::End(at, kind, slow, hint) if !out.is_empty() => {
                    let (gate, answered) = out.swap_remove(at % out.len());
                    let hint = hint.map(Duration::from_millis);
                    let outcome = Outcome { hint, answered, ..Outcome::new(kind, slow) };
                    circuit.record(gate, outcome, || now);
                    model.end(gate.generation(), kind, slow, hint, answered);
                }
                Op::Advise(ms) => {
                    model.lapse();
                    let useful = circuit.with(now, |breaker, world| breaker.advise(MS * ms as u32, world));
                    prop_assert_eq!(useful, model.state == State::Closed && ms > 0);
                    if useful {
                        model.suspect = model.suspect.max(Some(now + MS * ms as u32));
                    }
                }
                Op::Order(to) => {
                    let step = circuit.with(now, |breaker, world| {
                        let step = breaker.order(to, world);
                        (step, step)
                    });
                    let legal = to != State::HalfOpen || matches!(model.state, State::Open | State::ForcedOpen);
                    prop_assert_eq!(step.is_some(), legal);
                    if legal {
                        model.enter(to);
                        if to == State::Closed {
                            model.openings = 0;
                        }
                        if to == State::Disabled {
                            (model.closed_since, model.run, model.rest) = (model.now, 0, None);
                        }
                    }
                }
                Op::Answered(_) | Op::End(..) => {}
            }
            prop_assert_eq!(circuit.gate().state(), model.state);
            prop_assert_eq!(circuit.gate().generation(), model.generation);
            if model.state == State::Closed {
                let now = model.now;
                let tally = circuit.with(now, |breaker, world| (breaker.seen(world).0, None));
                let window = model.window();
                prop_assert_eq!(tally.total as usize, window.len());
                prop_assert_eq!(tally.failed as usize, window.iter().filter(|mark| mark.failed).count());
                prop_assert_eq!(tally.slow as usize, window.iter().filter(|mark| mark.slow).count());
            }
        }
    }

    #[test]
    fn successes_that_take_no_lock_are_counted_all_the_same(
        settings in settings(),
        ops in prop::collection::vec((0_u64..400, prop::bool::weighted(0.05)), 1..600),
    ) {
        let start = Instant::now();
        let mut model = Model::new(settings.rules, start);
        let circuit = circuit(settings, start);
        for (ms, fails) in ops {
            model.now += MS * ms as u32;
            let now = model.now;
            let kind = if fails { Kind::Failure } else { Kind::Success };
            let admitted = circuit.acquire(|| now).ok();
            prop_assert_eq!(admitted.is_some(), model.acquire());
            let Some(gate) = admitted else { continue };
            circuit.record(gate, Outcome::new(kind, false), || now);
            model.end(gate.generation(), kind, false, None, false);
            prop_assert_eq!(circuit.gate().state(), model.state);
        }
    }
}

#[test]
fn a_rate_that_rose_by_age_alone_opens_with_the_next_success_whoever_looked_before() {
    let start = Instant::now();
    let settings = Settings::new().time_window(Duration::from_secs(14)).minimum_calls(crate_n(1)).no_slow();
    let circuit = circuit(settings, start);
    let end = |kind, now| {
        let gate = circuit.acquire(|| now).expect("closed");
        circuit.record(gate, Outcome::new(kind, false), || now);
    };
    (0..3).for_each(|_| end(Kind::Success, start));
    let later = start + Duration::from_secs(1);
    [Kind::Failure, Kind::Failure, Kind::Success].iter().for_each(|kind| end(*kind, later));
    // Two of three: the first successes are too old by now.
    let at_last = start + Duration::from_secs(14);
    let total = circuit.with(at_last, |breaker, world| (breaker.seen(world).0.total, None));
    assert_eq!((total, circuit.gate().state()), (3, State::Closed));
    end(Kind::Success, at_last);
    assert_eq!(circuit.gate().state(), State::Open, "two of four");
}

#[test]
fn a_clock_that_stands_still_or_goes_back_neither_panics_nor_wedges() {
    let start = Instant::now() + Duration::from_secs(1_000);
    let circuit = circuit(Settings::new().ramp(0), start);
    let earlier = start - Duration::from_secs(900);
    let run = |kind, now| {
        let gate = circuit.acquire(|| now).ok()?;
        circuit.record(gate, Outcome::new(kind, true), || now);
        Some(())
    };
    for i in 0..20 {
        run(Kind::Success, if i % 2 == 0 { start } else { earlier });
    }
    while run(Kind::Failure, earlier).is_some() {}
    assert_eq!(circuit.gate().state(), State::Open);
    assert!(run(Kind::Success, earlier).is_none(), "its time is not over");
    let later = start + Duration::from_secs(200);
    circuit.acquire(|| later).expect("a probe");
}

#[test]
fn many_threads_lose_no_success_and_add_none_to_another_generation() {
    let start = Instant::now();
    let circuit = circuit(Settings::new().count_window(crate_n(1_000_000)), start);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25_000 {
                    let gate = circuit.acquire(|| start).expect("closed");
                    circuit.record(gate, Outcome::new(Kind::Success, false), || start);
                }
            });
        }
    });
    let total = || circuit.with(start, |breaker, world| (breaker.seen(world).0.total, None));
    assert_eq!(total(), 100_000);
    let old = circuit.acquire(|| start).expect("closed");
    circuit.with(start, |breaker, world| ((), breaker.order(State::Closed, world)));
    circuit.record(old, Outcome::new(Kind::Success, false), || start);
    assert_eq!((total(), circuit.stale()), (0, 1));
}

fn crate_n(number: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(number).expect("not zero")
}
