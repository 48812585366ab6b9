//! How load is spread over levels of priority.
//!
//! After Envoy's [priority levels](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority),
//! in its integer arithmetic: a level with less than all of its weight healthy keeps its whole load as long as what is
//! healthy, times an over-provisioning factor of 1.4, covers it; what it cannot carry spills to the next level.

/// What one level of priority has to offer, in the unit of its members' weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// What is healthy.
    pub(crate) healthy: u64,
    /// What works, but badly.
    pub(crate) degraded: u64,
    /// What there is, without what is taken out on purpose.
    pub(crate) total: u64,
    /// What there is, with what is taken out on purpose.
    pub(crate) all: u64,
}

/// The share of one level, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Goes to what is healthy.
    pub(crate) healthy: u8,
    /// Goes to what works badly.
    pub(crate) degraded: u8,
    /// So little is well here that health is no longer a reason to leave anything out.
    pub(crate) panic: bool,
}

/// How load is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// In percent: how much of its weight a level must have lost before it gives load away.
    pub(crate) overprovisioning: u64,
    /// In percent: a level with less of its weight available is in panic, if all levels together cannot carry the load.
    pub(crate) panic_threshold: u64,
}

// === impl Spread ===

impl Spread {
    /// Envoy's own.
    pub(crate) const DEFAULT: Self = Self { overprovisioning: 140, panic_threshold: 50 };

    /// Writes the share of each of `levels`, highest priority first, to `shares`, which has as many places. The shares make
    /// 100, unless there is nothing at all.
    pub(crate) fn over(self, levels: &[Level], shares: &mut [Share]) {
        shares.fill(Share::default());
        let carried: u64 =
            levels.iter().map(|level| self.carries(level.healthy, level) + self.carries(level.degraded, level)).sum();
        let total = carried.min(100);
        for (level, share) in levels.iter().zip(&mut *shares) {
            share.panic = total < 100 && percent(level.healthy + level.degraded, level.total) < self.panic_threshold;
        }
        if shares.iter().all(|share| share.panic) {
            by_size(levels, shares);
            return;
        }
        let mut left = 100;
        let mut give = |part: u64| {
            let given = (part * 100 / total).min(left);
            left -= given;
            given as u8
        };
        for (level, share) in levels.iter().zip(&mut *shares) {
            share.healthy = give(self.carries(level.healthy, level));
        }
        for (level, share) in levels.iter().zip(&mut *shares) {
            share.degraded = give(self.carries(level.degraded, level));
        }
        // What division leaves over goes to the first level that carries anything.
        if let Some(first) = shares.iter_mut().find(|share| share.healthy > 0 || share.degraded > 0) {
            let part = if first.healthy > 0 { &mut first.healthy } else { &mut first.degraded };
            *part += left as u8;
        }
    }

    /// Returns what part of the whole load a level can carry, in percent: all of it as long as what is healthy, times the
    /// over-provisioning factor, covers it.
    pub(crate) fn availability(self, level: &Level) -> u8 {
        self.carries(level.healthy, level) as u8
    }

    fn carries(self, part: u64, level: &Level) -> u64 {
        part.saturating_mul(self.overprovisioning).checked_div(level.total).unwrap_or(0).min(100)
    }
}

/// Where nothing is well, size is all there is to go by.
fn by_size(levels: &[Level], shares: &mut [Share]) {
    let all: u64 = levels.iter().map(|level| level.all).sum();
    let mut left = 100;
    for (level, share) in levels.iter().zip(&mut *shares) {
        share.healthy = percent(level.all, all) as u8;
        left -= share.healthy;
    }
    if let Some(first) = shares.iter_mut().find(|share| share.healthy > 0) {
        first.healthy += left;
    }
}

