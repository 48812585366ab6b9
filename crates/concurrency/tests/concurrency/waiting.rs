//! What becomes of a call that finds no place.

use std::{sync::Arc, task::Wake};

use crate::support::{Call, answer, begin, begin_with, done, due_in, fixed, ms, n, queue, ready, refusal, streaming};
use buttress_concurrency::Queue;
use buttress_core::{RefusalKind, Verdict};
use http::Response;
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready};
use tower::Service as _;

fn status<B>(response: &Response<B>) -> u16 {
    response.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_refused_at_once_when_the_queue_is_full() {
    let layer = fixed(1).queue(Queue::of(n(2)));
    let (mut service, probe) = streaming(&layer);
    let _stream = answer(&mut service);
    let mut waiting = [(); 2].map(|()| begin(&mut service));
    waiting.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let now = Instant::now();
    let refused = refusal(&answer(&mut service));
    assert_eq!((Instant::now(), probe.calls()), (now, 1), "it is there at the first poll, and nobody was called");
    assert_eq!((refused.kind(), refused.class().verdict), (RefusalKind::Overloaded, Verdict::CapacityByDesign));
    assert!(!refused.class().begun, "a retry or a failover may act on it");
}

#[tokio::test(start_paused = true)]
async fn callers_are_told_to_come_back_at_different_times() {
    let told = |seed| {
        let layer = fixed(1).retry_after(ms(4_000)).seed(seed);
        let (mut service, _probe) = streaming(&layer);
        let _stream = answer(&mut service);
        [(); 20].map(|()| refusal(&answer(&mut service)).retry_after().expect("a time"))
    };
    let times = told(1);
    assert!(times.iter().all(|time| (ms(4_000)..=ms(8_000)).contains(time)), "{times:?}");
    let mut distinct = times.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), times.len());
    assert_eq!(told(1), times, "the same seed tells the same");
    assert_ne!(told(2), times);
}

#[tokio::test(start_paused = true)]
async fn calls_are_served_in_the_order_in_which_they_came() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let mut stream = answer(&mut service);
    let mut waiting: Vec<Call> = (0..4).map(|_| begin(&mut service)).collect();
    waiting.iter_mut().for_each(|call| assert_pending!(call.poll()));
    assert_eq!(layer.handle().queued(), 4);
    for nth in 0..4 {
        drop(stream);
        let woken: Vec<bool> = waiting.iter().map(|call| call.is_woken()).collect();
        assert_eq!(woken, (0..waiting.len()).map(|at| at == 0).collect::<Vec<_>>(), "{nth}");
        stream = done(&mut waiting.remove(0));
        assert_eq!(status(&stream), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_who_wait() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut first = begin(&mut service);
    assert_pending!(first.poll());
    drop(stream);
    // The first has been given the place, and has not been polled yet.
    let mut second = begin(&mut service);
    assert_pending!(second.poll());
    assert_eq!(status(&done(&mut first)), 200);
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_first_once_the_oldest_has_waited_for_too_long() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut oldest = begin(&mut service);
    assert_pending!(oldest.poll());
    advance(ms(1_001)).await;
    let mut newest = begin(&mut service);
    assert_pending!(newest.poll());
    drop(stream);
    assert!(newest.is_woken() && !oldest.is_woken());
    drop(done(&mut newest));
    assert!(oldest.is_woken(), "nobody else is there");
    assert_eq!(status(&done(&mut oldest)), 200);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_is_refused_in_the_end_however_many_newer_ones_come() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let mut stream = answer(&mut service);
    let mut oldest = begin(&mut service);
    assert_pending!(oldest.poll());
    advance(ms(1_001)).await;
    for _ in 0..17 {
        let mut newer = begin(&mut service);
        assert_pending!(newer.poll());
        drop(stream);
        stream = done(&mut newer);
        advance(ms(500)).await;
        assert_pending!(oldest.poll());
    }
    advance(ms(500)).await;
    assert!(oldest.is_woken());
    let refused = refusal(&done(&mut oldest));
    assert_eq!(refused.kind(), RefusalKind::Overloaded);
    assert_eq!(layer.handle().queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_deadline() {
    let layer = fixed(1).queue(queue());
    let (mut service, probe) = streaming(&layer);
    let _stream = answer(&mut service);
    let mut call = begin_with(&mut service, due_in(ms(300)));
    assert_pending!(call.poll());
    advance(ms(299)).await;
    assert_pending!(call.poll());
    advance(ms(1)).await;
    let refused = refusal(&done(&mut call));
    assert_eq!((refused.kind(), probe.calls()), (RefusalKind::DeadlineExceeded, 1));
    assert!(!refused.class().retry_here(), "there is no time to try again");

    let late = done(&mut begin_with(&mut service, due_in(ms(0))));
    assert_eq!(refusal(&late).kind(), RefusalKind::DeadlineExceeded);
    assert_eq!(layer.handle().queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_at_the_deadline_is_taken() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut call = begin_with(&mut service, due_in(ms(300)));
    assert_pending!(call.poll());
    drop(stream);
    advance(ms(5_000)).await;
    assert_eq!(status(&done(&mut call)), 200, "it was given in time");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_not_given_to_one_whose_time_is_over() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut late = begin_with(&mut service, due_in(ms(300)));
    let mut next = begin(&mut service);
    assert_pending!(late.poll());
    assert_pending!(next.poll());
    advance(ms(400)).await;
    drop(stream);
    assert!(next.is_woken());
    assert_eq!(status(&done(&mut next)), 200);
    assert_eq!(refusal(&done(&mut late)).kind(), RefusalKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_place_granted_to_a_call_that_is_dropped_goes_to_the_next() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut waiting = [(); 3].map(|()| begin(&mut service));
    waiting.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let [first, second, mut third] = waiting;
    drop(second);
    assert_eq!(layer.handle().queued(), 2, "no gap is left");
    drop(stream);
    assert!(first.is_woken() && !third.is_woken());
    drop(first);
    assert!(third.is_woken());
    assert_eq!(status(&done(&mut third)), 200);
    assert_eq!((layer.handle().in_flight(), layer.handle().queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_takes_its_turn_and_gives_it_up() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let [first, mut second] = [(); 2].map(|()| begin(&mut service));
    drop(stream);
    assert_eq!(layer.handle().in_flight(), 1, "the first has the place without having asked");
    drop(first);
    assert_eq!(status(&done(&mut second)), 200);
}

#[tokio::test(start_paused = true)]
async fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    struct Count(std::sync::atomic::AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    ready(&mut service);
    let mut call = Box::pin(service.call(buttress_testkit::request()));
    let counts = [(); 2].map(|()| Arc::new(Count(0.into())));
    for count in &counts {
        let waker = Arc::clone(count).into();
        assert_pending!(call.as_mut().poll(&mut std::task::Context::from_waker(&waker)));
    }
    drop(stream);
    assert_eq!(counts.map(|count| count.0.load(std::sync::atomic::Ordering::Relaxed)), [0, 1]);
    assert_ready!(call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))).expect("served");
}
