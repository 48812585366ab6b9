//! What moves on to another target, and to which.

use buttress_core::{Class, Label, Outcome, TransportErrorKind, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{ProbeError, Reply, run, send};
use proptest::prelude::*;
use tower::Layer as _;

use super::{Failover, asked, failover, get, n, over, served_by, status, target, timed, trail, unreachable};

#[tokio::test(start_paused = true)]
async fn the_first_target_is_asked_and_no_other_when_it_answers() {
    let (mut service, handle) = over(&failover("east west north"), []);
    for _ in 0..3 {
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), served_by(&response)), (200, Some("east")));
        assert_eq!(trail(&response), "east;200;0ms");
    }
    assert_eq!(asked(&handle), "east east east");
}

#[tokio::test(start_paused = true)]
async fn targets_are_asked_in_their_order_and_at_once() {
    let (mut service, handle) = over(&failover("east west north"), [Reply::status(503), Reply::status(500)]);
    let (response, took) = timed(send(&mut service, get())).await;
    assert_eq!((status(&response), served_by(&response.unwrap())), (200, Some("north")));
    assert_eq!((asked(&handle).as_str(), took.is_zero()), ("east west north", true));
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_target_move_on() {
    for failure in [401, 402, 403, 408, 429, 500, 502, 503, 504, 529] {
        let (mut service, handle) = over(&failover("east west"), [Reply::status(failure)]);
        assert_eq!(status(&send(&mut service, get()).await), 200, "{failure}");
        assert_eq!(asked(&handle), "east west", "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_caller_go_straight_back() {
    for failure in [400, 404, 405, 409, 413, 415, 422, 499, 501] {
        let (mut service, handle) = over(&failover("east west"), [Reply::status(failure)]);
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), served_by(&response)), (failure, Some("east")));
        assert_eq!(asked(&handle), "east", "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_a_layer_further_in_left_decides() {
    use Verdict::*;
    for (verdict, moves) in [
        (Transient, true),
        (RateLimited, true),
        (CapacityByDesign, true),
        (QuotaExhausted, true),
        (CredentialDead, true),
        (ModelGone, true),
        (ContextTooLong, false),
        (ContentFiltered, false),
        (CallerFault, false),
        (Cancelled, false),
        (Truncated, false),
        (Slow, false),
        (Success, false),
    ] {
        for code in [200, 400, 503] {
            let reply = Reply::status(code).extension(Class::new(verdict, Outcome::Word("read")));
            let (mut service, handle) = over(&failover("east west"), [reply]);
            let response = send(&mut service, get()).await.unwrap();
            assert_eq!(asked(&handle) == "east west", moves, "{verdict} in {code}");
            assert!(moves || (response.status() == code && trail(&response) == "east;read;0ms"), "{verdict} in {code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_reached_is_left_for_the_next() {
    use TransportErrorKind::*;
    for (kind, word) in [(Connect, "connect"), (Reset, "reset"), (Timeout, "timeout"), (Other, "error")] {
        let (upstream, asked) = unreachable([kind]);
        let response = send(&mut failover("east west").layer(upstream), get()).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), ["east", "west"]);
        assert_eq!(trail(&response), format!("east;{word};0ms, west;200;0ms"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_other_target_can_cure_passes_unchanged() {
    let final_errors = |result: Result<&http::Response<_>, &ProbeError>| match result {
        Ok(_) => Class::SUCCESS,
        Err(_) => Class::new(Verdict::CallerFault, Outcome::Word("wrong")),
    };
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.always(Reply::error("wrong"));
    let mut service = failover("east west").classify(final_errors).layer(probe);
    assert_eq!(send(&mut service, get()).await.err(), Some(ProbeError::new("wrong")));
    assert_eq!(asked(&handle), "east");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_moves_on_as_any_other() {
    let (mut service, handle) = over(&failover("east west"), []);
    handle.fail_readiness("gone");
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (503, 0));
    assert_eq!(trail(&response), "east;error;0ms, west;error;0ms");
}

#[tokio::test(start_paused = true)]
async fn another_failure_domain_is_asked_first_and_a_sibling_after_all_others() {
    let (mut service, handle) =
        over(&in_domains([("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")]), []);
    handle.always(Reply::status(503));
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!(asked(&handle), "a1 b1 a2 a3 b2");
    assert_eq!(trail(&response), "a1;503;0ms, b1;503;0ms, a2;503;0ms, a3;503;0ms, b2;503;0ms");
}

fn in_domains<'a>(targets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Failover {
    let targets = targets
        .into_iter()
        .map(|(name, domain)| target(name).with_failure_domain(Label::try_new(domain).expect("a valid name")));
    RegionFailoverLayer::try_new(targets).expect("names that differ").replay(buttress_core::Http)
}

proptest! {
    #[test]
    fn any_walk_asks_each_domain_in_order_and_then_the_rest_and_stops_where_it_should(
        plan in prop::collection::vec((0..4_usize, prop::sample::select(&[200_u16, 400, 404, 429, 500, 503][..])), 1..8),
        allowance in 1..9_u32,
    ) {
        const NAMES: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];
        const DOMAINS: [&str; 4] = ["d0", "d1", "d2", "d3"];
        let (mut expected, mut tried, mut last) = (Vec::new(), [false; 4], 0);
        let all = NAMES.iter().zip(&plan).map(|(name, (domain, code))| (name, domain, code));
        let (first, rest): (Vec<_>, Vec<_>) =
            all.partition(|(_, domain, _)| !std::mem::replace(&mut tried[**domain], true));
        for (name, _, code) in first.into_iter().chain(rest) {
            expected.push((*name, *code));
            last = *code;
            if expected.len() == allowance as usize || [200, 400, 404].contains(code) {
                break;
            }
        }
        let layer = in_domains(NAMES.into_iter().zip(plan.iter().map(|(domain, _)| DOMAINS[*domain])));
        let (result, names) = run(async {
            let (mut service, handle) = over(&layer.allowance(n(allowance)), expected.iter().map(|e| Reply::status(e.1)));
            (send(&mut service, get()).await, asked(&handle))
        });
        prop_assert_eq!(names, expected.iter().map(|e| e.0).collect::<Vec<_>>().join(" "));
        let (response, throttled) = (result.unwrap(), expected.iter().all(|e| e.1 == 429));
        let came = expected.len() == 1 || [200, 400, 404].contains(&last);
        let answer = if came { last } else if throttled { 429 } else { 503 };
        prop_assert_eq!(response.status().as_u16(), answer);
        prop_assert_eq!(served_by(&response), came.then(|| expected[expected.len() - 1].0));
    }
}
