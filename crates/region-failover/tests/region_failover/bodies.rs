//! What an answer comes to after its head.

use buttress_core::{AnswerReport, Class, Headroom, Label, Outcome, Room, Speaker, Verdict};
use buttress_region_failover::HealthPolicy;
use buttress_testkit::send;
use tokio::time::advance;
use tower::ServiceExt as _;

use super::*;

type Answer = (Response<Payload>, Speaker);

/// Answers with a report, and puts its reader aside as if it stood in the body.
fn reader() -> (impl Service<Request<Payload>, Response = Response<Payload>, Error = Infallible> + Clone, Readers) {
    let readers = Readers::default();
    let kept = Arc::clone(&readers);
    let upstream = service_fn(move |_: Request<Payload>| {
        let mut response = Response::new(Payload::default());
        let speaker = AnswerReport::of_or_new(response.extensions_mut()).speak();
        kept.lock().expect("nothing panics in here").push(speaker);
        ready(Ok(response))
    });
    (upstream, readers)
}

type Readers = Arc<Mutex<Vec<Speaker>>>;

async fn ask<S>(service: S, readers: &Readers) -> Answer
where
    S: Service<Request<Payload>, Response = Response<Payload>, Error = Infallible>,
{
    let response = service.oneshot(get()).await.expect("an answer");
    let speaker = readers.lock().expect("nothing panics in here").pop().expect("it was read");
    (response, speaker)
}

fn pending(layer: &Failover) -> u32 {
    layer.handle().list(Instant::now())[0].pending
}

fn truncated() -> Class {
    Class::new(Verdict::Truncated, Outcome::Word("truncated"))
}

#[tokio::test(start_paused = true)]
async fn a_request_is_pending_to_the_end_of_its_body_and_not_of_its_extensions() {
    let layer = failover("east");
    let (upstream, readers) = reader();
    let service = layer.layer(upstream);
    let (response, speaker) = ask(service.clone(), &readers).await;
    let (_, second) = ask(service, &readers).await;
    assert_eq!(pending(&layer), 2, "only the heads have come");
    speaker.conclude(Class::SUCCESS);
    assert_eq!(pending(&layer), 2);
    drop(speaker);
    assert_eq!(pending(&layer), 1);
    drop(second);
    assert_eq!(pending(&layer), 0, "a reader that was dropped counts no more");
    assert!(response.extensions().get::<AnswerReport>().is_some(), "and still the report lives on");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_truncates_every_answer_is_out() {
    let layer = failover("east west");
    let (upstream, readers) = reader();
    let service = layer.layer(upstream);
    for _ in 0..5 {
        let (response, speaker) = ask(service.clone(), &readers).await;
        assert_eq!(served_by(&response), Some("east"));
        speaker.conclude(truncated());
    }
    let (response, speaker) = ask(service.clone(), &readers).await;
    assert_eq!(served_by(&response), Some("west"));
    drop(speaker);
}

#[tokio::test(start_paused = true)]
async fn a_target_returns_only_when_an_answer_has_come_to_its_end() {
    let health = HealthPolicy::DEFAULT.outage_after(1).hysteresis(ms(0)).slow_start(ms(0));
    let layer = failover("east west").health(health);
    let (upstream, readers) = reader();
    let service = layer.layer(upstream);
    ask(service.clone(), &readers).await.1.conclude(truncated());
    let health = || layer.handle().list(Instant::now())[0].health;
    assert_eq!(health(), 0.0);
    advance(ms(5000)).await;
    let (response, speaker) = ask(service.clone(), &readers).await;
    assert_eq!(served_by(&response), Some("east"), "it is looked at");
    assert_eq!(health(), 0.0, "a head alone is no proof");
    speaker.conclude(Class::SUCCESS);
    assert!(health() > 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_from_a_stream_says_nothing_of_its_target() {
    let layer = failover("east west");
    let (upstream, readers) = reader();
    let service = layer.layer(upstream);
    for _ in 0..50 {
        drop(ask(service.clone(), &readers).await);
    }
    let report = &layer.handle().list(Instant::now())[0];
    assert_eq!((report.health, report.pending), (1.0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_says_it_has_nothing_left_is_left_alone_until_then() {
    let room = |left| Headroom::default().with(Room::new(left, Some(1000), ms(7_000)));
    let (mut service, handle) = over(&failover("east west"), [Reply::ok().extension(room(0))]);
    let mut ask = async || served_by(&send(&mut service, get()).await.expect("an answer")).map(str::to_owned);
    assert_eq!(ask().await.as_deref(), Some("east"), "the answer itself is good");
    for _ in 0..10 {
        assert_eq!(ask().await.as_deref(), Some("west"));
    }
    advance(ms(7_000)).await;
    handle.next(Reply::ok().extension(room(19)));
    assert_eq!(ask().await.as_deref(), Some("east"));
    let mut east = 0;
    for _ in 0..200 {
        east += u32::from(ask().await.as_deref() == Some("east"));
    }
    assert!((5..=19).contains(&east), "a tenth or so while little is left, and no more than that: {east} of 200");
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_says_is_left_counts_for_nothing() {
    let (mut service, _handle) = over(&failover("east west"), []);
    let mut request = get();
    request.extensions_mut().insert(Headroom::default().with(Room::new(0, Some(1), HOUR)));
    request.headers_mut().insert("x-ratelimit-remaining-tokens", http::HeaderValue::from_static("0"));
    drop(send(&mut service, request).await);
    assert_eq!(served_by(&send(&mut service, get()).await.expect("an answer")), Some("east"));
}

#[tokio::test(start_paused = true)]
async fn what_the_end_of_a_body_says_of_a_credential_is_held_against_that_alone() {
    let label = |name| Label::try_new(name).expect("a valid name");
    let east = || target("east").with_credentials(["k1", "k2"].map(label));
    for (verdict, own_limits, parked) in [
        (Verdict::QuotaExhausted, false, true),
        (Verdict::CredentialDead, false, true),
        (Verdict::RateLimited, true, true),
        (Verdict::RateLimited, false, false),
    ] {
        let east = if own_limits { east().with_limits_by_credential() } else { east() };
        let layer = RegionFailoverLayer::try_new([east, target("west")]).expect("names that differ").replay(Http);
        let (upstream, readers) = reader();
        let (_, speaker) = ask(layer.layer(upstream), &readers).await;
        speaker.conclude(Class::new(verdict, Outcome::Word("spent")));
        let report = &layer.handle().list(Instant::now())[0];
        let credentials: Vec<_> = report.credentials.iter().map(|one| one.parked.is_some()).collect();
        assert_eq!((credentials, report.parked.is_none()), (vec![parked, false], parked), "{verdict}");
        assert_eq!(report.pending, 1);
        drop(speaker);
        assert_eq!(layer.handle().list(Instant::now())[0].pending, 0);
    }
}
