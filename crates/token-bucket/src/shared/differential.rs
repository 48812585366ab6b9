//! The script beside the core: the same decisions and the same levels, step by step.

use std::time::Duration;

use buttress_redis::{Config, Namespace, Redis};
use buttress_testkit::RedisServer;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    exact::Exact,
    script::{Change, Levels, Told},
    sharing::all,
};
use crate::{Bucket, Costs, Dimension, Fingerprint, Limit, Limits, Secret};

const OPERATIONS: usize = 100_000;
const BATCH: usize = 250;
const KEYS: usize = 7;

/// One step, and what the core says to it.
struct Step {
    key: usize,
    at: u64,
    change: Change,
    done: bool,
    missing: Vec<i128>,
}

/// Keys whose levels are in the core, and calls that are under way.
struct Model {
    limits: Limits,
    /// A bucket that is full is not there, as in Redis.
    buckets: Vec<Option<Bucket>>,
    under_way: Vec<(usize, Costs)>,
    settled: Vec<(usize, Change)>,
    number: u64,
    rng: StdRng,
    /// In microseconds.
    now: u64,
}

/// Rates that divide into no whole numbers, and periods from seconds to days.
fn limits() -> Limits {
    let limit = |name, dimension, amount, millis, burst, debt| {
        let limit = Limit::try_new(name, dimension, amount, Duration::from_millis(millis)).expect("it makes sense");
        limit.burst(burst).expect("not zero").max_debt(debt)
    };
    Limits::try_new([
        limit("requests", Dimension::REQUESTS, 61, 60_000, 40, 61),
        limit("tokens", Dimension::TOKENS, 9_973, 7_001, 12_007, 4_000),
        limit("output", Dimension::OUTPUT_TOKENS, 700_000, 86_400_000, 9_000, 9_000),
        limit("dollars", Dimension::NANO_DOLLARS, 999_999_990, 3_600_000, 40_000_000, 10_000_000),
    ])
    .expect("four limits")
}

impl Model {
    fn costs(&mut self) -> Costs {
        let large = self.rng.random_bool(0.02);
        let tokens = if large { 50_000 } else { 900 };
        Costs::tokens(self.rng.random_range(0..tokens), self.rng.random_range(0..tokens))
            .with(Dimension::NANO_DOLLARS, self.rng.random_range(0..2_000_000))
    }

    fn step(&mut self, exact: &Exact) -> Step {
        match self.rng.random_range(0..100) {
            0..40 => {}
            40..90 => self.now += self.rng.random_range(0..400_000),
            90..97 => self.now += self.rng.random_range(0..20_000_000),
            // The clock goes back, which the server's may.
            _ => self.now -= self.rng.random_range(0..3_000_000).min(self.now),
        }
        match self.rng.random_range(0..100) {
            60..85 if !self.under_way.is_empty() => self.settle(exact),
            85..90 if !self.settled.is_empty() => {
                // It is sent again, as after a timeout.
                let at = self.rng.random_range(0..self.settled.len());
                let (key, change) = self.settled.swap_remove(at);
                self.done(key, change, |_, _, _| false)
            }
            90..93 => {
                let (key, left) = (self.rng.random_range(0..KEYS), self.rng.random_range(0..12_007));
                let lower = move |bucket: &mut Bucket, limits: &Limits, now| {
                    bucket.observe(limits, Dimension::TOKENS, left, Duration::from_secs(3), now);
                    true
                };
                let mut step = self.done(key, Change::Fill, lower);
                step.change = Change::Lower(exact.share(step.missing.iter().copied(), 1));
                step
            }
            93 => {
                let key = self.rng.random_range(0..KEYS);
                self.done(key, Change::Fill, |bucket, limits, now| {
                    *bucket = Bucket::full(limits, now);
                    true
                })
            }
            _ => self.reserve(exact),
        }
    }

    /// Does something with the bucket of a key. Where nothing is done, nothing is written, not even the time.
    fn done(&mut self, key: usize, change: Change, f: impl FnOnce(&mut Bucket, &Limits, u64) -> bool) -> Step {
        let nanos = self.now * 1_000;
        let mut bucket = self.buckets[key].clone().unwrap_or_else(|| Bucket::full(&self.limits, nanos));
        let mut untouched = bucket.clone();
        let done = f(&mut bucket, &self.limits, nanos);
        if done {
            let full = bucket.clone().view(&self.limits).missing(nanos).all(|missing| missing == 0);
            self.buckets[key] = (!full).then(|| bucket.clone());
        }
        let told = if done { &mut bucket } else { &mut untouched };
        Step { key, at: self.now, change, done, missing: told.view(&self.limits).missing(nanos).collect() }
    }

