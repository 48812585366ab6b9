//! What the script does with levels that were not written under the same limits, or not by it.

use std::time::Duration;

use buttress_redis::{Config, Namespace, Redis, redis};
use buttress_testkit::RedisServer;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    exact::{Exact, Parts, pack},
    script::{Change, Levels, Told},
};
use crate::{Dimension, Fingerprint, Limit, Limits};

const KEY: &str = "t:tb:{kept/00000000000000000000000000000000}:v2";
const NOW: i64 = 1_795_249_309_475_500;

/// Levels in a Redis of the test's own, at times of its own.
struct There {
    redis: Redis,
    levels: Levels,
}

impl There {
    async fn connect(server: &RedisServer) -> Self {
        let config = Config::new(server.url()).command_timeout(Duration::from_secs(60));
        let redis = Redis::spawn_on(&tokio::runtime::Handle::current(), config).expect("allowed");
        redis.connected().await;
        let namespace = Namespace::try_new("t").expect("allowed");
        let levels = Levels::new(redis.clone(), &namespace, &"kept".try_into().expect("a label"), 7).at_told_times();
        Self { redis, levels }
    }

    async fn apply(&self, limits: &Limits, change: Change, now: i64) -> Told {
        let exact = exact(limits);
        let call = self.levels.call(Fingerprint::SHARED, exact, &change).arg(now);
        let told: Vec<u8> = self.redis.invoke(&call).await.expect("the script runs");
        Told::read(&told, exact.rules.len())
    }

    async fn put(&self, value: &[u8]) {
        self.redis.query::<()>(redis::cmd("SET").arg(KEY).arg(value)).await.expect("it is there");
    }

    async fn lives(&self) -> i64 {
        self.redis.query(redis::cmd("PTTL").arg(KEY)).await.expect("it is there")
    }
}

fn run(test: impl AsyncFnOnce(There)) {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async { test(There::connect(&server).await).await });
}

/// A limit that is refilled by `rate` in a microsecond.
fn limit(name: &str, rate: u64, capacity: u64) -> Limit {
    let limit = Limit::try_new(name, Dimension::REQUESTS, rate, Duration::from_micros(1)).expect("it makes sense");
    limit.burst(capacity).expect("not zero")
}

fn limits<const N: usize>(all: [Limit; N]) -> Limits {
    Limits::try_new(all).expect("they differ in name")
}

fn exact(limits: &Limits) -> &Exact {
    limits.exact().expect("they can be shared")
}

fn parts(first: &[i64]) -> Parts {
    let mut parts = Parts::default();
    parts[..first.len()].copy_from_slice(first);
    parts
}

fn take(needs: &[i64]) -> Change {
    Change::Take(parts(needs), Parts::default())
}

#[test]
fn replicas_that_differ_in_their_limits_lose_nothing_that_was_used() {
    const RATES: [u64; 3] = [1, 7, 3];
    const CAPACITY: i64 = 100_000;
    run(async |there| {
        let name = |at: usize| ["a", "b", "c"][at];
        let of = |all: &[usize]| {
            Limits::try_new(all.iter().map(|&at| limit(name(at), RATES[at], 100_000))).expect("they differ in name")
        };
        // One of them knows all, two know other ones, and one knows them in another order.
        let views: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[2], &[2, 0]];
        let replicas = views.map(|view| (view, of(view)));
        let (mut missing, mut now, mut rng) = ([0_i64; 3], NOW, StdRng::seed_from_u64(20_261_122));
        let (mut taken, mut refused) = (0, 0);
        for step in 0..5_000 {
            let passed = rng.random_range(0..6_000);
            now += passed;
            missing.iter_mut().zip(RATES).for_each(|(level, rate)| *level = (*level - passed * rate as i64).max(0));
            let (view, limits) = &replicas[rng.random_range(0..4)];
            let needs: Vec<i64> = view.iter().map(|_| rng.random_range(0..30_000)).collect();
            let fits = view.iter().zip(&needs).all(|(&at, need)| missing[at] + need <= CAPACITY);
            if fits {
                view.iter().zip(&needs).for_each(|(&at, need)| missing[at] += need);
            }
            let told = there.apply(limits, take(&needs), now).await;
            let seen: Vec<i64> = view.iter().map(|&at| missing[at]).collect();
            assert_eq!((told.done, &told.missing[..view.len()]), (fits, &seen[..]), "{step}: {view:?} {needs:?}");
            if fits { taken += 1 } else { refused += 1 }
        }
        assert!(taken > 1_000 && refused > 500, "{taken} {refused}");
    });
}

