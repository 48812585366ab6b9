//! When to open, for how long, and how to come back.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use buttress_core::{Label, RetryHint, Verdict};

use crate::{
    ConfigError, EjectionGroup, OnChange, OpenTime, State,
    rules::{Rules, Slow, Span, Sticky},
};

/// The settings of a layer's circuits: when they open, for how long, and how they come back. They are checked by
/// [`CircuitBreakerLayer::try_new`](crate::CircuitBreakerLayer::try_new).
#[derive(Clone)]
pub struct Settings {
    pub(crate) rules: Rules,
    pub(crate) name: Label,
    pub(crate) max_keys: usize,
    pub(crate) seed: Option<u64>,
    pub(crate) group: Option<EjectionGroup>,
    pub(crate) on_change: Option<Arc<dyn OnChange>>,
}

/// The most calls that a window by count can hold.
const MAX_CALLS: u32 = 1_000_000;
/// The shortest and the longest window by time.
const TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("it is written above, and is not 0")
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Creates the default settings.
    ///
    /// | what | default |
    /// |---|---|
    /// | [`consecutive`](Self::consecutive) | 5 failures in a row |
    /// | [`failure_rate`](Self::failure_rate) | 50 % of the window |
    /// | [`slow_to_first_byte`](Self::slow_to_first_byte) | 60 s, 100 % of the window |
    /// | [`time_window`](Self::time_window) | 30 s |
    /// | [`minimum_calls`](Self::minimum_calls) | 10 |
    /// | [`open_time`](Self::open_time) | 5 s, doubled up to 120 s, ±10 % |
    /// | [`probes`](Self::probes) | 1 |
    /// | [`max_wait`](Self::max_wait) | 60 s |
    /// | [`ramp`](Self::ramp) | 10 successes |
    /// | [`max_keys`](Self::max_keys) | 10,000 |
    #[must_use]
    pub fn new() -> Self {
        let rules = Rules {
            span: Span::Time(Duration::from_secs(30)),
            minimum: 10,
            consecutive: Some(n(5)),
            failure_rate: Some(50),
            slow: Some(Slow { after: Duration::from_secs(60), percent: 100, total: false }),
            probes: 1,
            decide_early: true,
            max_wait: Duration::from_secs(60),
            wait_ends_closed: false,
            ramp: 10,
            open_time: OpenTime::default(),
            max_hint: Duration::from_secs(300),
            initial: State::Closed,
            trust_advice: false,
            max_advice: Duration::from_secs(60),
            sticky: Sticky::default(),
        };
        let name = Label::try_new("default").expect("visible ASCII");
        Self { rules, name, max_keys: 10_000, seed: None, group: None, on_change: None }
    }

    /// Names the circuit of all requests that have no [`Key`](crate::Key) of their own. `default` unless set.
    #[must_use]
    pub fn name(mut self, name: Label) -> Self {
        self.name = name;
        self
    }

    /// Opens after so many failures without a success between them.
    #[must_use]
    pub const fn consecutive(mut self, failures: NonZeroU32) -> Self {
        self.rules.consecutive = Some(failures);
        self
    }

    /// Does not open for failures in a row.
    #[must_use]
    pub const fn no_consecutive(mut self) -> Self {
        self.rules.consecutive = None;
        self
    }

    /// Opens when at least so many of a hundred calls in the window failed: 1 to 100.
    #[must_use]
    pub const fn failure_rate(mut self, percent: u32) -> Self {
        self.rules.failure_rate = Some(percent);
        self
    }

    /// Does not open for the rate of failures.
    #[must_use]
    pub const fn no_failure_rate(mut self) -> Self {
        self.rules.failure_rate = None;
        self
    }

    /// Opens when at least `percent` of the calls in the window took longer than `after` to the first byte of the answer
    /// (its head), or to its first token, where a layer further in reads the answer and says so.
    ///
    /// A call that is dropped after this time without a first byte counts as slow. Choose a time below that of the
    /// timeouts further out, or a target that hangs is never seen to be slow.
    #[must_use]
    pub const fn slow_to_first_byte(mut self, after: Duration, percent: u32) -> Self {
        self.rules.slow = Some(Slow { after, percent, total: false });
        self
    }

    /// Opens when at least `percent` of the calls in the window took longer than `after` to the end of the answer.
    ///
    /// A call or an answer that is dropped after this time counts as slow.
    #[must_use]
    pub const fn slow_in_total(mut self, after: Duration, percent: u32) -> Self {
        self.rules.slow = Some(Slow { after, percent, total: true });
        self
    }

    /// Does not open for slow calls. Then calls are not timed.
    #[must_use]
    pub const fn no_slow(mut self) -> Self {
        self.rules.slow = None;
        self
    }

    /// Judges by the last so many calls: one million at most.
    #[must_use]
    pub const fn count_window(mut self, calls: NonZeroU32) -> Self {
        self.rules.span = Span::Count(calls);
        self
    }

    /// Judges by the calls that ended in the last so much time: a second at least, a day at most. Time slides in steps of
    /// a second, or of a tenth of a window that is shorter than ten seconds, or a sixtieth of one longer than a minute.
    #[must_use]
    pub const fn time_window(mut self, length: Duration) -> Self {
        self.rules.span = Span::Time(length);
        self
    }

    /// Does not judge by rates before so many calls are in the window. A window by count that is smaller is judged when
    /// it is full.
    #[must_use]
    pub const fn minimum_calls(mut self, calls: NonZeroU32) -> Self {
        self.rules.minimum = calls.get();
        self
    }

    /// Sets for how long a circuit stays open.
    #[must_use]
    pub const fn open_time(mut self, open_time: OpenTime) -> Self {
        self.rules.open_time = open_time;
        self
    }

    /// Lets so many calls find out, when the open time is over, whether the target is well again.
    #[must_use]
    pub const fn probes(mut self, calls: NonZeroU32) -> Self {
        self.rules.probes = calls.get();
        self
    }

    /// Decides only when all probes have ended. Otherwise the decision falls as soon as those still out cannot change it.
    #[must_use]
    pub const fn decide_when_all_probes_ended(mut self) -> Self {
        self.rules.decide_early = false;
        self
    }

    /// Sets how long to wait for probes. When one is out for longer without the head of an answer, the circuit opens
    /// again; when none is, more are let through.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.rules.max_wait = wait;
        self
    }

    /// Closes the circuit when [`max_wait`](Self::max_wait) is over, as one kind of resilience4j's settings does.
    #[must_use]
    pub const fn close_after_max_wait(mut self) -> Self {
        self.rules.wait_ends_closed = true;
        self
    }

    /// Lets load back in steps after the probes: one call more at a time for each success, until there were so many. 0
    /// lets all load back at once.
    #[must_use]
    pub const fn ramp(mut self, successes: u32) -> Self {
        self.rules.ramp = successes;
        self
    }

    /// Sets the longest time that a server's own hint (`Retry-After`) can keep a circuit open for. 5 minutes by default.
    #[must_use]
    pub const fn max_hint(mut self, hint: Duration) -> Self {
        self.rules.max_hint = hint;
        self
    }

    /// Sets the state that circuits begin in: any but [`State::Ramping`].
    #[must_use]
    pub const fn initial(mut self, state: State) -> Self {
        self.rules.initial = state;
        self
    }

    /// Opens for `time` as soon as one call ends with `verdict`, though that is no failure. Off unless set.
    ///
    /// For [`QuotaExhausted`](Verdict::QuotaExhausted), [`CredentialDead`](Verdict::CredentialDead) and
    /// [`ModelGone`](Verdict::ModelGone); others have no such rule and are passed over. Set the first two only where the
    /// credential is the service's own: callers who bring theirs could open the circuit for everybody. The last opens
    /// only circuits whose [`Key`](crate::Key) names a model: any caller can ask for a model that is not there.
    #[must_use]
    pub const fn sticky(mut self, verdict: Verdict, time: Duration) -> Self {
        match verdict {
            Verdict::QuotaExhausted => self.rules.sticky.quota_exhausted = Some(time),
            Verdict::CredentialDead => self.rules.sticky.credential_dead = Some(time),
            Verdict::ModelGone => self.rules.sticky.model_gone = Some(time),
            _ => {}
        }
        self
    }

    /// Opens at once on the word of others. Otherwise it only lowers the threshold to a single failure. See
    /// [`Handle::advise`](crate::Handle::advise).
    #[must_use]
    pub const fn trust_advice(mut self) -> Self {
        self.rules.trust_advice = true;
        self
    }

    /// Sets the longest time that the word of others holds. A minute by default.
    #[must_use]
    pub const fn max_advice(mut self, time: Duration) -> Self {
        self.rules.max_advice = time;
        self
    }

    /// Sets how many keys are remembered at most. When there are more, those go first that are closed and idle.
    #[must_use]
    pub const fn max_keys(mut self, keys: NonZeroUsize) -> Self {
        self.max_keys = keys.get();
        self
    }

    /// Lets no more than a part of a group be open at once. All circuits of the layer belong to it, and those of other
    /// layers that are given a clone.
    #[must_use]
    pub fn group(mut self, group: EjectionGroup) -> Self {
        self.group = Some(group);
        self
    }

    /// Calls `observer` after each change of a state. See [`OnChange`].
    #[must_use]
    pub fn on_change(mut self, observer: impl OnChange + 'static) -> Self {
        self.on_change = Some(Arc::new(observer));
        self
    }

    /// Makes the jitter the same in each run.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks that all settings are in range. A layer does so itself when it is made.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting which is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let percent = |percent: Option<u32>| percent.is_none_or(|p| (1..=100).contains(&p));
        let allow = |fits: bool, field, allowed| if fits { Ok(()) } else { Err(ConfigError::new(field, allowed)) };
        let rules = &self.rules;
        allow(percent(rules.failure_rate), "failure_rate", "a percentage from 1 to 100")?;
        allow(percent(rules.slow.map(|slow| slow.percent)), "slow", "a percentage from 1 to 100")?;
        match rules.span {
            Span::Count(calls) => allow(calls.get() <= MAX_CALLS, "count_window", "1 to 1,000,000 calls")?,
            Span::Time(length) => {
                allow((TIMES.0..=TIMES.1).contains(&length), "time_window", "a time from 1 second to 24 hours")?;
            }
        }
        allow(!rules.max_wait.is_zero(), "max_wait", "a time longer than zero")?;
        allow(rules.initial != State::Ramping, "initial", "any state but ramping")?;
        allow(rules.max_hint <= RetryHint::MAX, "max_hint", "a time of 366 days at most")?;
        rules.open_time.check().map_err(|allowed| ConfigError::new("open_time", allowed))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("rules", &self.rules).field("name", &self.name).finish_non_exhaustive()
    }
}