    fn reserve(&mut self, exact: &Exact) -> Step {
        let (key, costs) = (self.rng.random_range(0..KEYS), self.costs());
        let change = Change::Take(exact.needs(&self.limits, &costs), Default::default());
        let step = self.done(key, change, |bucket, limits, now| bucket.reserve(limits, &costs, now).is_ok());
        if step.done {
            self.under_way.push((key, costs));
        }
        step
    }

    /// A call ends, or is cut short, or was never made.
    fn settle(&mut self, exact: &Exact) -> Step {
        let at = self.rng.random_range(0..self.under_way.len());
        let (key, reserved) = self.under_way.swap_remove(at);
        let actual = match self.rng.random_range(0..4) {
            0 => Costs::ZERO,
            1 => reserved.with(Dimension::OUTPUT_TOKENS, reserved.amount(Dimension::OUTPUT_TOKENS) / 2),
            _ => self.costs(),
        };
        self.number += 1;
        let change = Change::Settle(exact.change(&self.limits, &reserved, &actual), self.number);
        if self.settled.len() == 50 {
            self.settled.remove(0);
        }
        self.settled.push((key, change));
        self.done(key, change, |bucket, limits, now| {
            bucket.settle(limits, &reserved, &actual, now);
            true
        })
    }
}

#[test]
fn redis_and_the_core_give_the_same_decisions_and_levels_over_a_hundred_thousand_operations() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let config = Config::new(server.url()).command_timeout(Duration::from_secs(60));
        let redis = Redis::spawn_on(&tokio::runtime::Handle::current(), config).expect("allowed");
        redis.connected().await;
        let namespace = Namespace::try_new("t").expect("allowed");
        let name = "differential".try_into().expect("a label");
        let levels = Levels::new(redis.clone(), &namespace, &name, 7).at_told_times();
        let limits = limits();
        let exact = limits.exact().expect("they can be shared");
        let keys: Vec<Fingerprint> = (0..KEYS).map(|key| Secret::new([3; 16]).of(&key)).collect();
        let mut model = Model {
            buckets: vec![None; KEYS],
            limits: limits.clone(),
            under_way: Vec::new(),
            settled: Vec::new(),
            number: 0,
            rng: StdRng::seed_from_u64(20_261_121),
            now: 1_795_249_309_475_500,
        };
        let (mut taken, mut refused, mut again) = (0, 0, 0);
        for round in 0..OPERATIONS / BATCH {
            let steps: Vec<Step> = (0..BATCH).map(|_| model.step(exact)).collect();
            let calls: Vec<_> =
                steps.iter().map(|step| levels.call(keys[step.key], exact, &step.change).arg(step.at)).collect();
            if round == 0 {
                // So that it is known, and no call is sent twice and out of its turn.
                let load = levels.call(Fingerprint::NO_KEY, exact, &Change::Fill).arg(0);
                redis.invoke::<Vec<u8>>(&load).await.expect("it is there");
            }
            let told: Vec<Result<Vec<u8>, _>> = all(calls.iter().map(|call| redis.invoke(call)).collect()).await;
            for (at, (step, told)) in steps.iter().zip(told).enumerate() {
                let Told { done, missing, .. } = Told::read(&told.expect("redis is there"), exact.rules.len());
                let missing: Vec<_> = exact.told(&missing).collect();
                let number = round * BATCH + at;
                assert_eq!((done, &missing), (step.done, &step.missing), "{number}: {:?} at {}", step.change, step.at);
                match step.change {
                    Change::Take(..) if done => taken += 1,
                    Change::Take(..) => refused += 1,
                    Change::Settle(..) if !done => again += 1,
                    _ => {}
                }
            }
        }
        // A trace on which nothing happens would prove nothing.
        assert!(taken > 10_000 && refused > 10_000 && again > 1_000, "{taken} {refused} {again}");
    });
}
