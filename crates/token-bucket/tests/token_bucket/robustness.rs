//! Edges of numbers and of the clock.

use std::{num::NonZeroUsize, time::Duration};

use buttress_token_bucket::{ByFn, Costs, Dimension, Limit, Queue, TokenBucketLayer};
use tokio::time::Instant;

use crate::support::{MINUTE, ask, left, n, over_probe, requests, send};

#[tokio::test(start_paused = true)]
async fn the_largest_limits_and_the_largest_costs_do_no_harm() {
    let longest = Duration::from_secs(366 * 86_400);
    for (amount, period) in
        [(u64::MAX, Duration::from_nanos(1)), (u64::MAX, longest), (1, longest), (1, Duration::from_nanos(1))]
    {
        let limit = Limit::try_new("a", Dimension::TOKENS, amount, period).expect("it makes sense").max_debt(u64::MAX);
        let layer = TokenBucketLayer::new(limit).estimate(|_: &_| Costs::tokens(u64::MAX, 0)).queue(Queue::of(n(1)));
        let (service, _probe) = over_probe(&layer);
        let status = send(&service, ask(0, 0)).await.status().as_u16();
        assert_eq!(status, if amount == u64::MAX { 200 } else { 413 });
        let reservation = layer.handle().reserve(layer.handle().fingerprint("a"), Costs::tokens(1, 0), Instant::now());
        reservation.expect("one fits").settle(&Costs::tokens(u64::MAX, u64::MAX), Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_year_that_passes_fills_a_bucket_and_no_more() {
    let layer = TokenBucketLayer::new(requests(3));
    let (service, _probe) = over_probe(&layer);
    for _ in 0..3 {
        drop(send(&service, ask(0, 0)).await);
    }
    tokio::time::advance(Duration::from_secs(366 * 86_400)).await;
    assert_eq!(left(&layer.handle()), [3]);
}

#[tokio::test(start_paused = true)]
async fn times_before_the_layer_was_made_are_its_beginning() {
    let early = Instant::now();
    tokio::time::advance(MINUTE).await;
    let handle = TokenBucketLayer::new(requests(1)).handle();
    let key = handle.fingerprint("a");
    handle.reserve(key, Costs::request(), early).expect("it is full").keep();
    assert!(handle.reserve(key, Costs::request(), early).is_err());
}

#[tokio::test(start_paused = true)]
async fn one_key_is_the_fewest_that_are_kept() {
    let layer = TokenBucketLayer::new(requests(1)).max_keys(NonZeroUsize::MIN).keyed(ByFn(|_: &_| 1));
    let (service, _probe) = over_probe(&layer);
    assert_eq!(send(&service, ask(0, 0)).await.status(), 200);
    assert_eq!(send(&service, ask(0, 0)).await.status(), 429);
    assert_eq!(layer.handle().keys(), 1);
}
