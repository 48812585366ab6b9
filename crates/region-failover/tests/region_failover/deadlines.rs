//! The deadline that a layer further out has set.

use std::time::Duration;

use buttress_core::{CallContext, Class, Refusal, RefusalKind, Verdict};
use buttress_testkit::{Reply, read, send};
use http::Response;
use tokio::time::{Instant, advance};

use super::{asked, failover, ms, n, over, served_by, timed, trail, with_context};

fn due_in(after: Duration) -> CallContext {
    let context = CallContext::new(n(9));
    context.limit_deadline(Instant::now() + after);
    context
}

fn is_late<B>(response: &Response<B>) {
    assert_eq!((response.status().as_u16(), served_by(response)), (504, None));
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.extensions().get::<Refusal>().map(Refusal::kind), Some(RefusalKind::DeadlineExceeded));
    assert_eq!(response.extensions().get::<Class>().map(|class| class.verdict), Some(Verdict::Slow));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_given_up_at_the_deadline() {
    let (mut service, handle) = over(&failover("east west"), []);
    handle.always(Reply::ok().hanging());
    let (response, took) = timed(send(&mut service, with_context(&due_in(ms(1_500))))).await;
    let response = response.unwrap();
    is_late(&response);
    assert_eq!((took, asked(&handle).as_str()), (ms(1_500), "east"));
    assert_eq!(trail(&response), "east;timeout;1500ms");
    let body = read(response.into_body()).await.bytes();
    assert!(std::str::from_utf8(&body).unwrap().contains(r#""code":"deadline_exceeded""#), "{body:?}");
    drop(service);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_own_time_or_what_is_left_of_the_whole() {
    let layer = failover("east west north").attempt_timeout(ms(1_000));
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::ok().hanging());
    let (response, took) = timed(send(&mut service, with_context(&due_in(ms(1_500))))).await;
    let response = response.unwrap();
    is_late(&response);
    assert_eq!((took, asked(&handle).as_str()), (ms(1_500), "east west"));
    assert_eq!(trail(&response), "east;timeout;1000ms, west;timeout;500ms");
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_nobody_is_asked() {
    let context = due_in(ms(10));
    advance(ms(10)).await;
    let (mut service, handle) = over(&failover("east west"), []);
    let response = send(&mut service, with_context(&context)).await.unwrap();
    is_late(&response);
    assert_eq!((handle.ready_polls(), context.attempts_made()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_the_deadline_moves_on_to_nobody() {
    for (after, calls) in [(1_499, "east west"), (1_500, "east")] {
        let (mut service, handle) = over(&failover("east west"), [Reply::status(503).after(ms(after))]);
        let response = send(&mut service, with_context(&due_in(ms(1_500)))).await.unwrap();
        assert_eq!(asked(&handle), calls);
        if calls == "east" {
            is_late(&response);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_deadline_is_returned() {
    for code in [200, 404] {
        let (mut service, _handle) = over(&failover("east west"), [Reply::status(code).after(ms(1_500))]);
        let response = send(&mut service, with_context(&due_in(ms(1_500)))).await.unwrap();
        assert_eq!(response.status(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_set_between_two_attempts_holds_for_the_second() {
    let context = CallContext::new(n(9));
    let (mut service, handle) = over(&failover("east west"), [Reply::status(503).after(ms(100))]);
    handle.always(Reply::ok().hanging());
    let call = send(&mut service, with_context(&context));
    let limit = async {
        tokio::time::sleep(ms(50)).await;
        context.limit_deadline(Instant::now() + ms(350));
    };
    let (((response, took), ()), calls) = (tokio::join!(timed(call), limit), handle.calls());
    is_late(&response.unwrap());
    assert_eq!((took, calls), (ms(400), 2));
}
