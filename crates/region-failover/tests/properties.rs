//! Promises that hold for any stack, any upstream and any request: attempts, allowance, deadline.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{CallContext, Http, Label, Payload, Target, Trail};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::{Backoff, RetryLayer};
use buttress_testkit::{run, send};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceBuilder, service_fn, util::BoxCloneSyncService};

type Stack = BoxCloneSyncService<Request<Payload>, Response<Payload>, Infallible>;

/// What an upstream answers to one attempt, and how long that takes.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    hint: Option<(&'static str, String)>,
    after: Duration,
}

#[derive(Clone, Debug)]
enum Part {
    Retry { attempts: u32, seed: u64, deadline: Option<u64>, exact: bool },
    Failover { targets: usize, timeout: u64 },
}

/// When each attempt began.
type Begun = Arc<Mutex<Vec<Instant>>>;

const fn n(attempts: u32) -> NonZeroU32 {
    NonZeroU32::new(attempts).expect("not zero")
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Gives `answers` in turn, and over again.
fn upstream(answers: Vec<Answer>, begun: &Begun) -> Stack {
    let begun = Arc::clone(begun);
    BoxCloneSyncService::new(service_fn(move |_: Request<Payload>| {
        let mut begun = begun.lock().expect("nothing panics in here");
        let Answer { status, hint, after } = answers[begun.len() % answers.len()].clone();
        begun.push(Instant::now());
        async move {
            sleep(after).await;
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = hint {
                response = response.header(name, value);
            }
            Ok(response.body(Payload::default()).expect("a valid response"))
        }
    }))
}

fn stack(parts: &[Part], allowance: u32, inner: Stack) -> Stack {
    parts.iter().fold(inner, |inner, part| match part {
        Part::Retry { attempts, seed, deadline, exact } => {
            let backoff = if *exact { Backoff::exact() } else { Backoff::full() };
            let layer = RetryLayer::new().replay(Http).attempts(n(*attempts)).backoff(backoff);
            let layer = layer.allowance(n(allowance)).seed(*seed);
            let layer = if let Some(deadline) = deadline { layer.deadline(ms(*deadline)) } else { layer };
            BoxCloneSyncService::new(layer.layer(inner))
        }
        Part::Failover { targets, timeout } => {
            let targets = ["east", "west", "north"].into_iter().take(*targets);
            let layer = RegionFailoverLayer::try_new(targets.map(|name| Target::named(name).expect("a valid name")));
            let layer = layer.expect("names that differ").replay(Http).allowance(n(allowance));
            BoxCloneSyncService::new(ServiceBuilder::new().layer(layer.attempt_timeout(ms(*timeout))).service(inner))
        }
    })
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let hint = prop::option::of(prop_oneof![
        (0..3_000_u64).prop_map(|ms| ("retry-after-ms", ms.to_string())),
        (0..90_u64).prop_map(|secs| ("retry-after", secs.to_string())),
        any::<bool>().prop_map(|word| ("x-should-retry", word.to_string())),
    ]);
    let status = prop::sample::select(&[200_u16, 400, 401, 429, 500, 503, 503, 503, 529][..]);
    let answer = (status, hint, 0..2_000_u64);
    prop::collection::vec(answer.prop_map(|(status, hint, after)| Answer { status, hint, after: ms(after) }), 1..8)
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let retry = (1..6_u32, any::<u64>(), prop::option::of(0..5_000_u64), any::<bool>());
    let retry = retry.prop_map(|(attempts, seed, deadline, exact)| Part::Retry { attempts, seed, deadline, exact });
    let failover = (1..4_usize, 1..3_000_u64).prop_map(|(targets, timeout)| Part::Failover { targets, timeout });
    prop::collection::vec(prop_oneof![retry, failover], 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stack_makes_more_attempts_than_allowed_or_begins_one_after_the_deadline(
        answers in answers(), parts in parts(), allowance in 1..12_u32,
        deadline in prop::option::of(0..6_000_u64), retried in 0..4_u32,
    ) {
        let begun = Begun::default();
        let mut service = stack(&parts, allowance, upstream(answers, &begun));
        let until = run(async {
            let mut request = Request::new(Payload::new(Bytes::from_static(b"question")));
            request.headers_mut().insert("x-stainless-retry-count", HeaderValue::from(retried));
            let context = CallContext::of_or_insert(&mut request, n(allowance));
            if let Some(deadline) = deadline {
                context.limit_deadline(Instant::now() + ms(deadline));
            }
            let Ok(_) = send(&mut service, request).await;
            context.deadline()
        });
        let begun = begun.lock().expect("nothing panics in here");
        let most = allowance.saturating_sub(retried).max(1) as usize;
        prop_assert!(begun.len() <= most, "{} of {}", begun.len(), most);
        // The first attempt is the caller's own.
        let late = begun.iter().skip(1).filter(|at| until.is_some_and(|until| **at >= until)).count();
        prop_assert_eq!(late, 0);
    }
}

#[test]
fn a_retry_within_a_walk_does_not_begin_the_walk_anew() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let upstream = service_fn(move |request: Request<Payload>| {
        let target = request.extensions().get::<Target>().expect("every attempt is aimed");
        seen.lock().expect("nothing panics in here").push(target.name().to_string());
        std::future::ready(Response::builder().status(503).body(Payload::default()))
    });
    let targets = [("a1", "a"), ("b", "b"), ("a2", "a")].map(|(name, domain)| {
        let domain = Label::try_new(domain).expect("a valid name");
        Target::named(name).expect("a valid name").with_failure_domain(domain)
    });
    let failover = RegionFailoverLayer::try_new(targets).expect("names that differ").replay(Http).allowance(n(9));
    let retry = RetryLayer::new().replay(Http).attempts(n(2)).seed(7);
    let mut service = ServiceBuilder::new().layer(failover).layer(retry).service(upstream);
    let request = Request::new(Payload::default());
    let response = run(send(&mut service, request)).expect("the layer answers");
    assert_eq!(response.status(), 503);
    assert_eq!(*asked.lock().expect("nothing panics in here"), ["a1", "a1", "b", "b", "a2", "a2"]);
    let context = response.extensions().get::<CallContext>().expect("every answer carries the context");
    let names = |trail: &Trail| {
        trail.iter().map(|attempt| attempt.target.as_ref().map(|target| target.name().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(context.with_trail(names), ["a1", "a1", "b", "b", "a2", "a2"].map(|name| Some(name.to_owned())));
}
