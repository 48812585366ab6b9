//! Panics, crowds, and what is traced.

use std::panic::{AssertUnwindSafe, catch_unwind};

use buttress_concurrency::{Algorithm, ConcurrencyLayer, Queue, Sample};
use buttress_testkit::{ProbeError, TraceGuard};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer as _, Service as _, service_fn};

use crate::support::{answer, begin, fixed, ms, n, queue, ready, refusal, streaming};

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_inner_service_gives_the_place_back() {
    let layer = fixed(1);
    let handle = layer.handle();
    let mut in_call =
        layer.clone().plain(refuse).layer(service_fn(|_: u64| -> std::future::Ready<_> { panic!("in call") }));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(in_call.call(1)))).is_err());
    assert_eq!(handle.in_flight(), 0);

    let mut in_poll = layer.plain(refuse).layer(service_fn(|_: u64| async { panic!("in poll") }));
    let mut call = task::spawn(in_poll.call(1));
    assert!(catch_unwind(AssertUnwindSafe(|| call.poll().is_ready())).is_err());
    drop(call);
    assert_eq!(handle.in_flight(), 0);
}

fn refuse(_: buttress_core::Refusal) -> Result<u64, ProbeError> {
    Err(ProbeError::new("refused"))
}

#[derive(Clone, Debug)]
struct Broken;

impl Algorithm for Broken {
    fn limit(&self) -> u32 {
        0
    }

    fn on_sample(&mut self, _: &Sample) {
        panic!("an algorithm of somebody's own");
    }

    fn restart(&mut self, _: u32) {}
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_that_panics_costs_no_place_and_a_limit_of_zero_is_one() {
    let layer = ConcurrencyLayer::adaptive(Broken);
    let handle = layer.handle();
    assert_eq!(handle.limit(), 1);
    let mut service = layer.plain(refuse).layer(service_fn(|number: u64| async move { Ok::<_, ProbeError>(number) }));
    for _ in 0..3 {
        let mut call = task::spawn(service.call(1));
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll().is_ready())).is_err());
        drop(call);
        assert_eq!(handle.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_finds_a_queue_of_the_length_that_was_set() {
    let layer = fixed(1).queue(Queue::of(n(1_000)).max_wait(ms(60_000)));
    let (mut service, _probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut waiting = Vec::new();
    for caller in 0..20_000 {
        // Refusals are plain futures: those who wait are told apart by the count.
        if caller < 1_000 {
            waiting.push(begin(&mut service));
        } else if caller % 1_000 == 0 {
            refusal(&answer(&mut service));
        } else {
            ready(&mut service);
            drop(service.call(buttress_testkit::request()));
        }
    }
    assert_eq!(layer.handle().queued(), 1_000);
    drop(waiting);
    drop(stream);
    assert_eq!((layer.handle().queued(), layer.handle().in_flight()), (0, 0));
    drop(answer(&mut service));
}

#[tokio::test(start_paused = true)]
async fn calls_and_bodies_dropped_in_any_order_leave_nothing_behind() {
    let layer = fixed(3).queue(queue());
    let (mut service, probe) = streaming(&layer);
    let mut streams: Vec<_> = (0..3).map(|_| answer(&mut service)).collect();
    let mut waiting: Vec<_> = (0..8).map(|_| begin(&mut service)).collect();
    let mut lot = 12_345_u64;
    while !(streams.is_empty() && waiting.is_empty()) {
        lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(lot >> 40).unwrap();
        if lot >> 63 == 0 && !streams.is_empty() {
            streams.swap_remove(at % streams.len());
        } else if !waiting.is_empty() {
            let at = at % waiting.len();
            if lot >> 62 & 1 == 0 {
                drop(waiting.swap_remove(at));
            } else if let std::task::Poll::Ready(answer) = waiting[at].poll() {
                drop(waiting.swap_remove(at));
                streams.push(answer.expect("an answer"));
            }
        }
        assert!(layer.handle().in_flight() <= 3);
    }
    assert_eq!((layer.handle().queued(), layer.handle().in_flight()), (0, 0));
    probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn events_have_stable_names_and_hold_nothing_of_the_request() {
    let trace = TraceGuard::new();
    let layer = fixed(1).queue(Queue::of(n(1)));
    let (mut service, _probe) = streaming(&layer);
    let _stream = answer(&mut service);
    let mut waiting = begin(&mut service);
    assert_pending!(waiting.poll());
    drop(assert_ready!(begin(&mut service).poll()));
    let text = trace.lines().join("\n");
    assert!(text.contains("queued") && text.contains("refused"), "{text}");
}
