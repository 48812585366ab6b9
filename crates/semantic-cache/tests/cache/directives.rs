//! What callers can want of the cache.

use buttress_core::{Refusal, RefusalKind};
use buttress_semantic_cache::FreshFor;

use super::*;

async fn kept() -> Bench {
    let bench = Bench::new();
    bench.probe.always(says("a"));
    bench.ask("q", "").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn no_store_neither_reads_nor_keeps() {
    let bench = kept().await;
    assert_eq!(bench.ask("q", "no-store").await.cache(), "bypass");
    assert_eq!(bench.ask("r", "no-store").await.cache(), "bypass");
    assert_eq!(bench.ask("r", "").await.cache(), "miss");
    assert_eq!(bench.ask("q", "").await.header("age"), "60");
}

#[tokio::test(start_paused = true)]
async fn no_cache_fetches_anew_and_keeps_that() {
    let bench = kept().await;
    let anew = bench.ask("q", "no-cache").await;
    assert_eq!((anew.cache(), anew.header("cache-status")), ("miss", "buttress-cache; fwd=request"));
    assert_eq!(bench.ask("q", "").await.header("age"), "0");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_no_older_and_is_fresh_for_as_long_as_is_asked_for() {
    let bench = kept().await;
    for (control, cache) in [
        ("max-age=60", "hit"),
        ("min-fresh=3540", "hit"),
        ("max-age=59", "miss"),
        ("min-fresh=3541", "hit"),
        ("max-age=0", "hit"),
    ] {
        assert_eq!(bench.ask("q", control).await.cache(), cache, "{control}");
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(bench.ask("q", "min-fresh=3541").await.cache(), "miss");
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_is_answered_from_the_cache_or_not_at_all() {
    let bench = kept().await;
    assert_eq!(bench.ask("q", "only-if-cached").await.cache(), "hit");
    for control in ["only-if-cached", "only-if-cached, no-store"] {
        let refused = bench.ask("r", control).await;
        assert_eq!(refused.head.status, 504);
        let refusal = refused.head.extensions.get::<Refusal>().expect("it says why");
        assert_eq!(refusal.kind(), RefusalKind::NotCached);
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    assert_eq!((bench.probe.calls(), bench.cache.counts().refused), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_route_can_say_how_long_its_answers_are_fresh() {
    let bench = Bench::new();
    bench.probe.always(says("a"));
    let brief = || {
        let mut request = request("t", "q", "");
        request.extensions_mut().insert(FreshFor(Duration::from_secs(5)));
        request
    };
    bench.send(brief()).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(bench.send(brief()).await.cache(), "hit");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bench.send(brief()).await.cache(), "miss", "the hit has not made it younger");
}
