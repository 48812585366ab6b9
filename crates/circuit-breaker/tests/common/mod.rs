//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::{num::NonZeroU32, time::Duration};

use buttress_circuit_breaker::{
    CircuitBreakerLayer, CircuitOpen, Handle, Key, OpenTime, Permit, Settings, Snapshot, State,
};
use buttress_core::{Class, Label, Outcome, RetryHint, Verdict};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(Label::try_new(name).expect("a label"))
}

pub(crate) fn class(verdict: Verdict) -> Class {
    Class::new(verdict, Outcome::Word("test"))
}

pub(crate) fn hinted(verdict: Verdict, hint: Duration) -> Class {
    class(verdict).with_hint(RetryHint::after(hint))
}

/// Without jitter and ramp: what opens, opens for 5 s, and one good probe closes it.
pub(crate) fn exact() -> Settings {
    Settings::new().ramp(0).open_time(OpenTime::default().with_jitter(0))
}

pub(crate) fn handle(settings: Settings) -> Handle {
    CircuitBreakerLayer::try_new(settings).expect("in range").handle()
}

/// One circuit, without a service around it.
pub(crate) struct One {
    pub(crate) handle: Handle,
    pub(crate) key: Key,
}

impl One {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { handle: handle(settings), key: key("default") }
    }

    pub(crate) fn acquire(&self) -> Result<Permit, CircuitOpen> {
        self.handle.acquire(&self.key)
    }

    pub(crate) fn call(&self, verdict: Verdict) -> bool {
        self.acquire().map(|permit| permit.conclude(&class(verdict))).is_ok()
    }

    pub(crate) fn fail(&self, times: u32) {
        (0..times).for_each(|_| assert!(self.call(Verdict::Transient), "a call passes"));
    }

    pub(crate) fn succeed(&self, times: u32) {
        (0..times).for_each(|_| assert!(self.call(Verdict::Success), "a call passes"));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.handle.snapshot(&self.key).expect("the circuit is known")
    }

    pub(crate) fn state(&self) -> State {
        self.snapshot().state
    }
}
