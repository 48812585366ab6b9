//! What an attempt came to, and what follows for those to come.

use std::time::Duration;

use buttress_core::{Class, Headroom, Label, Verdict};
use tokio::time::Instant;

use crate::{
    HealthPolicy,
    vitals::{Rests, Vitals},
};

/// What an attempt came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) class: Class,
    pub(crate) model: Option<&'a Label>,
    pub(crate) elapsed: Duration,
    /// When, in nanoseconds from the epoch, if that is known already.
    pub(crate) at: Option<u64>,
    /// Only the head of the answer has come, and whoever reads the rest will tell.
    pub(crate) goes_on: bool,
    pub(crate) headroom: Option<Headroom>,
    /// Which of the target's credentials was shown, where it has several.
    pub(crate) credential: Option<usize>,
    /// The verdict speaks of that alone.
    pub(crate) blames_credential: bool,
}

// === impl Ended ===

impl Ended<'_> {
    /// A failure counts as a latency of at least this, so that the faster a target fails the less it attracts.
    const PENALTY: Duration = Duration::from_secs(5);

    /// What an answer came to whose head was noted before.
    pub(crate) const fn later(class: Class) -> Self {
        let (elapsed, at, goes_on) = (Duration::ZERO, None, false);
        Self { class, model: None, elapsed, at, goes_on, headroom: None, credential: None, blames_credential: false }
    }

    /// Changes what is known of the target.
    #[inline]
    pub(crate) fn tell(&self, vitals: &mut Vitals, policy: &HealthPolicy, rests: &Rests, now: Instant) {
        let nanos = self.at.unwrap_or_else(|| vitals.nanos(now));
        let asked = self.class.hint.after.map(|after| after.min(rests.longest));
        match self.class.verdict {
            // Its head is all there is to tell it by, as long as it goes on.
            Verdict::Success if self.goes_on => vitals.latency.observe(self.elapsed, nanos),
            Verdict::Success => {
                vitals.succeeded(policy, now, nanos);
                vitals.latency.observe(self.elapsed, nanos);
            }
            Verdict::Slow => vitals.latency.observe(self.elapsed, nanos),
            Verdict::Transient | Verdict::Truncated => {
                vitals.failed(policy, now, nanos);
                let penalty = Self::PENALTY.max(asked.unwrap_or_default()).max(self.elapsed);
                vitals.latency.observe(penalty, nanos);
                if let Some(asked) = asked {
                    vitals.park(asked, now);
                }
            }
            // Full as it was meant to be is no fault either, and no wait beyond the target's own word.
            Verdict::RateLimited | Verdict::CapacityByDesign => {
                self.park(vitals, asked.unwrap_or(rests.throttled), now);
            }
            Verdict::QuotaExhausted => self.park(vitals, asked.unwrap_or(rests.quota), now),
            Verdict::CredentialDead => self.park(vitals, asked.unwrap_or(rests.credential), now),
            Verdict::ModelGone => {
                if let Some(model) = self.model {
                    vitals.lack(model, rests.model, now);
                }
            }
            // About the request, or the caller: they say nothing of the target.
            _ => {}
        }
    }

    /// Parks the credential if that is to blame, and the target otherwise.
    fn park(&self, vitals: &mut Vitals, time: Duration, now: Instant) {
        match self.credential.filter(|_| self.blames_credential) {
            Some(credential) => vitals.park_credential(credential, time, now),
            None => vitals.park(time, now),
        }
    }
}
