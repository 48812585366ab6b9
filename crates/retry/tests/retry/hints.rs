//! How long a retry waits, and what servers say about it.

use std::time::{Duration, SystemTime};

use buttress_core::{Class, Outcome, RetryHint, Verdict};
use buttress_retry::Backoff;
use buttress_testkit::{Reply, send};

use super::{get, ms, n, over, retry, status, timed};

/// Retries after `failure` with many seeds; returns the shortest and the longest wait.
async fn waits(failure: Reply) -> (Duration, Duration) {
    let mut waits = Vec::new();
    for seed in 0..50 {
        let (mut service, handle) = over(&retry().seed(seed), [failure.clone()]);
        let (response, wait) = timed(send(&mut service, get())).await;
        assert_eq!((status(&response), handle.calls()), (200, 2));
        waits.push(wait);
    }
    waits.sort();
    (waits[0], waits[waits.len() - 1])
}

/// Asserts that the wait after `failure` is `hint` and up to a tenth more, and that callers are spread over that tenth.
async fn waits_for(hint: Duration, failure: Reply) {
    let (shortest, longest) = waits(failure).await;
    assert!(
        shortest >= hint && longest <= hint + hint / 10,
        "{shortest:?} to {longest:?} is not {hint:?} to 10 % more"
    );
    assert!(
        longest - shortest > hint / 20,
        "callers must not all come back in one moment: {shortest:?} to {longest:?}"
    );
}

/// Asserts that `failure` is returned at once and as it came.
async fn is_returned_at_once(failure: Reply, headers: &[(&str, &str)]) {
    let (mut service, handle) = over(&retry(), [failure]);
    let (response, wait) = timed(send(&mut service, get())).await;
    assert_eq!((status(&response) >= 400, handle.calls(), wait), (true, 1, ms(0)));
    let response = response.expect("the probe answers");
    for (name, value) in headers {
        assert_eq!(response.headers()[*name], *value);
    }
}

fn throttled(name: &'static str, value: &'static str) -> Reply {
    Reply::status(429).header(name, value)
}

#[tokio::test(start_paused = true)]
async fn whole_seconds_are_waited_out_and_at_most_a_tenth_more() {
    waits_for(ms(2_000), throttled("retry-after", "2")).await;
    waits_for(ms(2_000), Reply::status(503).header("retry-after", "2")).await;
}

#[tokio::test(start_paused = true)]
async fn fractions_of_a_second_are_not_cut_off() {
    waits_for(ms(1_500), throttled("retry-after", "1.5")).await;
}

