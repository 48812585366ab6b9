//! Services without HTTP.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::{Arc, Mutex},
};

use buttress_core::{ByClone, ByFn, Class, Outcome, RetryHint, Verdict};
use buttress_retry::RetryLayer;
use buttress_testkit::send;
use tokio::time::Instant;
use tower::{Layer as _, Service, service_fn};

use super::{ms, n, timed};

type Calls = Arc<Mutex<Vec<(u32, Instant)>>>;
type Answer = Result<u32, String>;

/// A service that gives `answers` in turn, and then adds one.
fn adder<const N: usize>(
    answers: [Answer; N],
) -> (impl Service<u32, Response = u32, Error = String, Future = Ready<Answer>> + Clone, Calls) {
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let adder = service_fn(move |number: u32| {
        let mut seen = seen.lock().unwrap_or_else(|_| panic!("no test panics in here"));
        seen.push((number, Instant::now()));
        ready(answers.get(seen.len() - 1).cloned().unwrap_or(Ok(number + 1)))
    });
    (adder, calls)
}

fn classify(result: Result<&u32, &String>) -> Class {
    let failed = |verdict| Class::new(verdict, Outcome::Word("plain"));
    match result.map_err(String::as_str) {
        Ok(0) => failed(Verdict::Transient),
        Ok(_) => Class::SUCCESS,
        Err("wrong") => failed(Verdict::CallerFault),
        Err("busy") => failed(Verdict::RateLimited).with_hint(RetryHint::after(ms(3_000))),
        Err(_) => failed(Verdict::Transient),
    }
}

type Classify = fn(Result<&u32, &String>) -> Class;

fn retry() -> RetryLayer<ByClone, Classify> {
    RetryLayer::new().seed(7).replay(ByClone).classify(classify)
}

fn failed(text: &str) -> Answer {
    Err(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn errors_and_answers_are_retried_as_the_closure_says() {
    let (adder, calls) = adder([failed("broke"), Ok(0)]);
    assert_eq!(send(&mut retry().layer(adder), 41).await, Ok(42));
    assert_eq!(calls.lock().unwrap().iter().map(|call| call.0).collect::<Vec<_>>(), [41, 41, 41]);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_returned_as_it_is() {
    let (adder, calls) = adder([failed("one"), failed("two"), failed("three")]);
    assert_eq!(send(&mut retry().layer(adder), 1).await, failed("three"));
    assert_eq!(calls.lock().unwrap().len(), 3);

    let (adder, calls) = self::adder([failed("wrong")]);
    assert_eq!(send(&mut retry().layer(adder), 1).await, failed("wrong"));
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_the_closure_is_waited_out() {
    let (adder, _calls) = adder([failed("busy")]);
    let (result, took) = timed(send(&mut retry().layer(adder), 1)).await;
    assert_eq!(result, Ok(2));
    assert!((3_000..=3_300).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_layers_deadline_holds_without_a_context() {
    for (deadline, calls_made) in [(3_000, 1), (3_301, 2)] {
        let (adder, calls) = adder([failed("busy")]);
        let (_, took) = timed(send(&mut retry().deadline(ms(deadline)).layer(adder), 1)).await;
        assert_eq!(calls.lock().unwrap().len(), calls_made);
        assert_eq!(took.is_zero(), calls_made == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_each_call() {
    let (adder, calls) = adder([failed("busy"), Ok(1), failed("busy")]);
    let mut service = retry().deadline(ms(4_000)).layer(adder);
    assert_eq!(send(&mut service, 1).await, Ok(1));
    assert_eq!(send(&mut service, 7).await, Ok(8));
    assert_eq!(calls.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_context_only_the_layers_own_bound_counts() {
    let (adder, calls) = adder(std::array::from_fn::<_, 9, _>(|_| failed("broke")));
    let layer = retry().attempts(n(7)).allowance(n(2));
    assert_eq!(send(&mut layer.layer(adder), 1).await, failed("broke"));
    assert_eq!(calls.lock().unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_closure_says_which_requests_can_be_copied() {
    let small = ByFn::new(|number: &u32| (*number < 10).then_some(*number));
    for (number, calls_made) in [(9, 2), (10, 1)] {
        let (adder, calls) = adder([failed("broke")]);
        let mut service = RetryLayer::new().replay(small).classify(classify as Classify).layer(adder);
        assert_eq!(send(&mut service, number).await.is_ok(), calls_made == 2);
        assert_eq!(calls.lock().unwrap().len(), calls_made);
    }
    let (adder, calls) = adder([failed("busy")]);
    let mut service = RetryLayer::new().replay(small).classify(classify as Classify).layer(adder);
    assert_eq!(send(&mut service, 10).await, failed("busy"), "not begun, and yet there is no copy to send");
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_and_services_need_not_be_send() {
    let calls = Rc::new(std::cell::Cell::new(0));
    let seen = Rc::clone(&calls);
    let upstream = service_fn(move |text: Rc<str>| {
        seen.set(seen.get() + 1);
        ready(if seen.get() == 1 { Err(()) } else { Ok(text) })
    });
    let layer = RetryLayer::new().replay(ByClone).classify(|result: Result<&Rc<str>, &()>| match result {
        Ok(_) => Class::SUCCESS,
        Err(()) => Class::new(Verdict::Transient, Outcome::Word("plain")),
    });
    assert_eq!(send(&mut layer.layer(upstream), Rc::from("hello")).await.as_deref(), Ok("hello"));
    assert_eq!(calls.get(), 2);
}
