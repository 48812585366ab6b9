//! The limit of a target that says when it has too much.

use std::time::Duration;

use buttress_core::Verdict;
use tokio::time::Instant;

use crate::{
    Algorithm, Bounds, Heard, Sample,
    limit::{Steps, whole},
};

/// Goes by the target's own word: down at a 429, back soon to where it was good, and slowly on from there.
///
/// Latency says little about a remote provider, since the length of the answer outweighs all else; its refusals are the
/// honest signal. The shape is CUBIC (RFC 9438): after a refusal at limit `w` it goes on from `0.7 · w` along
/// `0.4 · (t − k)³ + w`, in calls and seconds, flat near `w` and steep far from it, and no slower than the line of the
/// RFC's Reno-friendly region. A second refusal below `w` takes the plateau down further (fast convergence). Before the first
/// refusal the limit grows by one for each good call. Time in which the limit was not in use does not count.
///
/// Only [`RateLimited`](Verdict::RateLimited) and [`CapacityByDesign`](Verdict::CapacityByDesign) count. Where the target
/// said how long it wants to be left alone, the limit does not grow until then.
#[derive(Clone, Debug)]
pub struct Cubic {
    bounds: Bounds,
    limit: f64,
    epoch: Option<Epoch>,
    steps: Steps,
}

/// What happened since the last refusal.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Where the curve is flat.
    plateau: f64,
    /// How long the curve takes to get there, in seconds.
    k: f64,
    /// What Reno would have reached.
    reno: f64,
    /// For how long the limit was in use, in seconds.
    elapsed: f64,
    last: Instant,
}

// === impl Cubic ===

impl Cubic {
    const C: f64 = 0.4;
    const BETA: f64 = 0.7;
    /// Makes Reno with this beta as fast as Reno with a half (RFC 9438, section 4.3).
    const ALPHA: f64 = 3.0 * (1.0 - Self::BETA) / (1.0 + Self::BETA);
    /// No hint keeps the limit down for longer.
    const LONGEST_HOLD: Duration = Duration::from_secs(60);
    /// No pause between two samples counts for more, or the first call after a quiet night would find the limit at its top.
    const LONGEST_STEP: Duration = Duration::from_secs(10);

    /// Creates the algorithm, which begins at `initial`.
    #[must_use]
    pub fn new(initial: u32, bounds: Bounds) -> Self {
        Self { bounds, limit: bounds.clamp(initial.into()), epoch: None, steps: Steps::default() }
    }

    fn step_back(&mut self, now: Instant, after: Option<Duration>) {
        let before = self.limit;
        let converging = self.epoch.is_some_and(|epoch| before < epoch.plateau);
        let plateau = if converging { before * (1.0 + Self::BETA) / 2.0 } else { before };
        self.limit = self.bounds.clamp(before * Self::BETA);
        let k = ((plateau - self.limit).max(0.0) / Self::C).cbrt();
        let hold = after.unwrap_or_default().min(Self::LONGEST_HOLD);
        let last = now.checked_add(hold).unwrap_or(now);
        self.epoch = Some(Epoch { plateau, k, reno: self.limit, elapsed: 0.0, last });
    }

    fn grow(&mut self, sample: &Sample) {
        let idle = sample.is_application_limited(self.limit);
        let Some(epoch) = &mut self.epoch else {
            if !idle {
                self.limit = self.bounds.clamp(self.limit + 1.0);
            }
            return;
        };
        if sample.now < epoch.last {
            return;
        }
        let step = sample.now.saturating_duration_since(epoch.last).min(Self::LONGEST_STEP);
        epoch.last = sample.now;
        if idle {
            return;
        }
        epoch.elapsed += step.as_secs_f64();
        let alpha = if epoch.reno < epoch.plateau { Self::ALPHA } else { 1.0 };
        epoch.reno = self.bounds.clamp(epoch.reno + alpha / self.limit);
        let curve = Self::C.mul_add((epoch.elapsed - epoch.k).powi(3), epoch.plateau);
        // Not more than half as much again at a step (RFC 9438, section 4.2).
        let target = curve.max(epoch.reno).clamp(self.limit, 1.5 * self.limit);
        self.limit = self.bounds.clamp(target);
    }
}

impl Algorithm for Cubic {
    fn limit(&self) -> u32 {
        whole(self.limit)
    }

    fn on_sample(&mut self, sample: &Sample) {
        match sample.heard {
            Heard::Overload { verdict: Verdict::RateLimited | Verdict::CapacityByDesign, after } => {
                if self.steps.step(sample) {
                    self.step_back(sample.now, after);
                }
            }
            Heard::Overload { .. } => {}
            Heard::Latency(_) => self.grow(sample),
        }
    }

    fn restart(&mut self, limit: u32) {
        *self = Self { limit: self.bounds.clamp(limit.into()), epoch: None, steps: Steps::default(), ..*self };
    }
}
