//! Who is served, who waits and who is refused where there is not enough for all.

use super::*;
use buttress_core::{Criticality, Headroom, Label, Refusal, RefusalKind, Room};
use buttress_region_failover::HealthPolicy;
use buttress_testkit::send;
use tokio::{task::JoinSet, time::sleep};

fn of(class: Criticality) -> Request<Payload> {
    let mut request = get();
    request.extensions_mut().insert(class);
    request
}

fn label(name: &str) -> Label {
    Label::try_new(name).expect("a valid name")
}

/// Asks for time with every target, so that none may be asked.
async fn throttle(service: &mut Probed, handle: &Handle, secs: [&'static str; 2]) {
    secs.into_iter().for_each(|secs| handle.next(Reply::status(429).header("retry-after", secs)));
    assert_eq!(status(&send(service, get()).await), 429);
}

#[tokio::test(start_paused = true)]
async fn where_all_are_out_what_may_be_shed_is_refused_until_the_first_returns_and_the_rest_has_the_least_bad() {
    let layer = failover("east west").health(HealthPolicy::DEFAULT.outage_after(1));
    let (mut service, handle) = over(&layer, [Reply::status(500), Reply::status(500)]);
    assert_eq!(status(&send(&mut service, get()).await), 503);
    for class in [Criticality::Sheddable, Criticality::SheddablePlus] {
        let response = send(&mut service, of(class)).await.expect("an answer");
        assert_eq!((response.status().as_u16(), handle.calls()), (503, 2), "{class}");
        let headers = ["retry-after", "x-should-retry"].map(|name| response.headers()[name].to_str().unwrap());
        assert_eq!(headers, ["5", "true"]);
        let refusal = response.extensions().get::<Refusal>().expect("the layer refused");
        assert_eq!(refusal.kind(), RefusalKind::Overloaded);
        assert_eq!(refusal.class().hint.should_retry, Some(false), "no layer of this process asks again");
    }
    for class in [Criticality::Critical, Criticality::CriticalPlus] {
        assert_eq!(status(&send(&mut service, of(class)).await), 200, "{class}");
    }
    assert_eq!(layer.handle().sheds().shed, 2);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_goes_first_to_those_that_found_nobody() {
    let layer = failover("east west");
    let (mut service, handle) = over(&layer, []);
    throttle(&mut service, &handle, ["1", "1"]).await;
    assert_eq!(status(&send(&mut service, get()).await), 503);
    sleep(ms(500)).await;
    assert_eq!(status(&send(&mut service, get()).await), 503);
    sleep(ms(500)).await;
    let calls = handle.calls();
    let response = send(&mut service, of(Criticality::Sheddable)).await.expect("an answer");
    assert_eq!((response.status().as_u16(), handle.calls()), (503, calls), "both are back, and others come first");
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(status(&send(&mut service, get()).await), 200);
    sleep(ms(500)).await;
    assert_eq!(status(&send(&mut service, of(Criticality::Sheddable)).await), 200, "there is enough again");
}

#[tokio::test(start_paused = true)]
async fn what_matters_waits_for_the_first_target_to_return_if_it_has_the_time() {
    let layer = failover("east west").wait_for_return(ms(10_000), n(8));
    let (mut service, handle) = over(&layer, []);
    throttle(&mut service, &handle, ["30", "3"]).await;
    let (response, took) = timed(send(&mut service, get())).await;
    assert_eq!((served_by(&response.expect("an answer")), took), (Some("west"), ms(3_000)));
    throttle(&mut service, &handle, ["7", "7"]).await;

    let context = CallContext::new(n(5));
    context.limit_deadline(Instant::now() + ms(1_000));
    let (response, took) = timed(send(&mut service, with_context(&context))).await;
    let response = response.expect("an answer");
    assert_eq!((response.status().as_u16(), took), (503, Duration::ZERO), "nobody waits in vain");
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(status(&send(&mut service, of(Criticality::Sheddable)).await), 503);
    let counts = layer.handle().sheds();
    assert_eq!((counts.waited, counts.turned_away, counts.shed), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_there_is_room_for_and_those_that_wait_go_one_by_one() {
    let layer = failover("east").wait_for_return(ms(5_000), n(3));
    let (mut service, handle) = over(&layer, [Reply::status(429).header("retry-after", "2")]);
    assert_eq!(status(&send(&mut service, get()).await), 429);
    let mut open = JoinSet::new();
    for class in [Criticality::Critical, Criticality::Critical, Criticality::CriticalPlus, Criticality::Critical] {
        let mut service = service.clone();
        open.spawn(async move {
            let (response, took) = timed(send(&mut service, of(class))).await;
            (status(&response), took.as_millis(), class)
        });
        tokio::task::yield_now().await;
    }
    let mut came = Vec::new();
    while let Some(one) = open.join_next().await {
        came.push(one.expect("no panic"));
    }
    came.sort_unstable();
    let (critical, plus) = (Criticality::Critical, Criticality::CriticalPlus);
    assert_eq!(came, [(200, 2_000, critical), (200, 2_000, plus), (200, 2_010, critical), (503, 0, critical)]);
    assert_eq!(handle.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_returns_and_turns_the_first_away_is_left_alone_by_the_others() {
    let layer = failover("east").wait_for_return(ms(60_000), n(100));
    let (mut service, handle) = over(&layer, [Reply::status(429).header("retry-after", "2")]);
    assert_eq!(status(&send(&mut service, get()).await), 429);
    handle.next(Reply::status(429).header("retry-after", "2"));
    let mut open = JoinSet::new();
    for _ in 0..20 {
        let mut service = service.clone();
        open.spawn(async move { status(&send(&mut service, get()).await) });
    }
    let mut good = 0;
    while let Some(status) = open.join_next().await {
        good += u32::from(status.expect("no panic") == 200);
    }
    assert_eq!((good, handle.calls()), (19, 1 + 1 + 19), "one was turned away, and each of the others was sent once");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_line_gives_back_the_place() {
    let layer = failover("east").wait_for_return(ms(5_000), n(1));
    let (mut service, handle) = over(&layer, [Reply::status(429).header("retry-after", "2")]);
    assert_eq!(status(&send(&mut service, get()).await), 429);
    for _ in 0..3 {
        let mut waiting = begin(&mut service, get()).await;
        assert!(waiting.poll().is_pending());
        assert_eq!(status(&send(&mut service, get()).await), 503, "the line is full");
    }
    assert_eq!(status(&send(&mut service, get()).await), 200);
    assert_eq!(handle.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_a_target_is_kept_away_nobody_waits_for_its_return() {
    let closed = |_: &Target, _: Instant| false;
    let layer = failover("east").wait_for_return(ms(5_000), n(8)).admit(closed);
    let operator = layer.handle();
    let (mut service, handle) = over(&layer, []);
    assert!(operator.eject(&label("east"), ms(1_000), Instant::now()));
    let (response, took) = timed(send(&mut service, get())).await;
    assert_eq!(
        (status(&response), took, handle.calls()),
        (503, ms(1_000), 0),
        "it waited once, and then heard the truth"
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_is_sent_to_a_target_than_it_says_that_it_can_take() {
    let layer = failover("east west");
    let (mut service, handle) = over(&layer, []);
    let room = |left, secs| Headroom::default().with(Room::new(left, Some(5), Duration::from_secs(secs)));
    handle.next(Reply::ok().extension(room(3, 30)));
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("east"));
    handle.always(Reply::ok().after(ms(100)));
    let mut open: Vec<_> = (0..6).map(|_| task::spawn(service.call(get()))).collect();
    open.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    let pending = || layer.handle().list(Instant::now()).iter().map(|report| report.pending).collect::<Vec<_>>();
    assert_eq!(pending(), [3, 3]);
    sleep(ms(100)).await;
    for call in open {
        assert_eq!(status(&call.await), 200);
    }
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("west"));
    sleep(ms(30_000)).await;
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("east"), "its limit is whole again");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_taken_off_what_a_target_says_that_it_can_take() {
    let layer = failover("east west");
    let (mut service, handle) = over(&layer, []);
    let room = Headroom::default().with(Room::new(3, Some(5), Duration::from_secs(30)));
    handle.next(Reply::ok().after(ms(10)).extension(room));
    handle.always(Reply::ok().after(ms(100)));
    let mut open: Vec<_> = (0..3).map(|_| task::spawn(service.call(get()))).collect();
    open.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    sleep(ms(10)).await;
    assert_eq!(status(&open.remove(0).await), 200);
    let mut more: Vec<_> = (0..2).map(|_| task::spawn(service.call(get()))).collect();
    more.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    let pending: Vec<_> = layer.handle().list(Instant::now()).iter().map(|report| report.pending).collect();
    assert_eq!(pending, [3, 1], "two of the three were on their way");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_late_takes_nothing_of_what_a_target_can_take() {
    let layer = failover("east west");
    let (mut service, handle) = over(&layer, []);
    let room = Headroom::default().with(Room::new(3, Some(5), Duration::from_secs(30)));
    handle.next(Reply::ok().extension(room));
    assert_eq!(status(&send(&mut service, get()).await), 200);
    let late = CallContext::new(n(5));
    late.limit_deadline(Instant::now());
    for _ in 0..3 {
        assert_eq!(status(&send(&mut service, with_context(&late)).await), 504);
    }
    for _ in 0..3 {
        assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("east"));
    }
}
