//! Tests of the store.

use std::hash::Hasher as _;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{Shape, ask::Asking};

const KIB: usize = 1_024;
const HOUR: Duration = Duration::from_secs(3_600);
const SPAN: Span = Span { fresh: HOUR, while_revalidate: HOUR, if_error: HOUR };

fn bounds() -> Bounds {
    Bounds { bytes: 256 * KIB, entries: 1_000, entry_bytes: 64 * KIB, tenant_bytes: 256 * KIB, marks: 100 }
}

fn question(tenant: &str, number: u64) -> Asked {
    Asking::new(Mark::tenant(tenant)).question(|_| {}, |hasher| hasher.write_u64(number), None)
}

fn answer(bytes: usize) -> Arc<Stored> {
    Arc::new(Stored {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        shape: Shape::default(),
        body: Bytes::from(vec![b'x'; bytes]),
        parts: Box::default(),
        usage: None,
    })
}

fn add(store: &mut Store, question: &Asked, bytes: usize, now: Instant) -> Result<u64, NotKept> {
    let born = store.epochs.now();
    store.insert(question, answer(bytes), born, SPAN, now)
}

#[test]
fn a_million_prompts_take_no_more_than_was_allowed() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    let mut rng = StdRng::seed_from_u64(7);
    let tenants = ["a", "b", "c"].map(Mark::tenant);
    for number in 0..1_000_000_u64 {
        let asking = Asking::new(tenants[rng.random_range(0..3)]);
        let q = asking.question(|_| {}, |hasher| hasher.write_u64(number), None);
        add(&mut store, &q, rng.random_range(0..2_000), now).expect("it fits");
        assert!(store.bytes() <= 256 * KIB && store.len() <= 1_000);
    }
    assert!(store.slots.len() <= 1_001 && store.ghosts.order.len() <= 1_024 && store.ghosts.keys.len() <= 1_024);
    assert!(store.small.tickets.len() + store.main.tickets.len() <= 2 * 1_000 + 130);
    assert!(store.tallies.queued() <= 2 * 1_000 + 100, "{}", store.tallies.queued());
}

#[test]
fn what_is_asked_for_again_outlives_what_is_not() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    for number in 0..20 {
        add(&mut store, &question("t", number), KIB, now).expect("it fits");
        assert!(store.find(&question("t", number).key, now).is_some());
    }
    for number in 1_000..11_000 {
        add(&mut store, &question("t", number), KIB, now).expect("it fits");
    }
    let left = (0..20).filter(|number| store.find(&question("t", *number).key, now).is_some()).count();
    assert_eq!(left, 20, "ten thousand that came once do not push them out");
}

#[test]
fn what_comes_back_soon_after_it_went_stays() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    let first = question("t", 0);
    for number in 0..1_000 {
        add(&mut store, &question("t", number), KIB, now).expect("it fits");
    }
    assert!(store.find(&first.key, now).is_none());
    // It went long ago, and is remembered only among the last.
    let gone = (0..1_000).rev().map(|number| question("t", number)).find(|q| store.ghosts.keys.contains(&q.key));
    let gone = gone.expect("some went");
    add(&mut store, &gone, KIB, now).expect("it fits");
    for number in 2_000..2_500 {
        add(&mut store, &question("t", number), KIB, now).expect("it fits");
    }
    assert!(store.find(&gone.key, now).is_some());
}

#[test]
fn a_tenant_takes_from_its_own_share_only() {
    let mut store = Store::new(Bounds { tenant_bytes: 32 * KIB, ..bounds() });
    let now = Instant::now();
    for number in 0..5 {
        add(&mut store, &question("quiet", number), KIB, now).expect("it fits");
    }
    for number in 0..10_000 {
        add(&mut store, &question("loud", number), KIB, now).expect("it fits");
        assert!(store.tallies.bytes(&Mark::tenant("loud")) <= 32 * KIB);
    }
    assert!((0..5).all(|number| store.find(&question("quiet", number).key, now).is_some()));
    assert!(store.find(&question("loud", 9_999).key, now).is_some());
    assert_eq!(add(&mut store, &question("loud", 1), 40 * KIB, now), Err(NotKept::TooLarge));
}

#[test]
fn what_is_forgotten_is_not_found_and_what_was_under_way_is_not_kept() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    let tagged = |number| question("t", number).marked(Mark::tag("prices")).marked(Mark::model("m"));
    for mark in [Mark::tag("prices"), Mark::model("m"), Mark::tenant("t")] {
        add(&mut store, &tagged(1), 10, now).expect("it fits");
        add(&mut store, &question("u", 1), 10, now).expect("it fits");
        let begun = store.epochs.now();
        store.epochs.forget(mark);
        assert!(store.find(&tagged(1).key, now).is_none());
        assert!(store.find(&question("u", 1).key, now).is_some());
        assert_eq!(store.insert(&tagged(1), answer(10), begun, SPAN, now), Err(NotKept::Forgotten));
    }
    add(&mut store, &tagged(1), 10, now).expect("it fits");
    assert!(store.forget(&tagged(1).key) && !store.forget(&tagged(1).key));
    store.epochs.forget_all();
    assert!(store.find(&question("u", 1).key, now).is_none());
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

#[test]
fn a_hit_does_not_make_an_answer_younger() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    let q = question("t", 1);
    add(&mut store, &q, 10, now).expect("it fits");
    for minutes in 0..60 {
        let age = Duration::from_secs(60 * minutes);
        assert_eq!(store.find(&q.key, now + age).expect("it is fresh").age, age);
    }
    assert!(store.find(&q.key, now + HOUR).is_none());
    assert_eq!(store.len(), 0);
}

#[test]
fn one_at_a_time_fetches_anew() {
    let (mut store, now) = (Store::new(bounds()), Instant::now());
    let q = question("t", 1);
    let later = now + Duration::from_secs(60);
    assert!(!store.renews(&q.key, later, now), "there is nothing to renew");
    add(&mut store, &q, 10, now).expect("it fits");
    assert!(store.renews(&q.key, later, now) && !store.renews(&q.key, later, now));
    assert!(store.renews(&q.key, later + HOUR, later), "the first one was not heard of any more");
    store.renewed(&q.key);
    assert!(store.renews(&q.key, later, now));
}

proptest! {
    #[test]
    fn what_is_counted_is_what_is_there(steps in prop::collection::vec((0..4_u8, 0..60_u64, 0..9_000_usize), 1..300)) {
        let small = Bounds { bytes: 32 * KIB, entries: 20, entry_bytes: 16 * KIB, tenant_bytes: 20 * KIB, marks: 4 };
        let (mut store, now) = (Store::new(small), Instant::now());
        for (step, number, bytes) in steps {
            let q = question(["a", "b"][(number % 2) as usize], number);
            match step {
                0 | 1 => drop(add(&mut store, &q, bytes, now)),
                2 => drop(store.find(&q.key, now)),
                _ => drop(store.forget(&q.key)),
            }
            let there = store.slots.iter().filter_map(|slot| slot.entry.as_ref());
            let sums = there.fold((0, 0), |(n, sum), entry| (n + 1, sum + entry.weight));
            prop_assert_eq!(sums, (store.len(), store.bytes()));
            prop_assert_eq!(store.small.entries + store.main.entries, store.len());
            let tenants = ["a", "b"].map(|t| store.tallies.bytes(&Mark::tenant(t)));
            prop_assert_eq!(tenants[0] + tenants[1], store.bytes());
            prop_assert!(store.bytes() <= small.bytes && store.len() <= 20 && tenants.iter().all(|t| *t <= small.tenant_bytes));
        }
    }
}
