//! What a call may cost.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use crate::config_error::ConfigError;

/// What a call may cost. See [`Config`](crate::Config).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) trip_after: NonZeroU32,
    pub(crate) probe_min: Duration,
    pub(crate) probe_max: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) max_in_flight: NonZeroUsize,
}

/// The longest time that can be set. Far beyond use, and far from what a clock cannot hold.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

// === impl Limits ===

impl Limits {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("command_timeout", self.command_timeout),
            ("connect_timeout", self.connect_timeout),
            ("probe_between.min", self.probe_min),
            ("probe_between.max", self.probe_max),
            ("heartbeat", self.heartbeat),
        ];
        for (field, time) in times {
            if !(Duration::from_millis(1)..=LONGEST).contains(&time) {
                return Err(ConfigError::new(field, format!("{time:?}"), "1 ms to 1 h"));
            }
        }
        if self.probe_min > self.probe_max {
            let shape = format!("{:?}", self.probe_min);
            return Err(ConfigError::new("probe_between.min", shape, "at most `probe_between.max`"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            trip_after: NonZeroU32::MIN,
            probe_min: Duration::from_millis(50),
            probe_max: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            max_in_flight: NonZeroUsize::new(1024).expect("not zero"),
        }
    }
}
