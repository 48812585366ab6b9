//! What is known of how long requests take, and what hedging has cost.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{Hedge, HedgeCounts, HedgeRoute, sketch::Sketch};

/// What is known of how long requests take, and what hedging has cost.
#[derive(Debug)]
pub(crate) struct Hedging {
    settings: Hedge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    routes: HashMap<NonZeroU64, Box<Route>>,
    /// That of requests without one.
    other: Route,
    /// In thousandths of a second attempt.
    credit: u32,
    counts: HedgeCounts,
}

#[derive(Debug)]
struct Route {
    sketch: Sketch,
    /// The percentile, as it was when there were so many samples.
    after: Option<(Duration, u32)>,
    /// Which of the requests of late were slow, one bit for each.
    slow: u128,
}

// === impl Hedging ===

impl Hedging {
    const MAX_ROUTES: usize = 256;
    /// What one second attempt costs.
    const PRICE: u32 = 1_000;
    /// What can be saved up: a burst of ten.
    const MAX_CREDIT: u32 = 10 * Self::PRICE;

    pub(crate) fn new(settings: Hedge) -> Self {
        let (other, counts) = (Route::new(), HedgeCounts::default());
        Self { settings, state: Mutex::new(State { routes: HashMap::new(), other, credit: 0, counts }) }
    }

    pub(crate) const fn settings(&self) -> Hedge {
        self.settings
    }

    pub(crate) fn counts(&self) -> HedgeCounts {
        self.state().counts
    }

    /// Counts a request, and returns after how long it is slow, where that is known.
    pub(crate) fn begin(&self, route: Option<HedgeRoute>) -> Option<Duration> {
        let Hedge { percentile, samples, extra, no_sooner, .. } = self.settings;
        let mut state = self.state();
        state.credit = state.credit.saturating_add(u32::from(extra)).min(Self::MAX_CREDIT);
        let route = state.route(route);
        Some(route.after(percentile, samples)?.max(no_sooner))
    }

    /// Counts a request as slow, and takes the price of a second attempt. Returns whether one may be sent.
    pub(crate) fn take(&self, route: Option<HedgeRoute>) -> bool {
        let mut state = self.state();
        let route = state.route(route);
        route.slow = route.slow << 1 | 1;
        let calm = route.slow.count_ones() * 100 <= u32::from(self.settings.slow) * u128::BITS;
        let left = state.credit.checked_sub(Self::PRICE).filter(|_| calm);
        state.credit = left.unwrap_or(state.credit);
        match left {
            Some(_) => state.counts.sent += 1,
            None => state.counts.suppressed += 1,
        }
        left.is_some()
    }

    /// Gives back what was taken for an attempt that could not be sent.
    pub(crate) fn give_back(&self) {
        let mut state = self.state();
        state.credit = state.credit.saturating_add(Self::PRICE).min(Self::MAX_CREDIT);
        state.counts.sent -= 1;
        state.counts.suppressed += 1;
    }

    /// Notes that a request took `time`, or at least that; and whether it was found to be slow.
    pub(crate) fn took(&self, route: Option<HedgeRoute>, time: Duration, slow: bool) {
        let mut state = self.state();
        let route = state.route(route);
        route.sketch.add(time);
        if !slow {
            route.slow <<= 1;
        }
    }

    pub(crate) fn ended(&self, won: bool) {
        let mut state = self.state();
        let count = if won { &mut state.counts.won } else { &mut state.counts.lost };
        *count += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn route(&mut self, route: Option<HedgeRoute>) -> &mut Route {
        let Some(HedgeRoute(key)) = route else { return &mut self.other };
        if self.routes.len() >= Hedging::MAX_ROUTES && !self.routes.contains_key(&key) {
            return &mut self.other;
        }
        self.routes.entry(key).or_insert_with(|| Box::new(Route::new()))
    }
}

// === impl Route ===

impl Route {
    /// How many new samples make it worth while to look again.
    const STALE: u32 = 16;

    const fn new() -> Self {
        Self { sketch: Sketch::new(), after: None, slow: 0 }
    }

    fn after(&mut self, percentile: u8, samples: u32) -> Option<Duration> {
        let len = self.sketch.len();
        if len < samples {
            return self.after.map(|(after, _)| after);
        }
        match self.after {
            Some((after, then)) if len.abs_diff(then) < Self::STALE => Some(after),
            _ => {
                let after = self.sketch.percentile(percentile);
                self.after = Some((after, len));
                Some(after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn trained(settings: Hedge, requests: u32) -> Hedging {
        let hedging = Hedging::new(settings);
        for _ in 0..requests {
            hedging.begin(None);
            hedging.took(None, ms(100), false);
        }
        hedging
    }

    #[test]
    fn nothing_is_known_before_there_are_enough_samples() {
        assert_eq!(trained(Hedge::DEFAULT, 99).begin(None), None);
        let after = trained(Hedge::DEFAULT, 100).begin(None).unwrap();
        assert!(after >= ms(100) && after < ms(110), "{after:?}");
        assert_eq!(trained(Hedge::DEFAULT.no_sooner_than(ms(500)), 100).begin(None), Some(ms(500)));
        assert_eq!(trained(Hedge::DEFAULT, 100).begin(Some(HedgeRoute::new("other"))), None, "each route for itself");
    }

    #[test]
    fn while_many_are_slow_nothing_is_hedged() {
        let hedging = trained(Hedge::DEFAULT.extra_load(1000), 200);
        let granted = (0..128).take_while(|_| hedging.take(None)).count();
        assert_eq!(granted, 10, "what was saved up");
        let hedging = trained(Hedge::DEFAULT.extra_load(u16::MAX), 200);
        let granted = (0..128).filter(|_| hedging.begin(None).is_some() && hedging.take(None)).count();
        assert_eq!(granted, 25, "a fifth of 128");
        (0..110).for_each(|_| hedging.took(None, ms(100), false));
        assert!(hedging.take(None), "they are few again");
    }

    #[test]
    fn a_million_routes_cannot_grow_memory() {
        let hedging = Hedging::new(Hedge::DEFAULT);
        for key in 0..1_000_000_u32 {
            hedging.took(Some(HedgeRoute::new(key)), ms(1), false);
        }
        assert_eq!(hedging.state().routes.len(), Hedging::MAX_ROUTES);
        assert!(hedging.begin(None).is_some(), "the rest share one");
    }

    #[test]
    fn settings_at_their_edges_do_no_harm() {
        let odd = Hedge::DEFAULT.percentile(0).samples(0).extra_load(0).slow_share(0);
        assert_eq!(odd, Hedge::DEFAULT.percentile(50).samples(1).extra_load(0).slow_share(0));
        let hedging = trained(odd, 100);
        assert!(hedging.begin(None).is_some() && !hedging.take(None));
        let odd = Hedge::DEFAULT.percentile(255).samples(u32::MAX).no_sooner_than(Duration::MAX);
        assert_eq!(trained(odd, 2_000).begin(None), Some(Duration::MAX));
    }

    proptest! {
        #[test]
        fn second_attempts_never_exceed_their_share(
            extra in 0..300_u16, slow in proptest::collection::vec(any::<bool>(), 0..3_000),
        ) {
            let hedging = Hedging::new(Hedge::DEFAULT.extra_load(extra).slow_share(100));
            let mut granted = 0_u64;
            for (i, slow) in slow.iter().enumerate() {
                hedging.begin(None);
                granted += u64::from(*slow && hedging.take(None));
                prop_assert!(granted * 1_000 <= (i as u64 + 1) * u64::from(extra));
            }
            prop_assert_eq!(hedging.counts().sent, granted);
        }
    }
}
