use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::fault::Fault;
use crate::profile::Profile;
use crate::script::Script;
use crate::server;
use crate::stats::Stats;
use crate::target::Target;

/// One running target: a provider's endpoint on a port of its own.
///
/// Dropped, it stops and its connections end. See the [crate docs](crate).
#[derive(Debug)]
pub struct Simulator {
    target: Arc<Target>,
    server: JoinSet<()>,
}

// === impl Simulator ===

impl Simulator {
    /// Creates the settings of a simulator: a target named `sim` on a free loopback port that answers at once.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn serve(target: Target) -> Self {
        let target = Arc::new(target);
        let mut server = JoinSet::new();
        server.spawn(server::run(Arc::clone(&target)));
        Self { target, server }
    }

    /// Switches a fault on for every request from now on, in place of the one before, or off.
    ///
    /// [`Fault::Refuse`] is in force when this returns; the connections that live are ended right after.
    pub fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        self.target.set_fault(fault.into());
    }

    /// Switches the fault off. A script stays.
    pub fn heal(&self) {
        self.target.set_fault(None);
    }

    /// Sets the script, in place of the one before, and counts requests from 1 for it. An empty script ends it.
    pub fn set_script(&self, script: Script) {
        self.target.set_script(script);
    }

    /// Answers as this profile says from now on, until a reset.
    pub fn set_profile(&self, profile: Profile) {
        self.target.set_profile(profile);
    }

    /// Goes back to the state after the start: no fault, no script, full limits, counts at zero, ids from the first.
    pub fn reset(&self) {
        self.target.reset();
    }

    /// The name of the target.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The address it listens on. It stays the same while connections are refused.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.target.port.addr()
    }

    /// The address as a URL, without a path: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The fault that is switched on.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.target.fault()
    }

    /// Who answers under the paths of OpenAI's API.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.target.profile()
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.target.counters.now()
    }

    /// The counts, to be awaited as they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Stats> {
        self.target.counters.watch()
    }

    /// Waits until the counts satisfy `condition`, and returns them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, condition: impl FnMut(&Stats) -> bool) -> Stats {
        let mut stats = self.watch();
        let met = stats.wait_for(condition).await.map(|stats| *stats);
        met.unwrap_or_else(|_| self.stats())
    }

    /// Stops, and waits until the listener and every connection are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancelled, it stops all the same, without anyone to wait for it.
    pub async fn shutdown(mut self) {
        self.target.port.refuse();
        self.target.counters.cut();
        self.server.shutdown().await;
    }

    pub(crate) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.target.port.refuse();
        self.target.counters.cut();
    }
}
