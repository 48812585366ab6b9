//! When the time is over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep};

/// Polls a timer that fires even in a task that never rests.
///
/// A timer asks the runtime for its share of the task's turn. Whoever was polled before may have used that up, turn
/// after turn, and then the timer is never asked whether it has fired. The clock can always be asked.
pub(crate) fn poll_expired(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let at = timer.deadline();
    match timer.poll(cx) {
        Poll::Pending if Instant::now() < at => Poll::Pending,
        Poll::Pending | Poll::Ready(()) => Poll::Ready(()),
    }
}
