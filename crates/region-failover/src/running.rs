//! One attempt, and its time.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::Oneshot;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::aim::{Aim, UnderWay};

/// One attempt, and its time.
#[pin_project]
pub(crate) struct Running<S: Service<Req>, Req> {
    #[pin]
    attempt: Oneshot<S, Req>,
    /// Registered only if the attempt is not ready at once.
    #[pin]
    timer: Option<Sleep>,
    /// When the request is slow, if that is still to come.
    slow_at: Option<Instant>,
    under_way: UnderWay,
}

/// What an attempt has come to.
pub(crate) enum Came<T> {
    Answer(T),
    /// Its time is over.
    TooLate,
    /// It is slow, and goes on.
    Slow,
}

// === impl Running ===

impl<S: Service<Req>, Req> Running<S, Req> {
    pub(crate) fn new(service: S, to: Aim, request: Req, slow_at: Option<Instant>) -> Self {
        let slow_at = slow_at.filter(|at| *at < to.until);
        Self { attempt: Oneshot::new(service, request), timer: None, slow_at, under_way: to.under_way() }
    }

    pub(crate) fn under_way(self: Pin<&mut Self>) -> &mut UnderWay {
        self.project().under_way
    }

    /// Polls the attempt, then the timer.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Came<Result<S::Response, S::Error>>> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.attempt.poll(cx) {
            return Poll::Ready(Came::Answer(output));
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(this.slow_at.unwrap_or(this.under_way.to.until))));
        }
        let mut timer = this.timer.as_pin_mut().expect("set above");
        ready!(timer.as_mut().poll(cx));
        match this.slow_at.take() {
            Some(_) => {
                timer.reset(this.under_way.to.until);
                Poll::Ready(Came::Slow)
            }
            None => Poll::Ready(Came::TooLate),
        }
    }
}
