//! What one request teaches the layer for those that follow.

use super::*;
use buttress_core::{Class, Label, Outcome, Rewritten, Verdict};
use buttress_region_failover::{HealthPolicy, Policy, Stance};
use buttress_testkit::send;
use tokio::time::sleep;

fn label(name: &str) -> Label {
    Label::try_new(name).expect("a valid name")
}

/// Sends `count` requests, one after the other, and returns which targets answered them.
async fn ask(service: &mut Probed, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let response = send(service, get()).await.expect("an answer");
        names.push(served_by(&response).unwrap_or("nobody").to_owned());
    }
    names
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asked_for_30_seconds_gets_them_from_every_request() {
    let (mut service, handle) = over(&failover("east west"), [Reply::status(429).header("retry-after", "30")]);
    assert_eq!(ask(&mut service, 20).await, ["west"; 20]);
    assert_eq!(handle.calls(), 21, "east was asked once");
    sleep(ms(29_990)).await;
    assert_eq!(ask(&mut service, 1).await, ["west"]);
    sleep(ms(10)).await;
    assert_eq!(ask(&mut service, 1).await, ["east"]);
}

#[tokio::test(start_paused = true)]
async fn what_one_service_learns_all_services_of_the_layer_know() {
    let layer = failover("east west");
    let (mut first, _handle) = over(&layer, [Reply::status(429).header("retry-after", "30")]);
    let (mut second, handle) = over(&layer, []);
    drop(ask(&mut first, 1).await);
    assert_eq!(ask(&mut second, 1).await, ["west"]);
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_all_asked_for_time_the_caller_hears_the_soonest_without_an_attempt() {
    let replies = ["30", "7"].map(|secs| Reply::status(429).header("retry-after", secs));
    let (mut service, handle) = over(&failover("east west"), replies);
    drop(ask(&mut service, 1).await);
    sleep(ms(2000)).await;
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (503, 2));
    assert_eq!(response.headers()["retry-after"], "5");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_costs_its_time_a_few_times_and_then_hardly_ever() {
    let layer = failover("east west").attempt_timeout(ms(1000));
    let upstream = service_fn(|request: Request<Payload>| async move {
        if request.extensions().get::<Target>().expect("the layer aims").name().as_str() == "east" {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(Response::new(Payload::default()))
    });
    let mut service = layer.layer(upstream);
    let begun = Instant::now();
    for _ in 0..1000 {
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!(served_by(&response), Some("west"));
        sleep(ms(50)).await;
    }
    let waited = begun.elapsed_to_now() - ms(50 * 1000);
    assert!(waited <= ms(10_000), "five times, and once for each probe: {waited:?}");
}

/// `Instant::elapsed` is banned, since it asks the clock by itself. A test may.
trait ElapsedToNow {
    fn elapsed_to_now(self) -> Duration;
}

impl ElapsedToNow for Instant {
    fn elapsed_to_now(self) -> Duration {
        Self::now().duration_since(self)
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_time_is_no_reason_to_leave_a_target() {
    let (mut service, handle) = over(&failover("east west"), []);
    for _ in 0..20 {
        handle.next(Reply::ok().after(ms(500)));
        let context = CallContext::new(n(3));
        context.limit_deadline(Instant::now() + ms(100));
        assert_eq!(status(&send(&mut service, with_context(&context)).await), 504);
    }
    assert_eq!(ask(&mut service, 1).await, ["east"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_returns_when_it_has_served_for_a_while() {
    let health = HealthPolicy::DEFAULT.hysteresis(ms(3000)).slow_start(ms(1000)).probe_every(ms(2500));
    let layer = failover("east west").health(health);
    let (mut service, handle) = over(&layer, []);
    for _ in 0..5 {
        handle.next(Reply::status(500));
        handle.next(Reply::ok());
    }
    assert_eq!(ask(&mut service, 6).await, ["west"; 6]);
    sleep(ms(3000)).await;
    let mut names = Vec::new();
    for _ in 0..50 {
        names.append(&mut ask(&mut service, 1).await);
        sleep(ms(100)).await;
    }
    assert_eq!(names[0], "east", "it is looked at");
    let early = names[..25].iter().filter(|name| *name == "east").count();
    assert!((4..=8).contains(&early) && names[1] == "west", "single requests at first: {names:?}");
    assert_eq!(names[40..], ["east"; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_is_gone_for_its_target_and_nobody_elses_model_is() {
    let named = |request: Request<Payload>, _: &Target| {
        let model = request.headers().get("model").map(|name| label(name.to_str().unwrap()));
        let rewritten = Rewritten::new(request);
        Ok(match model {
            Some(model) => rewritten.with_model(model),
            None => rewritten,
        })
    };
    let gone = Class::new(Verdict::ModelGone, Outcome::Word("gone"));
    let (probe, handle) = Probe::<buttress_testkit::ScriptedBody>::new();
    let mut service = failover("east west").rewrite(named).layer(probe);
    let mut ask = async |model: &str| {
        let mut request = get();
        request.headers_mut().insert("model", model.parse().unwrap());
        let response = send(&mut service, request).await.unwrap();
        served_by(&response).unwrap().to_owned()
    };
    handle.next(Reply::status(404).extension(gone));
    assert_eq!(ask("old").await, "west");
    assert_eq!((ask("old").await, ask("new").await), ("west".to_owned(), "east".to_owned()));
    assert_eq!(asked(&handle), "east west west east");
}

#[tokio::test(start_paused = true)]
async fn a_prompt_too_long_for_one_target_goes_to_a_larger_one_and_to_no_other() {
    let sized = |name: &str, tokens| target(name).with_context(std::num::NonZeroU64::new(tokens).unwrap());
    let long = Class::new(Verdict::ContextTooLong, Outcome::Word("long"));
    let targets = || [sized("small", 8000), target("unknown"), sized("same", 8000), sized("large", 128_000)];
    let layer = RegionFailoverLayer::try_new(targets()).unwrap().replay(Http);
    let (mut service, handle) = over(&layer, [Reply::status(400).extension(long)]);
    assert_eq!(ask(&mut service, 1).await, ["large"]);
    assert_eq!(asked(&handle), "small large");

    let layer = RegionFailoverLayer::try_new(targets()).unwrap().replay(Http);
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::status(400).extension(long));
    assert_eq!(status(&send(&mut service, get()).await), 400, "where none holds it, the target's own answer counts");
    assert_eq!(asked(&handle), "small large");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_asked_before_a_target_is_chosen_can_keep_requests_away() {
    let layer = failover("east west").admit(|target: &Target, _: Instant| target.name().as_str() != "east");
    let (mut service, handle) = over(&layer, []);
    assert_eq!(ask(&mut service, 3).await, ["west"; 3]);
    assert_eq!(handle.calls(), 3);
    let (mut service, handle) = over(&failover("east west").admit(|_: &Target, _: Instant| false), []);
    let response = send(&mut service, get()).await.expect("an answer");
    assert_eq!((response.status().as_u16(), handle.calls()), (503, 0));
    let refusal = response.extensions().get::<buttress_core::Refusal>().expect("the layer refused");
    assert_eq!(refusal.class().hint.should_retry, None, "who is kept away now may be let in soon");
    assert!(refusal.retry_after().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_operator_lists_drains_ejects_and_restores_targets() {
    let layer = failover("east west");
    let operator = layer.handle();
    let (mut service, _handle) = over(&layer, []);
    assert!(operator.drain(&label("east")) && !operator.drain(&label("nowhere")));
    assert_eq!(ask(&mut service, 1).await, ["west"]);
    let listed = operator.list(Instant::now());
    assert_eq!(listed.iter().map(|report| report.stance).collect::<Vec<_>>(), [Stance::Drained, Stance::InService]);
    assert!(operator.restore(&label("east")));
    assert_eq!(ask(&mut service, 1).await, ["east"]);
    assert!(operator.eject(&label("east"), ms(5000), Instant::now()));
    assert_eq!(operator.list(Instant::now())[0].parked, Some(ms(5000)));
    assert_eq!(ask(&mut service, 1).await, ["west"]);
    sleep(ms(5000)).await;
    assert_eq!(ask(&mut service, 1).await, ["east"]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_weighs_a_target_and_its_load_follows_until_it_is_restored() {
    let layer = failover("a b").policy(Policy::Weighted).seed(3);
    let operator = layer.handle();
    let (mut service, _handle) = over(&layer, []);
    let mut share = async || ask(&mut service, 500).await.iter().filter(|name| *name == "a").count();
    let weights = || operator.list(Instant::now()).iter().map(|report| report.weight.get()).collect::<Vec<_>>();
    assert!((200..300).contains(&share().await));
    operator.weigh(&label("a"), 9).unwrap();
    assert!((430..470).contains(&share().await), "nine of ten");
    operator.replace([target("a").with_cost(1), target("b")]).unwrap();
    assert_eq!(weights(), [9, 1], "what an operator wants outlives a list");
    assert!(operator.restore(&label("a")));
    assert_eq!(weights(), [1, 1]);
    assert!((200..300).contains(&share().await));
}

#[tokio::test(start_paused = true)]
async fn a_weight_of_nothing_and_a_target_that_is_not_there_are_told_apart() {
    let operator = failover("a").handle();
    let nobody = operator.weigh(&label("nobody"), 1).unwrap_err();
    assert!(nobody.is_unknown_target() && nobody.to_string().contains("nobody"));
    let nothing = operator.weigh(&label("a"), 0).unwrap_err();
    assert!(!nothing.is_unknown_target() && nothing.to_string().contains("is 0"));
    operator.weigh(&label("a"), u32::MAX).unwrap();
    let report = operator.list(Instant::now()).remove(0);
    assert_eq!((report.weight.get(), report.effective_weight), (u32::MAX, f64::from(u32::MAX)));
}

#[tokio::test(start_paused = true)]
async fn the_list_tells_an_outlier_and_what_each_target_counts_for() {
    let layer = failover("a b c").policy(Policy::RoundRobin);
    let operator = layer.handle();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let upstream = |request: Request<Payload>| {
        let name = request.extensions().get::<Target>().expect("the layer aims").name().as_str();
        let fails = name == "a" && asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2);
        ready(Ok::<_, Infallible>(
            Response::builder().status(if fails { 500 } else { 200 }).body(Payload::default()).unwrap(),
        ))
    };
    let mut service = layer.layer(service_fn(upstream));
    for _ in 0..90 {
        drop(send(&mut service, get()).await);
    }
    sleep(ms(100)).await;
    let listed = operator.list(Instant::now());
    assert_eq!(listed.iter().map(|report| report.outlier).collect::<Vec<_>>(), [true, false, false], "{listed:?}");
    for report in &listed {
        let least = if report.outlier { 0.0..=0.1 } else { 0.5..=1.0 };
        assert!(least.contains(&report.effective_weight), "{report:?}");
    }
    assert!(operator.drain(&label("b")));
    assert_eq!(operator.list(Instant::now())[1].effective_weight, 0.0);
}

#[tokio::test(start_paused = true)]
async fn targets_are_replaced_while_requests_are_under_way() {
    let layer = failover("east west");
    let operator = layer.handle();
    let (mut service, handle) = over(&layer, [Reply::status(429).header("retry-after", "30")]);
    assert_eq!(ask(&mut service, 1).await, ["west"]);
    handle.next(Reply::ok().after(ms(100)));
    let mut open = task::spawn(service.call(get()));
    assert!(open.poll().is_pending());
    operator.replace([target("east"), target("north")]).unwrap();
    assert_eq!(ask(&mut service, 1).await, ["north"], "east is known to want time, west is no target any more");
    sleep(ms(100)).await;
    assert_eq!(served_by(&open.await.unwrap()), Some("west"), "what was under way went on");
    assert!(operator.replace([]).is_err() && operator.replace([target("a"), target("a")]).is_err());
    assert_eq!(operator.list(Instant::now()).len(), 2, "a bad list changes nothing");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_counted_and_no_more_when_it_is_dropped() {
    let layer = failover("east");
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::ok().after(ms(100)));
    let pending = || layer.handle().list(Instant::now())[0].pending;
    let mut open: Vec<_> = (0..3).map(|_| task::spawn(service.call(get()))).collect();
    assert_eq!(pending(), 0, "nothing is sent before it is polled");
    open.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    assert_eq!(pending(), 3);
    drop(open.pop());
    assert_eq!(pending(), 2);
    sleep(ms(100)).await;
    for call in open {
        assert_eq!(status(&call.await), 200);
    }
    assert_eq!(pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn load_goes_by_the_policy_that_was_set() {
    let (mut service, _handle) = over(&failover("a b c").policy(Policy::RoundRobin), []);
    assert_eq!(ask(&mut service, 4).await, ["a", "b", "c", "a"]);
}
