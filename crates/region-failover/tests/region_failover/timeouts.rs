//! Attempts that take too long.

use std::time::Duration;

use buttress_core::CallContext;
use buttress_testkit::{Reply, Script, read, send};
use tokio_test::{assert_pending, assert_ready_ok};

use super::{HOUR, asked, begin, failover, get, ms, n, over, post, served_by, timed, trail, with_context};

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_left_at_exactly_its_time() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    let (mut service, _handle) = over(&layer, [Reply::ok().hanging(), Reply::ok().after(ms(5))]);
    let (response, took) = timed(send(&mut service, get())).await;
    let response = response.unwrap();
    assert_eq!((took, served_by(&response)), (ms(2_005), Some("west")));
    assert_eq!(trail(&response), "east;timeout;2000ms, west;200;5ms");
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_are_given_by_default() {
    let (mut service, _handle) = over(&failover("east west"), [Reply::ok().hanging()]);
    assert_eq!(timed(send(&mut service, get())).await.1, ms(30_000));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_bring_a_time_of_its_own() {
    for own in [500, 9_000] {
        let context = CallContext::new(n(3));
        context.set_attempt_timeout(ms(own));
        let layer = failover("east west").attempt_timeout(ms(2_000));
        let (mut service, _handle) = over(&layer, [Reply::ok().hanging()]);
        assert_eq!(timed(send(&mut service, with_context(&context))).await.1, ms(own));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_last_moment_counts() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    for (after, by) in [(1_999, "east"), (2_000, "east"), (2_001, "west")] {
        let (mut service, _handle) = over(&layer, [Reply::ok().after(ms(after))]);
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!(served_by(&response), Some(by), "after {after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_given_up_is_dropped_before_the_next_begins() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    let (mut service, handle) = over(&layer, [Reply::ok().hanging(), Reply::ok().hanging()]);
    handle.limit(1);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    tokio::time::advance(ms(2_000)).await;
    assert!(call.is_woken(), "the time is over and nobody was told");
    assert_pending!(call.poll());
    assert_eq!((asked(&handle).as_str(), handle.futures(), handle.permits()), ("east west", 1, 1));
    handle.release();
    assert!(call.is_woken());
    assert_eq!(served_by(&assert_ready_ok!(call.poll())), Some("west"));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_inner_service_counts_too() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    let (mut service, handle) = over(&layer, []);
    handle.be_unready();
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    tokio::time::advance(ms(2_000)).await;
    assert_pending!(call.poll());
    tokio::time::advance(ms(1_000)).await;
    handle.be_ready();
    assert!(call.is_woken(), "the inner service is ready and nobody was told");
    let response = assert_ready_ok!(call.poll());
    assert_eq!((trail(&response).as_str(), handle.calls()), ("east;timeout;2000ms, west;200;1000ms", 1));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_the_whole_time() {
    let layer = failover("a b c d").attempt_timeout(ms(1_000));
    let (mut service, _handle) = over(&layer, [800, 900].map(|after| Reply::status(503).after(ms(after))));
    let (response, took) = timed(send(&mut service, get())).await;
    assert_eq!((served_by(&response.unwrap()), took), (Some("c"), ms(1_700)));
}

#[tokio::test(start_paused = true)]
async fn when_all_hang_the_layer_answers_for_them() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::ok().hanging());
    let (response, took) = timed(send(&mut service, get())).await;
    let response = response.unwrap();
    assert_eq!((response.status().as_u16(), took, served_by(&response)), (503, ms(4_000), None));
    drop(service);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_lone_target_that_hangs_gave_no_answer_to_quote() {
    let (mut service, _handle) = over(&failover("east"), [Reply::ok().hanging()]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), served_by(&response)), (503, None));
    assert_eq!(trail(&response), "east;timeout;30000ms");
}

#[tokio::test(start_paused = true)]
async fn work_that_may_have_begun_is_not_given_to_another_when_time_is_over() {
    let (mut service, handle) = over(&failover("east west"), [Reply::ok().hanging()]);
    let response = send(&mut service, post()).await.unwrap();
    assert_eq!((response.status().as_u16(), asked(&handle).as_str()), (503, "east"));
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_answer_is_not_timed() {
    let layer = failover("east west").attempt_timeout(ms(2_000));
    let (mut service, handle) = over(&layer, [Reply::ok().body(Script::new().data("a").hangs().data("b"))]);
    let response = send(&mut service, get()).await.unwrap();
    tokio::time::advance(HOUR).await;
    handle.bodies().release();
    let bodies = handle.bodies().clone();
    let (received, ()) = tokio::join!(read(response.into_body()), async move {
        tokio::task::yield_now().await;
        bodies.release();
    });
    assert_eq!(received.bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_time_of_zero_lets_only_ready_answers_through() {
    let layer = failover("east west").attempt_timeout(Duration::ZERO);
    let (mut service, handle) = over(&layer, [Reply::ok().hanging()]);
    let (response, took) = timed(send(&mut service, get())).await;
    assert_eq!((served_by(&response.unwrap()), took), (Some("west"), ms(0)));
    assert_eq!(asked(&handle), "east west");
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_overflows_nothing() {
    let layer = failover("east west").attempt_timeout(Duration::MAX);
    let (mut service, handle) = over(&layer, [Reply::ok().hanging()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    tokio::time::advance(HOUR * 23).await;
    assert_pending!(call.poll());
    handle.release();
    assert_eq!(served_by(&assert_ready_ok!(call.poll())), Some("east"));
}
