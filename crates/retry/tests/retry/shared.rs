//! What layers share through a request: one allowance, one deadline, one trail.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{Attempt, CallContext, Class, Label, Outcome, Payload, RetryHint, Target, Trail, Verdict};
use buttress_testkit::{Reply, send};
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer as _, service_fn};

use super::{get, ms, n, over, retry, status, timed};

fn with_context(context: &CallContext) -> Request<Payload> {
    let mut request = get();
    request.extensions_mut().insert(context.clone());
    request
}

async fn calls(allowance: u32, request: Request<Payload>) -> usize {
    let (mut service, handle) = over(&retry().attempts(n(4)).allowance(n(allowance)), []);
    handle.always(Reply::status(503));
    assert_eq!(status(&send(&mut service, request).await), 503);
    handle.calls()
}

#[tokio::test(start_paused = true)]
async fn attempts_stay_within_the_allowance() {
    assert_eq!(calls(1, get()).await, 1);
    assert_eq!(calls(2, get()).await, 2);
    assert_eq!(calls(9, get()).await, 4, "and within the layer's own bound");
}

#[tokio::test(start_paused = true)]
async fn the_allowance_of_a_layer_further_out_holds() {
    let context = CallContext::new(n(2));
    assert_eq!(calls(9, with_context(&context)).await, 2);
    assert_eq!(context.attempts_left(), 0);
    assert_eq!(calls(9, with_context(&context)).await, 1, "what is spent is spent");
    assert_eq!(calls(1, with_context(&CallContext::new(n(3)))).await, 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_has_retried_already_is_taken_off() {
    let retried = |count: &str| {
        let mut request = get();
        request.headers_mut().insert("x-stainless-retry-count", count.parse().unwrap());
        request
    };
    assert_eq!(calls(4, retried("0")).await, 4);
    assert_eq!(calls(4, retried("2")).await, 2);
    assert_eq!(calls(4, retried("99")).await, 1);
    assert_eq!(calls(4, retried("many")).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_context_is_created_once_and_every_attempt_finds_it() {
    let (mut service, handle) = over(&retry(), [Reply::status(503), Reply::status(503)]);
    let response = send(&mut service, get()).await.unwrap();
    let contexts = handle.seen().into_iter().map(|seen| seen.extensions.get::<CallContext>().cloned().unwrap());
    let contexts: Vec<_> = contexts.collect();
    assert_eq!(contexts.len(), 3);
    let theirs = response.extensions().get::<CallContext>().unwrap();
    assert_eq!(theirs.attempts_left(), 2);
    assert!(contexts[0].take_attempt() && contexts[2].take_attempt());
    assert_eq!(theirs.attempts_left(), 0, "they are all one");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_has_given_up_is_not_overruled_by_one_around_it() {
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.always(Reply::status(503));
    let layer = || retry().attempts(n(4)).allowance(n(6));
    let mut service = layer().layer(layer().layer(layer().layer(probe)));
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 503);
    assert_eq!(handle.calls(), 4, "not 4 · 4 · 4, and not the whole allowance");
}

#[tokio::test(start_paused = true)]
async fn each_retry_begins_a_new_walk_and_keeps_what_a_layer_further_in_recorded() {
    let east = Target::named("east").unwrap();
    let domain = Label::try_new("east").unwrap();
    let walks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&walks);
    let upstream = service_fn(move |request: Request<Payload>| {
        let context = CallContext::of(&request).expect("the retry made one");
        seen.lock().unwrap().push(context.tried(&domain));
        let status = http::StatusCode::SERVICE_UNAVAILABLE;
        context.record(Attempt::new(Some(east.clone()), Verdict::Transient, Outcome::Status(status), ms(3)));
        ready(Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()))
    });
    let context = CallContext::new(n(9));
    let Ok(_) = send(&mut retry().layer(upstream), with_context(&context)).await;
    assert_eq!(*walks.lock().unwrap(), [false, false, false]);
    let trail = context.with_trail(Trail::to_string);
    assert_eq!(trail, "east;503;3ms, east;503;3ms, east;503;3ms", "no attempt is told twice");
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_deadline() {
    for (deadline, calls) in [(2_000, 1), (2_201, 2)] {
        let context = CallContext::new(n(9));
        context.limit_deadline(Instant::now() + ms(deadline));
        let (mut service, handle) = over(&retry(), [Reply::status(429).header("retry-after", "2")]);
        let (response, took) = timed(send(&mut service, with_context(&context))).await;
        assert_eq!(handle.calls(), calls);
        assert_eq!(calls == 1, took.is_zero(), "who will be too late does not wait");
        assert_eq!(response.unwrap().headers().contains_key("retry-after"), calls == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_wake_at_the_deadline_is_too_late() {
    let exact = Class::new(Verdict::CapacityByDesign, Outcome::Word("full")).with_hint(RetryHint::after(ms(500)));
    for (deadline, calls) in [(500, 1), (501, 2)] {
        let (mut service, handle) = over(&retry().deadline(ms(deadline)), [Reply::status(429).extension(exact)]);
        drop(send(&mut service, get()).await);
        assert_eq!(handle.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_lets_the_first_attempt_answer() {
    let context = CallContext::new(n(9));
    context.limit_deadline(Instant::now());
    let (mut service, handle) = over(&retry(), [Reply::status(503)]);
    assert_eq!(send(&mut service, with_context(&context)).await.unwrap().status(), 503);
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_layers_deadline_counts_from_the_call_and_is_told_to_layers_further_in() {
    let (mut service, handle) = over(&retry().deadline(ms(5_000)), []);
    handle.always(Reply::status(429).header("retry-after", "2").after(ms(500)));
    let began = Instant::now();
    let (_, took) = timed(send(&mut service, get())).await;
    assert_eq!(handle.calls(), 2, "the third would begin after five seconds");
    assert!((3_000..=3_200).contains(&took.as_millis()), "{took:?}");
    let context = handle.seen()[0].extensions.get::<CallContext>().cloned().unwrap();
    assert_eq!(context.deadline(), Some(began + ms(5_000)));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_deadline_holds() {
    for (theirs, ours) in [(1_000, 9_000), (9_000, 1_000)] {
        let context = CallContext::new(n(9));
        let now = Instant::now();
        context.limit_deadline(now + ms(theirs));
        let (mut service, handle) = over(&retry().deadline(ms(ours)), []);
        handle.always(Reply::status(429).header("retry-after", "2"));
        drop(send(&mut service, with_context(&context)).await);
        assert_eq!(handle.calls(), 1);
        assert_eq!(context.deadline(), Some(now + ms(1_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn layers_that_are_cloned_or_used_twice_share_their_dice_and_nothing_else() {
    let sequence = async |uses: &[usize]| {
        let layer = retry().seed(3);
        let copy = layer.clone();
        let made = [over(&layer, []), over(&layer, []), over(&copy, [])];
        made.iter().for_each(|(_, handle)| handle.always(Reply::status(503)));
        let mut waits: Vec<Duration> = Vec::new();
        for used in uses {
            waits.push(timed(send(&mut made[*used].0.clone(), get())).await.1);
        }
        let calls: Vec<_> = made.iter().map(|(_, handle)| handle.calls()).collect();
        (waits, calls)
    };
    let (one_after_the_other, calls) = sequence(&[0, 1, 2]).await;
    let (alone, _) = sequence(&[0, 0, 0]).await;
    assert_eq!(one_after_the_other, alone, "one sequence of draws");
    assert_eq!(calls, [3, 3, 3], "each request has its own attempts");
}

#[tokio::test(start_paused = true)]
async fn a_success_that_a_layer_further_in_retried_keeps_its_marks() {
    let class = Class::new(Verdict::Transient, Outcome::Word("read"));
    let east = buttress_core::ServedBy { target: Target::named("east").unwrap(), model: None };
    let (mut service, _handle) = over(&retry(), [Reply::ok().extension(class), Reply::ok().extension(east.clone())]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&east));
    assert_eq!(response.extensions().get::<CallContext>().map(CallContext::attempts_made), Some(2));
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_at_the_deadline_whatever_is_drawn() {
    let mut retried = 0;
    for seed in 0..500 {
        let (mut service, handle) = over(&retry().seed(seed).deadline(ms(10)), [Reply::status(503)]);
        let (_, took) = timed(send(&mut service, get())).await;
        retried += handle.calls() - 1;
        assert!(took < ms(10), "{seed}: {took:?}");
    }
    assert!(retried > 50, "some waits are short enough");
}
