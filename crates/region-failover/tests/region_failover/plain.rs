//! Services without HTTP.

use std::{
    future::{Ready, pending, ready},
    sync::{Arc, Mutex},
};

use buttress_core::{ByClone, ByFn, Class, Outcome, Refusal, RefusalKind, RetryHint, Rewritten, Target, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::send;
use tower::{Layer as _, Service, service_fn};

use super::{ms, n, target, timed};

type Answer = Result<u32, String>;
type Query = (&'static str, u32);
type Asked = Arc<Mutex<Vec<String>>>;

/// Shards that are asked by address, and add one. Some are down, and say why.
fn shards(
    down: &'static [(&'static str, &'static str)],
) -> (impl Service<(String, u32), Response = u32, Error = String, Future = Ready<Answer>> + Clone, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let shards = service_fn(move |(address, number): (String, u32)| {
        let failure = down.iter().find(|(name, _)| address == format!("{name}.local"));
        seen.lock().expect("nothing panics in here").push(address);
        ready(failure.map_or(Ok(number + 1), |(_, why)| Err((*why).to_owned())))
    });
    (shards, asked)
}

fn classify(result: Result<&u32, &String>) -> Class {
    let failed = |verdict| Class::new(verdict, Outcome::Word("plain"));
    match result.map_err(String::as_str) {
        Ok(_) => Class::SUCCESS,
        Err("wrong") => failed(Verdict::CallerFault),
        Err("busy") => failed(Verdict::RateLimited).with_hint(RetryHint::after(ms(3_000))),
        Err(_) => failed(Verdict::Transient),
    }
}

fn address((address, number): (String, u32), target: &Target) -> Result<Rewritten<(String, u32)>, Refusal> {
    assert!(address.is_empty(), "each target gets the request as it came");
    Ok(Rewritten::new((format!("{}.local", target.name()), number)))
}

#[expect(clippy::needless_pass_by_value, reason = "a maker is handed its refusal")]
fn maker(refusal: Refusal) -> Answer {
    Err(format!("{}: {refusal}, {:?}", refusal.kind().code(), refusal.retry_after()))
}

type Shards<R = ByClone> = RegionFailoverLayer<
    R,
    fn((String, u32), &Target) -> Result<Rewritten<(String, u32)>, Refusal>,
    fn(Result<&u32, &String>) -> Class,
    fn(Refusal) -> Answer,
>;

fn failover() -> Shards {
    let targets = ["one", "two", "three"].map(target);
    let layer = RegionFailoverLayer::try_new(targets).expect("names that differ").replay(ByClone);
    layer.rewrite(address as _).classify(classify as _).on_refusal(maker as _)
}

const QUERY: Query = ("", 41);

async fn ask(down: &'static [(&'static str, &'static str)]) -> (Answer, Vec<String>) {
    let (shards, asked) = shards(down);
    let answer = send(&mut failover().layer(shards), (QUERY.0.to_owned(), QUERY.1)).await;
    let asked = asked.lock().expect("nothing panics in here").clone();
    (answer, asked)
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_is_left_for_the_next() {
    let (answer, asked) = ask(&[("one", "broke"), ("two", "busy")]).await;
    assert_eq!((answer, asked), (Ok(42), ["one.local", "two.local", "three.local"].map(String::from).to_vec()));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_target_can_cure_passes_unchanged() {
    let (answer, asked) = ask(&[("one", "broke"), ("two", "wrong")]).await;
    assert_eq!((answer, asked.len()), (Err("wrong".to_owned()), 2));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_service_hears_of_it_in_its_own_words() {
    let (answer, _) = ask(&[("one", "broke"), ("two", "busy"), ("three", "broke")]).await;
    assert_eq!(answer, Err("upstream_unavailable: no target could serve the request, Some(1s)".to_owned()));
    let (answer, _) = ask(&[("one", "busy"), ("two", "busy"), ("three", "busy")]).await;
    assert_eq!(answer, Err("rate_limit_exceeded: every target is over its rate, Some(3s)".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_maker_may_answer_instead() {
    let (shards, _) = shards(&[("one", "broke"), ("two", "broke"), ("three", "broke")]);
    let mut service = failover().on_refusal(|_: Refusal| -> Answer { Ok(0) }).layer(shards);
    assert_eq!(send(&mut service, (String::new(), 1)).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn when_no_target_can_take_the_request_the_service_hears_the_last_reason() {
    let (shards, asked) = shards(&[]);
    let refuse = |_: (String, u32), target: &Target| -> Result<Rewritten<(String, u32)>, Refusal> {
        Err(Refusal::new(RefusalKind::TooLarge, format!("too long for {}", target.name())))
    };
    let mut service = failover().rewrite(refuse).layer(shards);
    let answer = send(&mut service, (String::new(), 1)).await;
    assert_eq!(answer, Err("request_too_large: too long for three, None".to_owned()));
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_left_in_time() {
    let shards = service_fn(async |(address, number): (String, u32)| match address.as_str() {
        "one.local" => pending().await,
        _ => Ok::<_, String>(number + 1),
    });
    let mut service = failover().attempt_timeout(ms(250)).layer(shards);
    assert_eq!(timed(send(&mut service, (String::new(), 1))).await, (Ok(2), ms(250)));
}

#[tokio::test(start_paused = true)]
async fn the_layers_own_allowance_holds_where_a_request_can_carry_none() {
    let (shards, asked) = shards(&[("one", "broke"), ("two", "broke")]);
    let mut service = failover().allowance(n(2)).layer(shards);
    for _ in 0..2 {
        assert!(send(&mut service, (String::new(), 1)).await.is_err());
    }
    assert_eq!(asked.lock().unwrap().len(), 4, "two for each request");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_closure_does_not_copy_goes_to_one_target() {
    let copy = |request: &(String, u32)| (request.1 < 10).then(|| request.clone());
    for (number, calls) in [(9, 2), (10, 1)] {
        let (shards, asked) = shards(&[("one", "busy")]);
        let mut service = failover().replay(ByFn::new(copy)).layer(shards);
        assert_eq!(send(&mut service, (String::new(), number)).await.is_ok(), calls == 2);
        assert_eq!(asked.lock().unwrap().len(), calls);
    }
}
