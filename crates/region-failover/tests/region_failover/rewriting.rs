//! Requests that are fitted to their targets.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use buttress_core::{
    CallContext, Class, HttpReplay, Payload, Refusal, RefusalKind, ReplayBody, Rewrite, Rewritten, Target,
};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{Probe, Reply, Script, ScriptedBody, run, send};
use http::Request;
use tokio_test::task;
use tower::{Layer as _, Service as _};

use super::{Failover, asked, failover, get, n, over, served_by, status, trail, with_context};

type Fitted = Result<Rewritten<Request<Payload>>, Refusal>;

/// Refuses for the targets that are named here, and says so.
fn refusing(names: &'static str) -> impl Rewrite<Request<Payload>> + Clone {
    move |request: Request<Payload>, target: &Target| -> Fitted {
        let name = target.name().as_str();
        if names.split(' ').any(|refused| refused == name) {
            return Err(Refusal::new(RefusalKind::NotFound, format!("no such model in {name}")));
        }
        Ok(Rewritten::new(request))
    }
}

fn without(names: &'static str) -> Failover<impl Rewrite<Request<Payload>> + Clone> {
    failover("east west north").rewrite(refusing(names))
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_fitted_to_its_target_and_to_no_other() {
    let rewrite = |mut request: Request<Payload>, target: &Target| -> Fitted {
        let name = target.name();
        *request.uri_mut() = format!("https://{name}.example/{}", request.uri().path().trim_start_matches('/'))
            .parse()
            .expect("a valid address");
        request.headers_mut().append("x-key", name.to_header_value());
        Ok(Rewritten::new(request))
    };
    let (mut service, handle) = over(&failover("east west").rewrite(rewrite), [Reply::status(503)]);
    let mut request = get();
    *request.uri_mut() = "/chat".parse().unwrap();
    drop(send(&mut service, request).await);
    let seen: Vec<_> = handle.seen().iter().map(|seen| (seen.uri.to_string(), seen.headers.clone())).collect();
    assert_eq!([&*seen[0].0, &*seen[1].0], ["https://east.example/chat", "https://west.example/chat"]);
    assert_eq!(
        seen[1].1.get_all("x-key").iter().collect::<Vec<_>>(),
        ["west"],
        "the key of one is not shown to another"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rewrite_sees_a_request_that_is_aimed() {
    let aims = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&aims);
    let rewrite = move |request: Request<Payload>, target: &Target| -> Fitted {
        seen.lock().expect("nothing panics in here").push((request.extensions().get().cloned(), target.clone()));
        Ok(Rewritten::new(request))
    };
    let (mut service, _handle) = over(&failover("east west").rewrite(rewrite), [Reply::status(503)]);
    drop(send(&mut service, get()).await);
    let aims = aims.lock().unwrap();
    assert_eq!(aims.len(), 2);
    assert!(aims.iter().all(|(aim, target)| aim.as_ref() == Some(target)));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_take_the_request_is_passed_over() {
    let (mut service, handle) = over(&without("east"), [Reply::status(503)]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((asked(&handle).as_str(), served_by(&response)), ("west north", Some("north")));
    assert_eq!(trail(&response), "west;503;0ms, north;200;0ms", "what was not asked is not in the trail");

    let (mut service, handle) = over(&without("west"), [Reply::status(503)]);
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(asked(&handle), "east north");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_passed_over_costs_no_attempt() {
    for (refused, calls) in
        [("", "east west north"), ("east", "west north"), ("west", "east north"), ("west north", "east")]
    {
        let context = CallContext::new(n(5));
        let (mut service, handle) = over(&without(refused), []);
        handle.always(Reply::status(503));
        drop(send(&mut service, with_context(&context)).await);
        assert_eq!(asked(&handle), calls);
        assert_eq!(context.attempts_left() as usize, 5 - handle.calls(), "without {refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_passed_over_leaves_its_failure_domain_untried() {
    let domain = buttress_core::Label::try_new("shared").unwrap();
    let targets = ["east", "west"].map(|name| super::target(name).with_failure_domain(domain.clone()));
    let layer = RegionFailoverLayer::try_new(targets).unwrap().replay(buttress_core::Http);
    let (mut service, handle) = over(&layer.rewrite(refusing("east")), []);
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(asked(&handle), "west");
}

#[tokio::test(start_paused = true)]
async fn when_no_target_can_take_the_request_the_last_refusal_is_the_answer() {
    let context = CallContext::new(n(5));
    let (mut service, handle) = over(&without("east west north"), []);
    let response = send(&mut service, with_context(&context)).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.ready_polls(), handle.calls()), (404, 0, 0));
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!((refusal.kind(), refusal.message()), (RefusalKind::NotFound, "no such model in north"));
    assert_eq!(response.extensions().get::<Class>(), Some(&refusal.class()));
    assert_eq!((served_by(&response), context.attempts_made(), context.attempts_left()), (None, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn when_the_rest_cannot_take_the_request_the_failure_is_the_answer() {
    let (mut service, handle) = over(&without("west north"), [Reply::status(503).header("x-own", "1")]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), served_by(&response)), (503, Some("east")));
    assert_eq!((asked(&handle).as_str(), response.headers().contains_key("x-own")), ("east", true));
}

#[tokio::test(start_paused = true)]
async fn a_body_too_long_to_keep_goes_whole_to_the_first_target_that_takes_it() {
    let refuse_east = |request: Request<ReplayBody<ScriptedBody>>, target: &Target| {
        if target.name().as_str() == "east" {
            return Err(Refusal::new(RefusalKind::NotFound, "not here"));
        }
        Ok(Rewritten::new(request))
    };
    let targets = ["east", "west", "north"].map(super::target);
    let layer = RegionFailoverLayer::try_new(targets).unwrap().replay(HttpReplay::new(4)).rewrite(refuse_east);
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.next(Reply::status(429).reading_all());
    let body = Script::new().data("01234").data("56789").sized();
    let response = send(&mut layer.layer(probe), Request::new(body.body())).await.unwrap();
    assert_eq!((response.status().as_u16(), asked(&handle).as_str()), (429, "west"), "once read, it is gone");
    assert_eq!(handle.seen()[0].data.concat(), b"0123456789");
}

#[test]
fn a_panic_in_the_rewrite_leaves_the_layer_and_the_request_whole() {
    run(async {
        let rewritten = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rewritten);
        let rewrite = move |request: Request<Payload>, _: &Target| -> Fitted {
            assert!(count.fetch_add(1, Ordering::Relaxed) != 1, "the second request is too much");
            Ok(Rewritten::new(request))
        };
        let context = CallContext::new(n(5));
        let (mut service, handle) = over(&failover("east west").rewrite(rewrite), [Reply::status(503)]);
        let mut call = task::spawn(service.call(with_context(&context)));
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        drop(call);
        handle.assert_idle();
        assert_eq!(context.attempts_made(), 1, "the context can still be read");
        assert_eq!(status(&send(&mut service, get()).await), 200);
    });
}