#[tokio::test(start_paused = true)]
async fn dates_of_all_three_forms_are_waited_for() {
    for date in ["Thu, 01 Jan 1970 00:00:02 GMT", "Thursday, 01-Jan-70 00:00:02 GMT", "Thu Jan  1 00:00:02 1970"] {
        waits_for(ms(2_000), throttled("date", "Thu, 01 Jan 1970 00:00:00 GMT").header("retry-after", date)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_without_the_answers_own_clock_is_measured_by_ours() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now + 40));
    let (mut service, _handle) = over(&retry(), [throttled("retry-after", at.leak())]);
    let (_, wait) = timed(send(&mut service, get())).await;
    assert!((30_000..=44_000).contains(&wait.as_millis()), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_date_in_the_past_and_a_zero_mean_at_once() {
    for past in [
        throttled("date", "Thu, 01 Jan 1970 00:00:09 GMT").header("retry-after", "Thu, 01 Jan 1970 00:00:02 GMT"),
        throttled("retry-after", "0"),
        throttled("retry-after-ms", "0"),
        throttled("retry-after", "-7"),
    ] {
        assert_eq!(waits(past).await, (ms(0), ms(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_zero_does_not_lift_the_bound_of_attempts() {
    let (mut service, handle) = over(&retry().attempts(n(4)), []);
    handle.always(throttled("retry-after", "0"));
    let (response, wait) = timed(send(&mut service, get())).await;
    assert_eq!((response.unwrap().status().as_u16(), handle.calls(), wait), (429, 4, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn milliseconds_are_kept_and_win_over_seconds() {
    waits_for(ms(350), throttled("retry-after-ms", "350")).await;
    waits_for(ms(300), throttled("retry-after-ms", "300").header("retry-after", "5")).await;
    waits_for(ms(300), throttled("x-ms-retry-after-ms", "300").header("retry-after", "5")).await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_beyond_the_cap_is_returned_at_once_and_intact() {
    is_returned_at_once(throttled("retry-after", "70"), &[("retry-after", "70")]).await;
    is_returned_at_once(throttled("retry-after-ms", "60001"), &[("retry-after-ms", "60001")]).await;
    is_returned_at_once(throttled("retry-after", "999999999999"), &[("retry-after", "999999999999")]).await;
    waits_for(ms(60_000), throttled("retry-after", "60")).await;
}

#[tokio::test(start_paused = true)]
async fn the_cap_of_hints_can_be_set() {
    let (mut service, handle) = over(&retry().max_hint(ms(500)), [throttled("retry-after-ms", "501")]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 429);
    assert_eq!(handle.calls(), 1);

    let (mut service, handle) = over(&retry().max_hint(ms(100_000)), [throttled("retry-after", "90")]);
    let (_, wait) = timed(send(&mut service, get())).await;
    assert_eq!(handle.calls(), 2);
    assert!((90_000..=99_000).contains(&wait.as_millis()), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_does_not_parse_leaves_the_wait_to_the_back_off() {
    for garbage in ["soon", "", "1e3", "NaN", "0x10", "Thu, 99 Foo 1970 00:00:02 GMT"] {
        let (shortest, longest) = waits(throttled("retry-after", garbage)).await;
        assert!(longest <= ms(1_000) && longest - shortest > ms(500), "{garbage}: {shortest:?} to {longest:?}");
    }
    waits_for(ms(5_000), throttled("retry-after-ms", "soon").header("retry-after", "5")).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_no_is_not_asked_again() {
    is_returned_at_once(Reply::status(503).header("x-should-retry", "false"), &[("x-should-retry", "false")]).await;
    is_returned_at_once(throttled("retry-after", "1").header("x-should-retry", "false"), &[("retry-after", "1")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_yes_is_asked_again_within_the_bound() {
    let willing = || Reply::status(400).header("x-should-retry", "true");
    waits(willing()).await;

    let (mut service, handle) = over(&retry(), []);
    handle.always(willing());
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 400);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_the_wait_is_drawn_below_a_ceiling_that_doubles() {
    let waits_of = async |failure: fn() -> Reply, failures: usize| {
        let mut waits = Vec::new();
        for seed in 0..100 {
            let layer = retry().seed(seed).attempts(n(5)).backoff(Backoff::default().with_base(ms(100)));
            let (mut service, _handle) = over(&layer, (0..failures).map(|_| failure()));
            waits.push(timed(send(&mut service, get())).await.1);
        }
        (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
    };
    let (shortest, longest) = waits_of(|| Reply::status(408), 1).await;
    assert!(shortest < ms(20) && longest > ms(80) && longest <= ms(101), "{shortest:?} to {longest:?}");
    let (_, longest) = waits_of(|| Reply::status(408), 3).await;
    assert!(longest > ms(400) && longest <= ms(703), "{longest:?}");
    let (_, longest) = waits_of(|| Reply::status(429), 1).await;
    assert!(longest > ms(800) && longest <= ms(1_001), "throttling has a base of its own: {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_sequence_of_waits() {
    let sequence = async |seed| {
        let (mut service, handle) = over(&retry().seed(seed), []);
        handle.always(Reply::status(503));
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(timed(send(&mut service, get())).await.1);
        }
        waits
    };
    assert_eq!(sequence(1).await, sequence(1).await);
    assert_ne!(sequence(1).await, sequence(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_a_layer_further_in_left_needs_no_header() {
    let class = |verdict| Class::new(verdict, Outcome::Word("read")).with_hint(RetryHint::after(ms(4_000)));
    waits_for(ms(4_000), Reply::status(429).extension(class(Verdict::RateLimited))).await;
    let full = Reply::status(429).extension(class(Verdict::CapacityByDesign));
    assert_eq!(waits(full).await, (ms(4_000), ms(4_000)), "who computes the moment is taken at his word");
}
