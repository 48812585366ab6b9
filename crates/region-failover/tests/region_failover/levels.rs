//! What each level of priority got, gets and can carry.

use super::*;
use buttress_core::{Label, RefusalKind};
use buttress_region_failover::{LevelReport, Policy};
use buttress_testkit::send;

fn label(name: &str) -> Label {
    Label::try_new(name).expect("a valid name")
}

/// East and west come first, north after them.
fn targets() -> [Target; 3] {
    [target("east"), target("west"), target("north").with_priority(7)]
}

fn two_levels() -> Failover {
    RegionFailoverLayer::try_new(targets()).expect("names that differ").replay(Http).policy(Policy::Balanced).seed(1)
}

fn of(layer: &Failover, what: fn(&LevelReport) -> u64) -> Vec<u64> {
    layer.handle().levels(Instant::now()).iter().map(what).collect()
}

fn attempts(layer: &Failover) -> Vec<u64> {
    of(layer, |level| level.attempts)
}

#[tokio::test(start_paused = true)]
async fn a_level_tells_what_it_gets_and_can_carry() {
    let layer = two_levels();
    let (mut service, handle) = over(&layer, []);
    let share = || of(&layer, |level| u64::from(level.share_percent));
    let available = || of(&layer, |level| u64::from(level.availability_percent));
    assert_eq!((share(), available(), attempts(&layer)), (vec![100, 0], vec![100, 100], vec![0, 0]));
    assert_eq!(of(&layer, |level| u64::from(level.priority)), [0, 7]);
    assert_eq!(of(&layer, |level| level.targets as u64), [2, 1]);

    assert!(layer.handle().eject(&label("east"), HOUR, Instant::now()));
    assert_eq!((share(), available()), (vec![70, 30], vec![70, 100]), "a half, times 1.4");
    for _ in 0..1_000 {
        assert_eq!(status(&send(&mut service, get()).await), 200);
    }
    let [first, second] = attempts(&layer)[..] else { panic!("there are two levels") };
    assert_eq!(first + second, handle.calls() as u64);
    assert!((250..350).contains(&second), "{second} of 1,000 were drawn for the second level");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_counted_once_whatever_it_comes_to() {
    let layer = two_levels().attempt_timeout(ms(100));
    let (mut service, handle) = over(&layer, [Reply::status(503), Reply::status(400), Reply::ok().after(HOUR)]);
    assert_eq!(status(&send(&mut service, get()).await), 400);
    assert_eq!(attempts(&layer), [2, 0], "one failed, and one was answered");
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(attempts(&layer), [4, 0], "one took too long");
    handle.next(Reply::ok().after(HOUR));
    let mut dropped = begin(&mut service, get()).await;
    assert!(dropped.poll().is_pending());
    assert_eq!(attempts(&layer), [4, 0], "it is still under way");
    drop(dropped);
    assert_eq!(attempts(&layer), [5, 0], "nobody waited for it");
    let refusal = buttress_core::Refusal::new(RefusalKind::Overloaded, "too much to do");
    handle.next(Reply::status(503).extension(refusal.class()));
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(attempts(&layer).iter().sum::<u64>(), 7, "one was refused further in");
}

#[tokio::test(start_paused = true)]
async fn the_count_of_a_level_outlives_its_targets_but_not_the_level() {
    let layer = two_levels();
    let (mut service, _) = over(&layer, []);
    for _ in 0..10 {
        assert_eq!(status(&send(&mut service, get()).await), 200);
    }
    let operator = layer.handle();
    let [_, _, north] = targets();
    operator.replace([target("south"), north]).expect("names that differ");
    assert_eq!(attempts(&layer), [10, 0]);
    assert_eq!(status(&send(&mut service, get()).await), 200);
    operator.restore(&label("south"));
    operator.replace([target("south").with_capacity(n(2)), targets()[1].clone()]).expect("names that differ");
    assert_eq!(attempts(&layer), [11]);
    operator.replace([targets()[2].clone()]).expect("one target");
    operator.replace(targets()).expect("names that differ");
    assert_eq!(attempts(&layer), [0, 0]);
}
