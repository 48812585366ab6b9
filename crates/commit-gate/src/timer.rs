//! When the time is over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Polls a timer that is set when it is needed, and that fires even in a task that never rests.
///
/// A timer asks the runtime for its share of the task's turn, and whoever was polled before may have used that up. The clock
/// can always be asked.
pub(crate) fn poll_expired(mut timer: Pin<&mut Option<Sleep>>, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.is_none() {
        timer.set(Some(sleep_until(at)));
    }
    match timer.as_pin_mut().expect("it was set a line above").poll(cx) {
        Poll::Pending if Instant::now() < at => Poll::Pending,
        Poll::Pending | Poll::Ready(()) => Poll::Ready(()),
    }
}
