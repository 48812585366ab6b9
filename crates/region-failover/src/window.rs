//! How many of a target's requests of late have failed.

/// How many of a target's requests of late have failed: those of this stretch of time and the one before. Times are in
/// nanoseconds from wherever they are counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    since: Option<u64>,
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
    /// In nanoseconds.
    const STRETCH: u64 = 10_000_000_000;
    /// Fewer requests than this say nothing.
    pub(crate) const ENOUGH: u32 = 20;

    pub(crate) const fn new() -> Self {
        let none = Count { all: 0, failed: 0 };
        Self { since: None, now: none, before: none }
    }

    #[inline]
    pub(crate) fn count(&mut self, failed: bool, now: u64) {
        // Almost always it goes on.
        if self.since.is_none_or(|since| now.saturating_sub(since) >= Self::STRETCH) {
            *self = self.at(now);
        }
        self.now.all = self.now.all.saturating_add(1);
        self.now.failed = self.now.failed.saturating_add(u32::from(failed));
    }

    /// Returns the part that failed, where enough is known.
    pub(crate) fn rate(&self, now: u64) -> Option<f64> {
        let Self { now: this, before, .. } = self.at(now);
        let all = this.all.saturating_add(before.all);
        (all >= Self::ENOUGH).then(|| f64::from(this.failed.saturating_add(before.failed)) / f64::from(all))
    }

    fn at(self, now: u64) -> Self {
        let Some(since) = self.since else { return Self { since: Some(now), ..Self::new() } };
        let elapsed = now.saturating_sub(since);
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
        let (begun, mut window) = (7, Window::new());
        (0..19).for_each(|_| window.count(true, begun));
        assert_eq!(window.rate(begun), None);
        (0..19).for_each(|_| window.count(false, begun + Window::STRETCH));
        assert_eq!(window.rate(begun + Window::STRETCH), Some(0.5));
        (0..20).for_each(|_| window.count(false, begun + 2 * Window::STRETCH));
        assert_eq!(window.rate(begun + 2 * Window::STRETCH), Some(0.0), "of the first stretch nothing is left");
        assert_eq!(window.rate(begun + 9 * Window::STRETCH), None);
    }
}
