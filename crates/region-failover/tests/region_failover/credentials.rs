//! Several credentials for one target.

use super::*;
use buttress_core::{Headroom, Label, Room};
use buttress_region_failover::Policy;
use buttress_testkit::send;
use tokio::time::sleep;

fn label(name: &str) -> Label {
    Label::try_new(name).expect("a valid name")
}

/// A target with credentials of these names, separated by spaces.
fn keyed(name: &str, credentials: &str) -> Target {
    target(name).with_credentials(credentials.split(' ').map(label))
}

fn of(targets: impl IntoIterator<Item = Target>) -> Failover {
    RegionFailoverLayer::try_new(targets).expect("names that differ").replay(Http)
}

/// The targets that were asked, in turn, and with which of their credentials.
fn shown(handle: &Handle) -> String {
    let name = |target: &Target| match target.credential() {
        Some(credential) => format!("{}/{credential}", target.name()),
        None => target.name().to_string(),
    };
    let seen = handle.seen();
    let names = seen.iter().map(|seen| name(seen.extensions.get().expect("the layer aims")));
    names.collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_dead_credential_is_left_out_alone_and_another_one_of_the_same_target_is_shown_at_once() {
    for policy in Policy::ALL {
        let layer = of([keyed("east", "k1 k2 k3")]).policy(policy);
        let (mut service, handle) = over(&layer, [Reply::status(401), Reply::status(402)]);
        let (response, took) = timed(send(&mut service, get())).await;
        let response = response.expect("an answer");
        assert_eq!((response.status().as_u16(), took, served_by(&response)), (200, Duration::ZERO, Some("east")));
        assert_eq!(shown(&handle), "east/k1 east/k2 east/k3", "{policy:?}");
        assert_eq!(status(&send(&mut service, get()).await), 200);
        assert!(shown(&handle).ends_with("east/k3 east/k3"), "others need not find out themselves");
        let report = &layer.handle().list(Instant::now())[0];
        let parked: Vec<_> = report.credentials.iter().map(|one| one.parked.map(|time| time.as_secs() / 60)).collect();
        assert_eq!(parked, [Some(30), Some(5), None]);
        assert_eq!((report.parked, report.health), (None, 1.0), "the target itself is well");
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_credentials_are_dead_the_target_is_out_and_another_one_is_asked() {
    let layer = of([keyed("east", "k1 k2"), target("west")]);
    let (mut service, handle) = over(&layer, [Reply::status(401), Reply::status(401)]);
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("west"));
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("west"));
    assert_eq!(shown(&handle), "east/k1 east/k2 west west");
    assert_eq!(layer.handle().list(Instant::now())[0].parked, Some(ms(30 * 60 * 1000)));
    assert!(layer.handle().renew_credential(&label("east"), &label("k2")), "a new secret was put in its place");
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("east"));
    assert!(shown(&handle).ends_with("east/k2"));
    assert!(!layer.handle().renew_credential(&label("east"), &label("k9")));
    assert!(!layer.handle().renew_credential(&label("west"), &label("k1")));
}

#[tokio::test(start_paused = true)]
async fn a_dead_credential_is_no_failure_of_its_failure_domain() {
    let domain = |target: Target| target.with_failure_domain(label("zone"));
    let layer = of([domain(keyed("a", "k1 k2")), domain(keyed("b", "k3")), target("c")]);
    let (mut service, handle) = over(&layer, [401, 401, 401].map(Reply::status));
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("c"));
    assert_eq!(shown(&handle), "a/k1 a/k2 b/k3 c");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_not_the_credentials_is_the_targets() {
    for failure in [Reply::status(503), Reply::status(429).header("retry-after", "9")] {
        let layer = of([keyed("east", "k1 k2"), target("west")]);
        let (mut service, handle) = over(&layer, [failure]);
        assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("west"));
        assert_eq!(shown(&handle), "east/k1 west");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_with_limits_of_their_own_are_shown_in_turn_and_left_alone_one_by_one() {
    let layer = of([keyed("east", "k1 k2 k3").with_limits_by_credential()]);
    let (mut service, handle) = over(&layer, []);
    for _ in 0..3 {
        assert_eq!(status(&send(&mut service, get()).await), 200);
    }
    handle.next(Reply::status(429).header("retry-after", "9"));
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(shown(&handle), "east/k1 east/k2 east/k3 east/k1 east/k2");
    let room = Headroom::default().with(Room::new(0, Some(5), Duration::from_secs(4)));
    handle.next(Reply::ok().extension(room));
    assert_eq!(status(&send(&mut service, get()).await), 200);
    for _ in 0..3 {
        assert_eq!(status(&send(&mut service, get()).await), 200);
    }
    assert!(shown(&handle).ends_with("k3 east/k2 east/k2 east/k2"), "one is left: {}", shown(&handle));
    sleep(ms(9_000)).await;
    for _ in 0..3 {
        assert_eq!(status(&send(&mut service, get()).await), 200);
    }
    let last = shown(&handle).split(' ').rev().take(3).map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(last.len(), 3, "all are back: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_credential_outlives_a_list_of_targets() {
    let layer = of([keyed("east", "k1 k2")]);
    let operator = layer.handle();
    let (mut service, handle) = over(&layer, [Reply::status(401)]);
    assert_eq!(status(&send(&mut service, get()).await), 200);
    operator.replace([keyed("east", "k3 k1 k2")]).unwrap();
    let names = |report: &buttress_region_failover::TargetReport| {
        let parked = report.credentials.iter().filter(|one| one.parked.is_some());
        parked.map(|one| one.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&operator.list(Instant::now())[0]), ["k1"]);
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert!(shown(&handle).ends_with("east/k3"));
    assert!(operator.restore(&label("east")));
    assert!(names(&operator.list(Instant::now())[0]).is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_credential_that_is_tried_is_an_attempt_of_the_allowance() {
    let layer = of([keyed("east", "k1 k2 k3 k4 k5")]).allowance(n(3));
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::status(401));
    assert_eq!(status(&send(&mut service, get()).await), 401, "only one target was tried: what it says is the truth");
    assert_eq!(handle.calls(), 3);
}