#[test]
fn limits_that_nobody_has_any_more_go_when_they_are_refilled() {
    run(async |there| {
        let (old, new) = (limits([limit("a", 2, 1_000), limit("b", 1, 1_000)]), limits([limit("c", 1, 1_000)]));
        there.apply(&old, take(&[500, 900]), NOW).await;
        assert_eq!(there.apply(&new, take(&[10]), NOW + 800).await.missing, parts(&[10]));
        assert_eq!(there.apply(&old, take(&[0, 0]), NOW + 800).await.missing, parts(&[0, 100]));
        assert_eq!(there.apply(&new, take(&[10]), NOW + 805).await.missing, parts(&[15]));
        there.apply(&new, take(&[1_000]), NOW + 2_000).await;
        let kept: Vec<u8> = there.redis.query(redis::cmd("GET").arg(KEY)).await.expect("it is there");
        assert!(kept.starts_with(b"requests:c/1/1\n") && kept.len() == 15 + 24, "{kept:?}");
    });
}

#[test]
fn no_more_levels_of_other_limits_are_kept_than_one_key_may_have() {
    run(async |there| {
        for round in 0..30 {
            let many = (0..Limits::MOST).map(|at| limit(&format!("{round}-{at}"), 1, 1_000_000));
            let many = Limits::try_new(many).expect("as many as are allowed");
            there.apply(&many, take(&[1_000; Limits::MOST]), NOW).await;
        }
        let kept: Vec<u8> = there.redis.query(redis::cmd("GET").arg(KEY)).await.expect("it is there");
        let names = kept.split(|byte| *byte == b'\n').next().expect("names come first");
        assert_eq!(names.split(|byte| *byte == b' ').count(), 2 * Limits::MOST);
    });
}

#[test]
fn what_the_script_did_not_write_counts_as_nothing_and_is_written_over() {
    run(async |there| {
        let limits = limits([limit("a", 1, 1_000), limit("b", 1, 1_000)]);
        let layout = exact(&limits).layout.clone().into_bytes();
        let with = |names: &[u8], numbers: &[f64]| {
            let mut value = names.to_vec();
            numbers.iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
            value
        };
        let (now, nan, inf) = (NOW as f64, f64::NAN, f64::INFINITY);
        let mut beyond = layout.clone();
        pack(&mut beyond, [NOW, 0, 0, 0, 999]);
        let values = [
            Vec::new(),
            b"x".to_vec(),
            b"\n".to_vec(),
            vec![b'/'; 100_000],
            b"1/1/1".repeat(1_000),
            layout.clone(),
            beyond,
            with(&layout, &[nan, nan, nan, nan]),
            with(&layout, &[now, nan, -inf, -999.0]),
            with(&layout, &[inf, 0.0, 999.0, 999.0]),
            with(&layout, &[-inf, 0.0, 999.0, 999.0]),
            with(&layout, &[1e300, 0.0, 0.0, 0.0]),
            with(b"requests:b/1/1\n", &[nan, nan, nan]),
            with(b"requests:z/1/0 requests:b/0/1\n", &[now, 0.0, inf, 0.0]),
            with(b"requests:z/1/1 requests:a/1/1\n", &[now, nan, inf, nan]),
        ];
        for (at, value) in values.into_iter().enumerate() {
            there.put(&value).await;
            // The first two numbers of what is left over may be of use, so that a microsecond is let pass.
            let told = there.apply(&limits, take(&[10, 20]), NOW + 1_000).await;
            assert_eq!((told.done, told.missing), (true, parts(&[10, 20])), "{at}");
            assert!(there.lives().await > 0, "{at}: it is kept for ever");
            let told = there.apply(&limits, take(&[10, 20]), NOW + 1_001).await;
            assert_eq!(told.missing, parts(&[19, 39]), "{at}: and the time goes on");
        }
    });
}

#[test]
fn the_time_to_live_is_written_anew_before_it_is_over() {
    run(async |there| {
        let limits = limits([limit("a", 1, 1_000_000_000)]);
        let mut now = NOW;
        there.apply(&limits, take(&[1_000_000]), now).await;
        let first = there.lives().await;
        assert!((3_590_000..=3_601_100).contains(&first), "a second, and an hour that tests have: {first}");
        // For an hour nothing needs to be written.
        now += 1_800_000_000;
        there.apply(&limits, take(&[1_000_000]), now).await;
        assert!(there.lives().await <= first);
        there.apply(&limits, take(&[900_000_000]), now).await;
        let later = there.lives().await;
        assert!(later <= first, "{later}");
        there.apply(&limits, take(&[90_000_000]), now + 1_800_000_000).await;
        let later = there.lives().await;
        assert!((3_680_000..=3_691_100).contains(&later), "90 s, and the hour: {later}");
    });
}