fn percent(part: u64, total: u64) -> u64 {
    part.saturating_mul(100).checked_div(total).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{list, number, section};
    use proptest::prelude::*;
    use serde_json::Value;

    fn shares(spread: Spread, levels: &[Level]) -> Vec<Share> {
        let mut shares = vec![Share::default(); levels.len()];
        spread.over(levels, &mut shares);
        shares
    }

    fn numbers(value: &Value) -> Vec<u64> {
        list(value).iter().map(number).collect()
    }

    fn spread(case: &Value) -> Spread {
        let threshold = case.get("panic_threshold_pct").map_or(50, number);
        Spread { overprovisioning: number(&case["overprovisioning_pct"]), panic_threshold: threshold }
    }

    #[test]
    fn load_is_spread_over_hosts_as_envoy_spreads_it() {
        for case in list(&section("priority_load")["cases"]) {
            let level = |host: &Value| {
                let [hosts, healthy, degraded, excluded] =
                    ["hosts", "healthy", "degraded", "excluded"].map(|name| number(&host[name]));
                Level { healthy, degraded, total: hosts - excluded, all: hosts }
            };
            let levels: Vec<_> = list(&case["priorities"]).iter().map(level).collect();
            let shares = shares(spread(case), &levels);
            let got = |part: fn(&Share) -> u8| shares.iter().map(|share| u64::from(part(share))).collect::<Vec<_>>();
            assert_eq!(got(|share| share.healthy), numbers(&case["load"]), "{case}");
            if let Some(degraded) = case.get("degraded_load") {
                assert_eq!(got(|share| share.degraded), numbers(degraded), "{case}");
            }
            if let Some(panic) = case.get("panic") {
                let panic: Vec<_> = list(panic).iter().map(|panic| panic.as_bool().expect("yes or no")).collect();
                assert_eq!(shares.iter().map(|share| share.panic).collect::<Vec<_>>(), panic, "{case}");
            }
        }
    }

    #[test]
    fn load_is_spread_by_weight_as_envoy_spreads_it() {
        for case in list(&section("priority_load_weighted")["cases"]) {
            let level = |host: &Value| {
                let [healthy, degraded, total] = ["healthy_w", "degraded_w", "total_w"].map(|name| number(&host[name]));
                Level { healthy, degraded, total, all: total }
            };
            let levels: Vec<_> = list(&case["priorities"]).iter().map(level).collect();
            let shares = shares(spread(case), &levels);
            assert_eq!(
                shares.iter().map(|s| u64::from(s.healthy)).collect::<Vec<_>>(),
                numbers(&case["load"]),
                "{case}"
            );
            if let Some(degraded) = case.get("degraded_load") {
                assert_eq!(
                    shares.iter().map(|s| u64::from(s.degraded)).collect::<Vec<_>>(),
                    numbers(degraded),
                    "{case}"
                );
            }
        }
    }

    #[test]
    fn a_level_gives_load_away_only_when_what_is_left_of_it_cannot_carry_it() {
        for case in list(&section("priority_docs_table")["cases"]) {
            let level = |name: &str| Level { healthy: number(&case[name]), degraded: 0, total: 100, all: 100 };
            let shares = shares(Spread::DEFAULT, &[level("p0_healthy_pct"), level("p1_healthy_pct")]);
            assert_eq!(
                shares.iter().map(|s| u64::from(s.healthy)).collect::<Vec<_>>(),
                numbers(&case["load"]),
                "{case}"
            );
        }
    }

    proptest! {
        #[test]
        fn all_load_goes_somewhere_and_none_of_it_to_nothing(
            parts in proptest::collection::vec((0..u64::from(u32::MAX), 0..1000_u64, 0..1000_u64, 0..1000_u64), 1..8)
        ) {
            let level = |&(healthy, degraded, bad, out): &(u64, u64, u64, u64)| {
                let total = healthy + degraded + bad;
                Level { healthy, degraded, total, all: total + out }
            };
            let levels: Vec<_> = parts.iter().map(level).collect();
            let shares = shares(Spread::DEFAULT, &levels);
            let sum: u32 = shares.iter().map(|share| u32::from(share.healthy) + u32::from(share.degraded)).sum();
            let anything = levels.iter().any(|level| level.all > 0);
            prop_assert!(sum == 100 || !anything, "{shares:?}");
            for (level, share) in levels.iter().zip(&shares) {
                prop_assert!(level.all > 0 || (share.healthy == 0 && share.degraded == 0));
            }
        }
    }
}
