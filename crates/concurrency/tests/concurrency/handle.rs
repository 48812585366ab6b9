//! A limit that is changed while it is in use.

use crate::support::{answer, begin, done, fixed, n, queue, refusal, streaming};
use tokio_test::assert_pending;

#[tokio::test(start_paused = true)]
async fn a_raised_limit_lets_those_in_who_wait() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let _stream = answer(&mut service);
    let mut waiting: Vec<_> = (0..5).map(|_| begin(&mut service)).collect();
    waiting.iter_mut().for_each(|call| assert_pending!(call.poll()));
    layer.handle().set_limit(n(4));
    assert_eq!(waiting.iter().filter(|call| call.is_woken()).count(), 3);
    assert_eq!((layer.handle().in_flight(), layer.handle().queued(), layer.handle().limit()), (4, 2, 4));
    let _streams: Vec<_> = waiting.iter_mut().take(3).map(done).collect();
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_lets_calls_end_and_gives_their_places_to_nobody() {
    let layer = fixed(5).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let mut streams: Vec<_> = (0..5).map(|_| answer(&mut service)).collect();
    layer.handle().set_limit(n(2));
    let mut waiting = begin(&mut service);
    for left in [4, 3, 2] {
        assert_pending!(waiting.poll());
        streams.pop();
        assert_eq!(layer.handle().in_flight(), left);
    }
    assert_pending!(waiting.poll());
    streams.pop();
    assert!(waiting.is_woken());
    assert_eq!(done(&mut waiting).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_least_and_the_greatest_limits_hold() {
    let layer = fixed(1);
    let (mut service, _probe) = streaming(&layer);
    layer.handle().set_limit(n(u32::MAX));
    let streams: Vec<_> = (0..1_000).map(|_| answer(&mut service)).collect();
    assert_eq!((layer.handle().in_flight(), layer.handle().limit()), (1_000, u32::MAX));
    layer.handle().set_limit(n(1));
    refusal(&answer(&mut service));
    drop(streams);
    let _stream = answer(&mut service);
    refusal(&answer(&mut service));
}
