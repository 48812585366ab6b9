//! Answers that are fresh no more.

use buttress_semantic_cache::{CacheOutcome, Miss};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn kept(freshness: Freshness) -> Bench {
    let bench = Bench::with(|layer| layer.freshness(freshness.jitter_percent(0)));
    bench.probe.next(says("old"));
    bench.ask("q", "").await;
    tokio::time::advance(MINUTE).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_at_once_while_one_call_fetches_a_new_one() {
    let bench = kept(Freshness::lasting(MINUTE).stale_while_revalidate(MINUTE)).await;
    bench.probe.next(says("new").after(Duration::from_secs(1)));
    for _ in 0..10 {
        let stale = bench.ask("q", "").await;
        assert_eq!((stale.cache(), stale.text(), stale.header("age")), ("stale", "old".into(), "60"));
        assert_eq!(stale.header("cache-status"), "buttress-cache; hit; ttl=0; detail=stale-while-revalidate");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    settle(&bench.cache).await;
    let new = bench.ask("q", "").await;
    assert_eq!((new.cache(), new.text()), ("hit", "new".into()));
    let counts = bench.cache.counts();
    assert_eq!((bench.probe.calls(), counts.renewed, counts.stale), (2, 1, 10));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_background_that_fails_leaves_the_old_answer_and_is_made_again() {
    let bench = kept(Freshness::lasting(MINUTE).stale_while_revalidate(HOUR)).await;
    bench.probe.next(Reply::status(500));
    bench.probe.next(Reply::error("reset"));
    bench.probe.next(says("new"));
    for _ in 0..3 {
        assert_eq!(bench.ask("q", "").await.text(), "old");
        settle(&bench.cache).await;
    }
    assert_eq!(bench.ask("q", "").await.text(), "new");
}

#[tokio::test(start_paused = true)]
async fn what_is_done_in_the_background_is_bounded_in_number_and_time() {
    let bench = Bench::with(|layer| {
        let freshness = Freshness::lasting(MINUTE).jitter_percent(0).stale_while_revalidate(HOUR);
        layer.freshness(freshness).background(2, Duration::from_secs(5))
    });
    bench.probe.always(says("old"));
    for question in ["a", "b", "c"] {
        bench.ask(question, "").await;
    }
    tokio::time::advance(MINUTE).await;
    bench.probe.always(Reply::ok().hanging());
    for question in ["a", "b", "c"] {
        assert_eq!(bench.ask(question, "").await.cache(), "stale");
    }
    tokio::task::yield_now().await;
    let counts = bench.cache.counts();
    assert_eq!((counts.renewed, counts.not_renewed, bench.cache.in_background()), (2, 1, 2));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.cache.in_background(), 0);
    bench.probe.assert_idle();
    assert_eq!(bench.ask("a", "").await.cache(), "stale");
    assert_eq!(bench.cache.counts().renewed, 3, "what hung is tried again");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_answered_with_the_old_answer_and_said_so() {
    for (failure, status) in [
        (Reply::status(503), "; fwd-status=503"),
        (Reply::status(429), "; fwd-status=429"),
        (Reply::status(401), "; fwd-status=401"),
        (Reply::error("reset"), ""),
    ] {
        let bench = kept(Freshness::lasting(MINUTE).stale_if_error(MINUTE)).await;
        bench.probe.always(failure.clone());
        let old = bench.ask("q", "").await;
        let expected = format!("buttress-cache; hit; fwd=stale{status}; ttl=0; detail=stale-if-error");
        assert_eq!((old.head.status.as_u16(), old.text(), old.header("cache-status")), (200, "old".into(), &*expected));
        assert!(matches!(old.head.extensions.get(), Some(CacheOutcome::StaleIfError(_))));
        tokio::time::advance(MINUTE).await;
        let result = bench.service.clone().call(request("t", "q", "")).await;
        assert!(result.is_err() || result.is_ok_and(|response| response.status() != 200), "and not for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_the_callers_own_fault_is_not_covered_up() {
    let bench = kept(Freshness::lasting(MINUTE).stale_if_error(MINUTE)).await;
    bench.probe.always(Reply::status(400));
    assert_eq!(bench.ask("q", "").await.head.status, 400);
    bench.probe.always(Reply::status(503));
    assert_eq!(bench.ask("q", "no-cache").await.head.status, 503, "nor what the caller did not want");
}

#[tokio::test(start_paused = true)]
async fn a_route_says_for_itself_how_long_its_answers_are_good_and_it_is_told_why_they_are_gone() {
    let bench = Bench::new();
    bench.probe.always(says("an answer"));
    let freshness = Freshness::lasting(MINUTE).jitter_percent(0).stale_while_revalidate(MINUTE);
    let ask = async |body: &str| {
        let mut request = request("t", body, "");
        request.extensions_mut().insert(freshness);
        let answer = bench.send(request).await;
        settle(&bench.cache).await;
        answer.cache().to_owned()
    };
    assert_eq!(ask("q").await, "miss");
    tokio::time::advance(MINUTE).await;
    assert_eq!(ask("q").await, "stale");
    tokio::time::advance(2 * MINUTE).await;
    assert_eq!(ask("q").await, "miss");
    assert_eq!(ask("p").await, "miss");
    bench.cache.forget_everything();
    assert_eq!(ask("p").await, "miss");
    let gone = bench.cache.gone();
    assert_eq!((gone.replaced, gone.expired, gone.forgotten, gone.for_room, gone.for_tenant), (1, 1, 1, 0, 0));
    assert_eq!((bench.cache.missed_for(Miss::Absent), bench.cache.counts().misses), (4, 4));
}
