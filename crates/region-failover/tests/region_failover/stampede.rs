//! What matters goes to the least bad target while all are out, and runs over none.

use super::*;
use buttress_core::{Headroom, Room};
use buttress_region_failover::{HealthPolicy, Policy};
use buttress_testkit::send;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::{task::JoinSet, time::sleep};

/// How long a target takes to answer, well or ill.
const TAKES: Duration = ms(200);
/// How many a target that is out is sent at a time, as long as it has served nobody.
const FEW: u32 = 10;

/// Targets that are all sick or all well, and how many requests they had.
#[derive(Default)]
struct Ward {
    well: AtomicBool,
    seen: Mutex<BTreeMap<String, Seen>>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    under_way: u32,
    most: u32,
    all: u32,
}

/// A request at a target, which leaves when it is answered or dropped.
struct Bed(Arc<Ward>, String);

impl Ward {
    fn enter(self: &Arc<Self>, name: &str) -> Bed {
        let mut all = self.seen.lock().expect("nothing panics in here");
        let seen = all.entry(name.to_owned()).or_default();
        (seen.all, seen.under_way) = (seen.all + 1, seen.under_way + 1);
        seen.most = seen.most.max(seen.under_way);
        Bed(Arc::clone(self), name.to_owned())
    }

    /// What was seen since the last time.
    fn take(&self) -> Vec<Seen> {
        let mut all = self.seen.lock().expect("nothing panics in here");
        let taken = all.values().copied().collect();
        all.values_mut().for_each(|seen| *seen = Seen { most: seen.under_way, all: 0, ..*seen });
        taken
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let mut all = self.0.seen.lock().expect("nothing panics in here");
        all.get_mut(&self.1).expect("it has entered").under_way -= 1;
    }
}

fn upstream(
    ward: &Arc<Ward>,
) -> impl Service<Request<Payload>, Response = Response<Payload>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    let ward = Arc::clone(ward);
    service_fn(move |request: Request<Payload>| {
        let bed = ward.enter(request.extensions().get::<Target>().expect("the layer aims").name().as_str());
        async move {
            sleep(TAKES).await;
            let status = if bed.0.well.load(Ordering::Relaxed) { 200 } else { 500 };
            Ok(Response::builder().status(status).body(Payload::default()).expect("a valid response"))
        }
    })
}

fn ill(names: &str) -> Failover {
    failover(names).health(HealthPolicy::DEFAULT.outage_after(1)).policy(Policy::Balanced)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_run_over_none_of_three_sick_targets_and_are_served_soon_after_they_are_well() {
    let ward = Arc::new(Ward::default());
    let layer = ill("east west north");
    let mut service = layer.layer(upstream(&ward));
    assert_eq!(status(&send(&mut service, get()).await), 503, "all are out");
    ward.take();

    let begun = Instant::now();
    let (ended, came): (_, Arc<Mutex<Vec<_>>>) = (begun + ms(12_000), Arc::default());
    let mut callers = JoinSet::new();
    for caller in 0..1_000 {
        let (mut service, came) = (service.clone(), Arc::clone(&came));
        callers.spawn(async move {
            sleep(ms(caller % 500)).await;
            while Instant::now() < ended {
                let response = send(&mut service, get()).await.expect("an answer");
                let at = (Instant::now() - begun).as_millis();
                let told = response.headers().contains_key("retry-after");
                came.lock().expect("nothing panics in here").push((at, response.status().as_u16(), told));
                sleep(ms(500)).await;
            }
        });
    }
    for _ in 0..6 {
        sleep(ms(1_000)).await;
        for seen in ward.take() {
            assert!(seen.most <= FEW + 1 && seen.all <= 5 * FEW + FEW, "{} at a time, {} in all", seen.most, seen.all);
        }
    }
    ward.well.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    let came = came.lock().expect("nothing panics in here");
    assert!(came.iter().all(|(_, status, told)| *status != 503 || *told), "who is refused is told when to come again");
    let of = |from: u128| came.iter().filter(move |(at, ..)| *at >= from);
    let bad = of(9_000).filter(|(_, status, _)| *status != 200).count();
    assert!(bad == 0 && of(9_000).count() > 3_000, "all are served 3 s after the targets are well: {bad}");
}

#[tokio::test(start_paused = true)]
async fn those_that_may_wait_are_let_in_as_the_first_are_served() {
    let ward = Arc::new(Ward::default());
    let layer = ill("east").wait_for_return(ms(5_000), n(100));
    let mut service = layer.layer(upstream(&ward));
    assert_eq!(status(&send(&mut service, get()).await), 500, "it is out");
    ward.take();
    ward.well.store(true, Ordering::Relaxed);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let mut service = service.clone();
        callers.spawn(async move { timed(send(&mut service, get())).await });
    }
    sleep(ms(100)).await;
    assert_eq!(ward.take()[0].under_way, FEW);
    while let Some(caller) = callers.join_next().await {
        let (response, took) = caller.expect("no panic");
        assert_eq!(status(&response), 200);
        assert!(took <= ms(3_000), "{took:?}");
    }
    assert_eq!(layer.handle().sheds().turned_away, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_gives_back_the_place_at_a_target_that_is_out() {
    let ward = Arc::new(Ward::default());
    let layer = ill("east");
    let mut service = layer.layer(upstream(&ward));
    assert_eq!(status(&send(&mut service, get()).await), 500, "it is out");
    ward.take();
    for _ in 0..10 {
        let mut calls = Vec::new();
        for _ in 0..FEW {
            calls.push(begin(&mut service, get()).await);
        }
        calls.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
        assert_eq!(status(&send(&mut service, get()).await), 503, "there is no place left");
    }
    assert_eq!(ward.take()[0].all, 10 * FEW);
}

#[tokio::test(start_paused = true)]
async fn no_place_at_a_target_that_is_out_goes_beyond_what_it_says_that_it_can_take() {
    let layer = ill("east");
    let (mut service, handle) = over(&layer, []);
    let room = Headroom::default().with(Room::new(2, Some(5), Duration::from_secs(30)));
    handle.next(Reply::status(500).extension(room));
    assert_eq!(status(&send(&mut service, get()).await), 500);
    handle.always(Reply::ok().after(TAKES));
    let mut calls = Vec::new();
    for _ in 0..FEW {
        calls.push(begin(&mut service, get()).await);
    }
    let pending = calls.iter_mut().filter_map(|call| call.poll().is_pending().then_some(())).count();
    assert_eq!((pending, handle.calls()), (2, 3), "it has room for two");
}

#[tokio::test(start_paused = true)]
async fn an_hour_after_an_outage_a_target_takes_as_many_at_once_as_ever() {
    let ward = Arc::new(Ward::default());
    let mut service = ill("east").layer(upstream(&ward));
    assert_eq!(status(&send(&mut service, get()).await), 500, "it is out");
    ward.well.store(true, Ordering::Relaxed);
    sleep(ms(10_000)).await;
    assert_eq!(status(&send(&mut service, get()).await), 200, "it is on its way back");
    sleep(Duration::from_secs(60 * 60)).await;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let mut service = service.clone();
        callers.spawn(async move { status(&send(&mut service, get()).await) });
    }
    while let Some(caller) = callers.join_next().await {
        assert_eq!(caller.expect("no panic"), 200);
    }
    assert_eq!(ward.take()[0].most, 50);
}
