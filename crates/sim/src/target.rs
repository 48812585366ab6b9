//! One target: its configuration, its switches and its counts, shared by everything that serves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::answer::Config;
use crate::fault::Fault;
use crate::limits::{Denied, Limiter, Limits, Snapshot};
use crate::port::Port;
use crate::profile::Profile;
use crate::script::Script;
use crate::seed::Seeded;
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) port: Port,
    pub(crate) counters: Arc<Counters>,
    created: Option<u64>,
    limiter: Option<Mutex<Limiter>>,
    switches: Mutex<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    profile: Profile,
    fault: Option<Arc<Fault>>,
    script: Script,
    /// Requests since the target started or was reset: the number that ids are drawn from.
    requests: u64,
    /// The value of `requests` when the script was set.
    script_since: u64,
}

/// What one request is given on arrival.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) seeded: Seeded,
    pub(crate) fault: Option<Arc<Fault>>,
    pub(crate) profile: Profile,
}

// === impl Target ===

impl Target {
    pub(crate) fn new(name: String, config: Config, port: Port, limits: Option<Limits>, created: Option<u64>) -> Self {
        let switches = Switches { profile: config.profile, ..Switches::default() };
        Self {
            name,
            config,
            port,
            counters: Arc::default(),
            created,
            limiter: limits.map(|limits| Mutex::new(Limiter::new(limits, Instant::now()))),
            switches: Mutex::new(switches),
        }
    }

    /// Numbers a request and picks its fault. A fault that is switched on goes before the script.
    pub(crate) fn ticket(&self) -> Ticket {
        let mut switches = self.switches();
        switches.requests += 1;
        let number = switches.requests;
        let scripted = number - switches.script_since;
        // Chances come from a generator of their own, so that a script leaves the answers as they are.
        let mut chances = Seeded::for_request(!self.config.seed, scripted);
        let script = || switches.script.fault(scripted, &mut chances).cloned().map(Arc::new);
        let fault = switches.fault.clone().or_else(script);
        Ticket { seeded: Seeded::for_request(self.config.seed, number), fault, profile: switches.profile }
    }

    /// Asks the limiter, if there is one.
    pub(crate) fn admit(&self, tokens: Option<u32>) -> Result<Snapshot, Denied> {
        let Some(limiter) = &self.limiter else {
            return Ok(Snapshot::nominal(tokens));
        };
        let (mut limiter, now) = (limiter.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        match tokens {
            Some(tokens) => limiter.admit(now, tokens),
            None => Ok(limiter.state(now)),
        }
    }

    /// The time an answer claims to be made at.
    pub(crate) fn created(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.created.unwrap_or_else(now)
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.switches().fault.as_deref().cloned()
    }

    pub(crate) fn script(&self) -> Script {
        self.switches().script.clone()
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        // The kind alone: a made-up answer may hold what belongs in no log.
        let kind = fault.as_ref().map_or("none", Fault::kind);
        tracing::info!(simulator = %self.name, fault = kind, "fault switched");
        let refuse = fault == Some(Fault::Refuse);
        self.switches().fault = fault.map(Arc::new);
        if refuse {
            self.port.refuse();
            self.counters.cut();
        } else {
            self.port.open();
        }
    }

    pub(crate) fn profile(&self) -> Profile {
        self.switches().profile
    }

    pub(crate) fn set_profile(&self, profile: Profile) {
        self.switches().profile = profile;
    }

    pub(crate) fn set_script(&self, script: Script) {
        let mut switches = self.switches();
        switches.script = script;
        switches.script_since = switches.requests;
    }

    /// Back to the state after the start.
    pub(crate) fn reset(&self) {
        self.set_fault(None);
        *self.switches() = Switches { profile: self.config.profile, ..Switches::default() };
        if let Some(limiter) = &self.limiter {
            limiter.lock().unwrap_or_else(PoisonError::into_inner).reset(Instant::now());
        }
        self.counters.reset();
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
