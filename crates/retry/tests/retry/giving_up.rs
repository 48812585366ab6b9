//! What the caller is told when there is no further attempt.

use buttress_core::{CallContext, Class, Outcome, RetryHint, Verdict};
use buttress_retry::{Budget, Policy, RetryLayer, Share};
use buttress_testkit::{Reply, ScriptedBody, send};
use http::Response;

use super::{Probed, get, ms, n, over, post, retry};

/// The answer to `request` at an upstream that gives `reply` for ever.
async fn answer(
    layer: RetryLayer<buttress_core::Http>,
    reply: Reply,
    request: http::Request<buttress_core::Payload>,
) -> Response<ScriptedBody> {
    let (mut service, handle): (Probed, _) = over(&layer, []);
    handle.always(reply);
    send(&mut service, request).await.expect("the upstream answers")
}

fn words(response: &Response<ScriptedBody>) -> [Option<&str>; 2] {
    ["x-should-retry", "retry-after"]
        .map(|name| response.headers().get(name).map(|value| value.to_str().expect("visible ASCII")))
}

/// A failure whose hint is not in `Retry-After`.
fn failure() -> Reply {
    Reply::status(503).header("retry-after-ms", "1200")
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_enough_or_cannot_be_tried_says_so_and_for_how_long() {
    let mut last = get();
    last.extensions_mut().insert(CallContext::new(n(1)));
    let none = Budget::rate(Share::percent(0), 0, ms(1_000));
    for (layer, request) in
        [(retry(), get()), (retry(), last), (retry().budget(none), get()), (retry().deadline(ms(1_000)), get())]
    {
        let response = answer(layer, failure(), request).await;
        assert_eq!(words(&response), [Some("false"), Some("2")], "rounded up, never down");
        assert_eq!(response.headers()["retry-after-ms"], "1200");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_there_is_nothing_to_say_about_the_time() {
    assert_eq!(words(&answer(retry(), Reply::status(503), get()).await), [Some("false"), None]);
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_retry_after_is_kept() {
    let own = failure().header("retry-after", "9");
    assert_eq!(words(&answer(retry(), own.clone(), get()).await), [Some("false"), Some("9")]);
    assert_eq!(words(&answer(retry().max_hint(ms(1)), own, get()).await), [None, Some("9")]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_yes_is_overruled_by_a_layer_that_has_tried() {
    let willing = failure().header("x-should-retry", "true");
    assert_eq!(words(&answer(retry(), willing, get()).await), [Some("false"), Some("2")]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_too_long_for_us_may_suit_the_caller() {
    let response = answer(retry().max_hint(ms(1_000)), failure(), get()).await;
    assert_eq!(words(&response), [None, Some("2")]);
    let class = Class::new(Verdict::RateLimited, Outcome::Word("read")).with_hint(RetryHint::after(ms(90_500)));
    let response = answer(retry(), Reply::status(429).extension(class), get()).await;
    assert_eq!(words(&response), [None, Some("91")], "also where the hint was not in a header");
}

#[tokio::test(start_paused = true)]
async fn what_is_for_the_caller_to_judge_is_left_as_it_came() {
    let mut marked = get();
    marked.headers_mut().insert("x-attempt", "2".parse().unwrap());
    let mut never = get();
    never.extensions_mut().insert(Policy::never());
    for (layer, reply, request) in [
        (retry(), failure(), post()),
        (retry(), Reply::status(404).header("retry-after-ms", "1200"), get()),
        (retry(), failure(), marked),
        (retry(), failure(), never),
        (retry().attempts(n(1)), failure(), get()),
    ] {
        let response = answer(layer, reply, request).await;
        assert_eq!((words(&response), response.headers().len()), ([None, None], 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_after_retries_says_nothing() {
    let (mut service, _handle) = over(&retry(), [failure(), failure()]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((words(&response), response.headers().len()), ([None, None], 0));
}
