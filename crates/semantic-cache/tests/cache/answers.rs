//! Which answers are kept, and how they are given again.

use std::num::NonZeroUsize;

use buttress_core::{AnswerReport, Class, Outcome, StreamFailure, Usage, Verdict};
use buttress_semantic_cache::{Bypass, CacheOutcome, Key, Mark, Pace, Unfit};
use tokio::time::Instant;

use super::*;

const fn n(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_part_for_part() {
    let bench = Bench::new();
    let script = Script::new().data("data: a\n\n").yields().data("data: b\n\n").data("data: c\n\n").late();
    let reply = Reply::ok().header("content-type", "text/event-stream").header("x-kept", "1");
    bench.probe.next(reply.header("x-request-id", "7").header("connection", "close").body(script));
    let first = bench.ask("q", "").await;
    tokio::time::advance(Duration::from_secs(90)).await;
    let again = bench.ask("q", "").await;
    assert_eq!((first.cache(), first.header("cache-status")), ("miss", "buttress-cache; fwd=miss"));
    assert_eq!(again.header("cache-status"), "buttress-cache; hit; ttl=3510; detail=exact");
    assert_eq!((again.cache(), again.header("age"), again.header("x-kept")), ("hit", "90", "1"));
    assert_eq!((again.header("x-request-id"), again.header("connection")), ("", ""));
    assert_eq!(again.body.data, first.body.data);
    assert_eq!(again.head.extensions.get(), Some(&CacheOutcome::Hit));
    let report = again.head.extensions.get::<AnswerReport>().expect("it tells what it cost");
    assert_eq!(report.usage(), Some(Usage::default()), "nothing, this time");
    assert_eq!(bench.probe.calls(), 1);
    let counts = bench.cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.stored, counts.entries), (1, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_given_again_as_fast_as_it_came() {
    let bench = Bench::with(|layer| layer.pace(Pace::Recorded));
    let script = Script::new().data("data: a\n\n").hangs().data("data: b\n\n");
    bench.probe.next(Reply::ok().header("content-type", "text/event-stream").body(script));
    let response = bench.head(request("t", "q", "")).await;
    let reader = read(response.into_body());
    let slow = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        bench.probe.bodies().release();
    };
    tokio::join!(reader, slow);
    let begun = Instant::now();
    assert_eq!(bench.ask("q", "").await.text(), "data: a\n\ndata: b\n\n");
    assert_eq!((Instant::now() - begun).as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_read_to_its_end_is_not_kept() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().body(Script::new().data("a").hangs().data("b")));
    let mut body = Box::pin(bench.head(request("t", "q", "")).await.into_body());
    let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await;
    assert!(frame.is_some());
    drop(body);
    drop(bench.head(request("t", "q", "")).await);
    assert_eq!((bench.probe.calls(), bench.cache.unfit_for(Unfit::Aborted), bench.cache.counts().entries), (2, 2, 0));
    bench.probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_is_too_long_or_in_a_form_that_is_not_kept_is_not_kept() {
    let told = |class: Class| {
        let report = AnswerReport::default();
        report.conclude(class);
        says("a").extension(report)
    };
    let failed = Class::new(Verdict::Transient, Outcome::Word("empty"));
    for (reply, unfit) in [
        (Reply::status(429), Unfit::Failure),
        (Reply::status(500), Unfit::Failure),
        (Reply::status(204), Unfit::Failure),
        (Reply::status(206), Unfit::Failure),
        (says("a").extension(failed), Unfit::Failure),
        (told(StreamFailure::truncated().class()), Unfit::Truncated),
        (told(StreamFailure::too_slow().class()), Unfit::Truncated),
        (told(failed), Unfit::Failure),
        (Reply::ok().body(Script::new().data("a").error("reset")), Unfit::Truncated),
        (Reply::ok().body(Script::new().data("a").announcing(5)), Unfit::Truncated),
        (Reply::ok().body(Script::new().data("a").trailer("x-t", "1")), Unfit::Form),
        (says("a").header("content-encoding", "gzip"), Unfit::Form),
        (Reply::ok().body(Script::new().data(vec![b'x'; 2_000]).late()), Unfit::TooLarge),
        (Reply::ok().body(Script::new().data(vec![b'x'; 2_000]).sized()), Unfit::TooLarge),
        (Reply::ok().body((0..200).fold(Script::new(), |script, _| script.data("x"))), Unfit::TooLarge),
    ] {
        let bench = Bench::with(|layer| layer.max_entry_bytes(n(1_500)));
        bench.probe.always(reply);
        bench.ask("q", "").await;
        bench.ask("q", "").await;
        assert_eq!((bench.probe.calls(), bench.cache.unfit_for(unfit)), (2, 2), "{unfit:?}");
        assert_eq!(bench.cache.counts().entries, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_too_slowly_is_not_kept() {
    let bench = Bench::with(|layer| layer.max_time(Duration::from_secs(5)));
    bench.probe.next(Reply::ok().body(Script::new().data("a").hangs().data("b")));
    let response = bench.head(request("t", "q", "")).await;
    let slow = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        bench.probe.bodies().release();
    };
    let (received, ()) = tokio::join!(read(response.into_body()), slow);
    assert_eq!(received.bytes(), "ab");
    assert_eq!(bench.cache.unfit_for(Unfit::Slow), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_nobody_is_left_alone_and_tenants_do_not_share() {
    let bench = Bench::new();
    bench.probe.always(says("a"));
    let mut nobody = request("t", "q", "");
    nobody.headers_mut().remove("x-tenant");
    let answer = bench.send(nobody).await;
    assert_eq!(answer.header("cache-status"), "buttress-cache; fwd=bypass; detail=no-tenant");
    assert_eq!(bench.cache.bypassed_for(Bypass::NoTenant), 1);
    for tenant in ["a", "b", "A", "a "] {
        assert_eq!(bench.send(request(tenant, "q", "")).await.cache(), "miss", "{tenant}");
        assert_eq!(bench.send(request(tenant, "q", "")).await.cache(), "hit", "{tenant}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_forgotten_by_key_tag_tenant_and_all_at_once() {
    let bench = Bench::new();
    bench.probe.always(says("a"));
    let tagged = || {
        let mut request = request("t", "q", "");
        request.headers_mut().insert("x-cache-tags", "prices, , news".parse().expect("a value"));
        request
    };
    let key = *bench.send(tagged()).await.head.extensions.get::<Key>().expect("its key is told");
    let forgets: [&dyn Fn(); 5] = [
        &|| assert!(bench.cache.forget(key)),
        &|| bench.cache.forget_all_of(Mark::tag("news")),
        &|| bench.cache.forget_all_of(Mark::tag("prices")),
        &|| bench.cache.forget_all_of(Mark::tenant("t".as_bytes())),
        &|| bench.cache.forget_everything(),
    ];
    for forget in forgets {
        assert_eq!(bench.send(tagged()).await.cache(), "hit");
        forget();
        assert_eq!(bench.send(tagged()).await.cache(), "miss");
    }
    bench.cache.forget_all_of(Mark::tag("sports"));
    bench.cache.forget_all_of(Mark::tenant("u".as_bytes()));
    assert_eq!(bench.send(tagged()).await.cache(), "hit");
}

#[tokio::test(start_paused = true)]
async fn a_hit_needs_nothing_of_the_inner_service() {
    let bench = Bench::new();
    bench.probe.next(says("a"));
    bench.ask("q", "").await;
    bench.probe.be_unready();
    assert_eq!(bench.ask("q", "").await.cache(), "hit");
    assert_eq!(bench.probe.permits(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_what_is_asked_or_answered_is_traced() {
    let guard = buttress_testkit::TraceGuard::new();
    let bench = Bench::new();
    bench.probe.always(says("the-secret-answer"));
    bench.ask("the-secret-question", "").await;
    bench.ask("the-secret-question", "").await;
    bench.ask("the-secret-question", "no-store").await;
    let debug = format!("{:?}", bench.service);
    guard.assert_hides(&["the-secret"]);
    assert!(!guard.lines().is_empty());
    assert!(!debug.contains("the-secret"));
}

mod with_coalesce_in_front {
    use buttress_coalesce::{ByHeader, CoalesceLayer};
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hundred_at_once_cost_one_call_and_one_place() {
        let bench = Bench::new();
        let script = Script::new().data("data: a\n\n").yields().data("data: b\n\n");
        let reply = Reply::ok().header("content-type", "text/event-stream").body(script);
        bench.probe.next(reply.after(Duration::from_millis(200)));
        let coalesce = CoalesceLayer::new(ByHeader::new(HeaderName::from_static("x-tenant")));
        let service = coalesce.layer(bench.service.clone());
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let mut service = service.clone();
            callers.spawn(async move {
                let response = service.call(request("t", "q", "")).await.expect("it is answered");
                read(response.into_body()).await.bytes()
            });
        }
        while let Some(bytes) = callers.join_next().await {
            assert_eq!(bytes.expect("no caller panics"), "data: a\n\ndata: b\n\n");
        }
        let counts = bench.cache.counts();
        assert_eq!((bench.probe.calls(), counts.misses, counts.stored, counts.entries), (1, 1, 1, 1));
        assert_eq!(bench.ask("q", "").await.cache(), "hit");
    }
}
