//! Every interleaving of calls that share a circuit.

use super::*;
use std::{num::NonZeroU32, time::Duration};

use buttress_core::Label;
use loom::thread;

use crate::OpenTime;

fn circuit(settings: Settings, now: Instant) -> loom::sync::Arc<Circuit> {
    let key = Key::new(Label::try_new("k").expect("a label"));
    loom::sync::Arc::new(Circuit::new(key, Arc::new(Shared::new(settings, now)), now))
}

fn settings() -> Settings {
    let open_time = OpenTime::fixed(Duration::from_secs(5)).with_jitter(0);
    let four = NonZeroU32::new(4).expect("not zero");
    Settings::new().count_window(four).no_slow().ramp(0).seed(1).open_time(open_time)
}

fn success(circuit: &Circuit, gate: Gate, now: Instant) {
    circuit.record(gate, Outcome::new(Kind::Success, false), || now);
}

fn total(circuit: &Circuit, now: Instant) -> u32 {
    circuit.with(now, |breaker, world| (breaker.seen(world).0.total, None))
}

#[test]
fn two_callers_never_take_the_one_probe() {
    loom::model(|| {
        let now = Instant::now();
        let circuit = circuit(settings().initial(State::Open), now);
        let later = now + Duration::from_secs(5);
        let other = {
            let circuit = loom::sync::Arc::clone(&circuit);
            thread::spawn(move || circuit.acquire(|| later).is_ok())
        };
        let mine = circuit.acquire(|| later).is_ok();
        assert!(mine ^ other.join().expect("no panic"), "one probe, two callers");
    });
}

#[test]
fn a_place_that_was_given_back_can_be_taken_and_none_is_made() {
    loom::model(|| {
        let now = Instant::now();
        let circuit = circuit(settings().initial(State::HalfOpen), now);
        let other = {
            let circuit = loom::sync::Arc::clone(&circuit);
            thread::spawn(move || {
                if let Ok(gate) = circuit.acquire(|| now) {
                    circuit.record(gate, Outcome::new(Kind::Dropped, false), || now);
                }
            })
        };
        let mine = circuit.acquire(|| now);
        other.join().expect("no panic");
        assert_eq!(circuit.acquire(|| now).is_ok(), mine.is_err());
    });
}

#[test]
fn successes_without_the_lock_are_all_counted() {
    loom::model(|| {
        let now = Instant::now();
        let circuit = circuit(settings(), now);
        // Arms the word.
        success(&circuit, circuit.gate(), now);
        let other = {
            let circuit = loom::sync::Arc::clone(&circuit);
            thread::spawn(move || success(&circuit, circuit.gate(), now))
        };
        success(&circuit, circuit.gate(), now);
        assert!(total(&circuit, now) >= 2);
        other.join().expect("no panic");
        assert_eq!(total(&circuit, now), 3);
    });
}

#[test]
fn a_late_success_is_never_added_to_a_later_generation() {
    loom::model(|| {
        let now = Instant::now();
        let circuit = circuit(settings(), now);
        success(&circuit, circuit.gate(), now);
        let old = circuit.gate();
        let late = {
            let circuit = loom::sync::Arc::clone(&circuit);
            thread::spawn(move || success(&circuit, old, now))
        };
        // A new state that is closed as well, and armed.
        circuit.with(now, |breaker, world| ((), breaker.order(State::Closed, world)));
        late.join().expect("no panic");
        assert_eq!(total(&circuit, now), 0);
    });
}

#[test]
fn a_late_success_never_closes_what_is_half_open() {
    loom::model(|| {
        let now = Instant::now();
        let circuit = circuit(settings().consecutive(NonZeroU32::MIN), now);
        let (old, failing) = (circuit.gate(), circuit.gate());
        let later = now + Duration::from_secs(5);
        let late = {
            let circuit = loom::sync::Arc::clone(&circuit);
            thread::spawn(move || success(&circuit, old, later))
        };
        circuit.record(failing, Outcome::new(Kind::Failure, false), || now);
        let probe = circuit.acquire(|| later);
        late.join().expect("no panic");
        assert!(probe.is_ok());
        assert_eq!(circuit.gate().state(), State::HalfOpen);
    });
}

#[test]
fn two_circuits_of_a_group_never_take_its_one_place() {
    loom::model(|| {
        let now = Instant::now();
        let group = EjectionGroup::new(50);
        let [a, b] = [(), ()].map(|()| circuit(settings().consecutive(NonZeroU32::MIN).group(group.clone()), now));
        let fail = move |circuit: &Circuit| {
            circuit.record(circuit.gate(), Outcome::new(Kind::Failure, false), || now);
            circuit.gate().state() == State::Open
        };
        let other = thread::spawn(move || (fail(&b), b));
        let mine = fail(&a);
        let (theirs, _b) = other.join().expect("no panic");
        assert!(mine ^ theirs, "one of two may open");
        assert_eq!(group.ejected(), 1);
    });
}
