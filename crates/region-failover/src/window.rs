//! How many of a target's requests of late have failed.

use std::time::Duration;

use tokio::time::Instant;

/// How many of a target's requests of late have failed: those of this stretch of time and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    since: Option<Instant>,
    now: Count,
    before: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    failed: u32,
}

// === impl Window ===

impl Window {
    const STRETCH: Duration = Duration::from_secs(10);
    /// Fewer requests than this say nothing.
    pub(crate) const ENOUGH: u32 = 20;

    pub(crate) const fn new() -> Self {
        let none = Count { all: 0, failed: 0 };
        Self { since: None, now: none, before: none }
    }

    pub(crate) fn count(&mut self, failed: bool, now: Instant) {
        *self = self.at(now);
        self.now.all = self.now.all.saturating_add(1);
        self.now.failed = self.now.failed.saturating_add(u32::from(failed));
    }

    /// Returns the part that failed, where enough is known.
    pub(crate) fn rate(&self, now: Instant) -> Option<f64> {
        let Self { now: this, before, .. } = self.at(now);
        let all = this.all.saturating_add(before.all);
        (all >= Self::ENOUGH).then(|| f64::from(this.failed.saturating_add(before.failed)) / f64::from(all))
    }

    fn at(self, now: Instant) -> Self {
        let Some(since) = self.since else { return Self { since: Some(now), ..Self::new() } };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < Self::STRETCH {
            return self;
        }
        let before = if elapsed < 2 * Self::STRETCH { self.now } else { Count::default() };
        Self { since: Some(now), now: Count::default(), before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_past_is_forgotten_and_little_says_nothing() {
        let (begun, mut window) = (Instant::now(), Window::new());
        (0..19).for_each(|_| window.count(true, begun));
        assert_eq!(window.rate(begun), None);
        (0..19).for_each(|_| window.count(false, begun + Window::STRETCH));
        assert_eq!(window.rate(begun + Window::STRETCH), Some(0.5));
        (0..20).for_each(|_| window.count(false, begun + 2 * Window::STRETCH));
        assert_eq!(window.rate(begun + 2 * Window::STRETCH), Some(0.0), "of the first stretch nothing is left");
        assert_eq!(window.rate(begun + 9 * Window::STRETCH), None);
    }
}
