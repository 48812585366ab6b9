//! How the layers are set.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use buttress_circuit_breaker::{OpenTime, Settings};
use buttress_region_failover::{HealthPolicy, Hedge, Policy};
use serde::Deserialize;

/// When and how often to try again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How often the targets are walked at most.
    pub attempts: NonZeroU32,
    /// The longest wait that a target may ask for.
    #[serde(deserialize_with = "duration")]
    pub max_hint: Duration,
    /// How many retries may be under way, in percent of the requests under way.
    pub budget_percent: u32,
    /// How many retries may be under way in any case.
    pub budget_min: u32,
}

/// When to try elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FailoverConfig {
    /// How many attempts one request may cost, on all targets and walks together.
    pub attempts: NonZeroU32,
    /// By what rule a target is chosen.
    #[serde(deserialize_with = "policy")]
    pub policy: Policy,
    /// How many failures of a target in a row are an outage.
    pub outage_after: NonZeroU32,
    /// How long a target that is out is left alone before one request sees how it is.
    #[serde(deserialize_with = "duration")]
    pub probe_every: Duration,
    /// How long a target must serve single requests before it counts again.
    #[serde(deserialize_with = "duration")]
    pub return_after: Duration,
    /// How long a target that counts again takes to take up its load.
    #[serde(deserialize_with = "duration")]
    pub slow_start: Duration,
    /// How long a target may take to begin a streamed answer.
    #[serde(deserialize_with = "duration")]
    pub stream_timeout: Duration,
    /// How long a target may take to give a whole answer.
    #[serde(deserialize_with = "duration")]
    pub answer_timeout: Duration,
    /// What all that is random is drawn from. Another number in each process by default.
    pub seed: Option<u64>,
    /// When a request that takes long is sent to a second target. Never, if this is not there.
    pub hedge: Option<HedgeConfig>,
}

/// When a request that takes long is sent to a second target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// How many of a hundred requests must be faster, before one takes long.
    #[serde(deserialize_with = "between::<50, 99, _>")]
    pub percentile: u16,
    /// How much more load there may be, in percent of the requests.
    #[serde(deserialize_with = "between::<1, 100, _>")]
    pub extra_percent: u16,
    /// How many requests of a model must have been seen before.
    #[serde(deserialize_with = "between::<1, 1000, _>")]
    pub samples: u16,
    /// How long to wait at least, however fast the others are.
    #[serde(deserialize_with = "duration")]
    pub no_sooner: Duration,
}

/// What is watched in an answer that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamsConfig {
    /// How long a stream may pause between two pieces of content.
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    /// How much of an answer is held back at most until its first content.
    pub max_held_bytes: NonZeroUsize,
    /// Whether a chat that breaks after content is gone on with by another target.
    pub continue_elsewhere: bool,
}

/// When a target is called no more, because what it does fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// How many failures in a row open the circuit of a target.
    pub failures: NonZeroU32,
    /// What part of the calls in the window must fail to open it, in percent.
    pub failure_percent: u32,
    /// What calls are counted together.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
    /// How long it is open at first.
    #[serde(deserialize_with = "duration")]
    pub open: Duration,
    /// How long it is open at most.
    #[serde(deserialize_with = "duration")]
    pub max_open: Duration,
}

/// How much is under way at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConcurrencyConfig {
    /// How many answers of one target may be under way, to the ends of their bodies.
    pub per_target: NonZeroU32,
}

/// Reads a duration such as `250ms`, `30s` or `2m`. Zero is refused: every duration here is a limit.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("`{text}` is not a time, write it as `250ms`, `30s` or `2m`"));
    let duration = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(serde::de::Error::custom(format!("`{text}` is too short, it must be more than zero")));
    }
    Ok(duration)
}

/// Reads a duration that need not be there.
pub(super) fn optional_duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Reads a whole number from `LEAST` to `MOST`.
pub(super) fn between<'de, const LEAST: u16, const MOST: u16, D>(deserializer: D) -> Result<u16, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let number = i64::deserialize(deserializer)?;
    let within = u16::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
    within.ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{number}` is out of range, allowed are whole numbers from {LEAST} to {MOST}"
        ))
    })
}

// === impl StreamsConfig ===

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            max_held_bytes: NonZeroUsize::new(256 * 1024).expect("256 KiB are not 0"),
            continue_elsewhere: false,
        }
    }
}

// === impl BreakerConfig ===

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(5).expect("5 is not 0"),
            failure_percent: 50,
            window: Duration::from_secs(30),
            open: Duration::from_secs(5),
            max_open: Duration::from_secs(120),
        }
    }
}

impl BreakerConfig {
    /// Returns the settings of the circuits.
    #[must_use]
    pub fn settings(&self) -> Settings {
        // What is slow is for the limits of time to say; a long answer is not a bad one.
        Settings::new()
            .consecutive(self.failures)
            .failure_rate(self.failure_percent)
            .time_window(self.window)
            .open_time(OpenTime::exponential(self.open, 2.0).with_cap(self.max_open).with_jitter(10))
            .no_slow()
    }
}

// === impl ConcurrencyConfig ===

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self { per_target: NonZeroU32::new(20_000).expect("20,000 are not 0") }
    }
}

// === impl RetryConfig ===

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("3 is not 0"),
            max_hint: Duration::from_secs(60),
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

// === impl FailoverConfig ===

impl Default for FailoverConfig {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(5).expect("5 is not 0"),
            policy: Policy::Ordered,
            outage_after: NonZeroU32::new(5).expect("5 is not 0"),
            probe_every: Duration::from_secs(5),
            return_after: Duration::from_secs(30),
            slow_start: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(120),
            seed: None,
            hedge: None,
        }
    }
}

impl FailoverConfig {
    /// Returns when a target is out, and how it comes back.
    #[must_use]
    pub const fn health(&self) -> HealthPolicy {
        HealthPolicy::DEFAULT
            .outage_after(self.outage_after.get())
            .probe_every(self.probe_every)
            .hysteresis(self.return_after)
            .slow_start(self.slow_start)
    }
}

// === impl HedgeConfig ===

impl Default for HedgeConfig {
    fn default() -> Self {
        Self { percentile: 95, extra_percent: 2, samples: 100, no_sooner: Duration::from_millis(1) }
    }
}

impl HedgeConfig {
    /// Returns the bounds of second attempts.
    #[must_use]
    pub fn bounds(&self) -> Hedge {
        Hedge::DEFAULT
            .percentile(u8::try_from(self.percentile).unwrap_or(u8::MAX))
            .extra_load(self.extra_percent.saturating_mul(10))
            .samples(u32::from(self.samples))
            .no_sooner_than(self.no_sooner)
    }
}

fn policy<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    let name = String::deserialize(deserializer)?;
    Policy::named(&name).ok_or_else(|| {
        let names = Policy::ALL.map(Policy::as_str).join("`, `");
        serde::de::Error::custom(format!("`{name}` is no policy, allowed are `{names}`"))
    })
}
