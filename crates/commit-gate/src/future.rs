//! A call whose answer is held back.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{AnswerReport, BoxError, Class, EventReader as _, OpenStream, StreamFailure, Verdict};
use bytes::Bytes;
use http::{Response, response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::{
    CommitGateLayer, ResponseBody, failure,
    gate::{Gate, Opening, Ruling},
    held::Held,
    timer::poll_expired,
};

/// The future of [`CommitGate`](crate::CommitGate).
///
/// # Cancel safety
///
/// Dropping it drops the call, and what was held of its answer.
#[pin_project]
pub struct ResponseFuture<F, B, O: OpenStream> {
    #[pin]
    state: State<F, B, O>,
    /// Registered only if the answer is not there at once.
    #[pin]
    timer: Option<Sleep>,
    until: Option<Instant>,
    layer: Arc<CommitGateLayer<O>>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every call comes to hold an answer, and a box would cost each of them"
)]
enum State<F, B, O: OpenStream> {
    Called {
        #[pin]
        inner: F,
        expected: Option<O::Expected>,
    },
    Holding(Holding<B, O::Reader>),
    Done,
}

/// An answer whose beginning is read.
struct Holding<B, R> {
    head: response::Parts,
    body: B,
    /// Boxed: the answer is moved as it is held and let go, and what reads it may be large.
    gate: Box<Gate<R>>,
    /// What somebody further in says who may read the answer too.
    report: Option<AnswerReport>,
    held: Held,
    after: Option<Box<Frame<Bytes>>>,
    ended: bool,
    /// The length that the body announced.
    hint: SizeHint,
}

// === impl ResponseFuture ===

impl<F, B, O: OpenStream> ResponseFuture<F, B, O> {
    pub(crate) const fn new(
        inner: F,
        expected: O::Expected,
        until: Option<Instant>,
        layer: Arc<CommitGateLayer<O>>,
    ) -> Self {
        Self { state: State::Called { inner, expected: Some(expected) }, timer: None, until, layer }
    }
}

impl<F, B, O, Err> Future for ResponseFuture<F, B, O>
where
    F: Future<Output = Result<Response<B>, Err>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    O: OpenStream,
{
    type Output = Result<Response<ResponseBody<B>>, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Called { inner, expected } => match inner.poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        let expected = expected.take().expect("an answer comes once");
                        match this.layer.hold(expected, response) {
                            Ok(holding) => this.state.set(State::Holding(holding)),
                            Err(response) => {
                                this.state.set(State::Done);
                                return Poll::Ready(Ok(response.map(ResponseBody::passing)));
                            }
                        }
                    }
                    Poll::Ready(Err(error)) => {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending => {
                        let Some(until) = *this.until else { return Poll::Pending };
                        ready!(poll_expired(this.timer, until, cx));
                        let expected = expected.take().expect("time is over once");
                        // The call goes before its failure is told.
                        this.state.set(State::Done);
                        return Poll::Ready(Ok(this.layer.late(&expected)));
                    }
                },
                StateProj::Holding(holding) => {
                    let mut ruling = Ruling::Fail(StreamFailure::late());
                    if let Poll::Ready(ready) = holding.poll(cx) {
                        ruling = ready;
                    } else {
                        let Some(until) = *this.until else { return Poll::Pending };
                        ready!(poll_expired(this.timer, until, cx));
                        this.layer.counters.late();
                    }
                    let StateOwn::Holding(holding) = this.state.project_replace(State::Done) else {
                        unreachable!("it was held a line above");
                    };
                    return Poll::Ready(Ok(this.layer.settle(holding, ruling)));
                }
                StateProj::Done => panic!("polled after completion"),
            }
        }
    }
}

impl<F, B, O: OpenStream> fmt::Debug for ResponseFuture<F, B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("until", &self.until).finish_non_exhaustive()
    }
}

// === impl CommitGateLayer ===

impl<O: OpenStream> CommitGateLayer<O> {
    /// Begins to hold `response`, or gives it back if its body is not to be read.
    fn hold<B: Body>(
        &self,
        expected: O::Expected,
        response: Response<B>,
    ) -> Result<Holding<B, O::Reader>, Response<B>> {
        // Whoever is further in and says that this is a failure has read it.
        let judged = |class: &Class| class.verdict != Verdict::Success;
        if !response.status().is_success() || response.extensions().get().is_some_and(judged) {
            return Err(response);
        }
        let (head, body) = response.into_parts();
        let hint = body.size_hint();
        match self.streams.open(expected, &head) {
            Some(reader) => Ok(Holding {
                report: head.extensions.get().cloned(),
                head,
                body,
                gate: Box::new(Gate::new(reader, self.settings.bounds)),
                held: Held::default(),
                after: None,
                ended: false,
                hint,
            }),
            None => Err(Response::from_parts(head, body)),
        }
    }

    /// No head came in time.
    fn late<B>(&self, expected: &O::Expected) -> Response<ResponseBody<B>> {
        self.counters.late();
        self.counters.failed();
        let failure = StreamFailure::late();
        let (head, ()) = Response::new(()).into_parts();
        failure::response(head, &failure, self.streams.envelope(expected, &failure))
    }

    fn settle<B>(&self, holding: Holding<B, O::Reader>, ruling: Ruling) -> Response<ResponseBody<B>> {
        let Holding { mut head, body, gate, report, held, after, ended, hint } = holding;
        let opening = match ruling {
            Ruling::Open(opening) => opening,
            Ruling::Hold => unreachable!("an answer is settled when it is ruled on"),
            Ruling::Fail(failure) => {
                // Its connection goes before anybody is told, and with it what was held.
                drop(body);
                self.counters.failed();
                let failure = failure::as_found(failure, head.extensions.get());
                let envelope = gate.reader().envelope(&failure);
                return failure::response(head, &failure, envelope);
            }
        };
        match opening {
            Opening::Content if report.is_some_and(|report| report.begun_by::<O::Reader>()) => {}
            Opening::Content => AnswerReport::of_or_new(&mut head.extensions).begin(Instant::now()),
            Opening::End => {}
            Opening::Events | Opening::Bytes => {
                let (events, bytes) = gate.held();
                let by = if opening == Opening::Events { "events" } else { "bytes" };
                debug!(by, events, bytes, "answer goes out without content: a bound was reached");
            }
        }
        self.opened(opening);
        Response::from_parts(head, ResponseBody::rejoined(held.into_bytes(), after, ended, hint, body))
    }
}

// === impl Holding ===

impl<B, R> Holding<B, R>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    R: buttress_core::EventReader + 'static,
{
    /// How many frames are read before others get their turn.
    const FRAMES_A_TURN: usize = 64;

    /// Reads on until something is known.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ruling> {
        for _ in 0..Self::FRAMES_A_TURN {
            if self.body.is_end_stream() {
                return Poll::Ready(self.gate.finish());
            }
            let ruling = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.read(frame),
                Some(Err(error)) => Ruling::Fail(failure::of_error(&error.into())),
                None => {
                    self.ended = true;
                    self.gate.finish()
                }
            };
            if ruling != Ruling::Hold {
                return Poll::Ready(ruling);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn read(&mut self, frame: Frame<Bytes>) -> Ruling {
        match frame.into_data() {
            Ok(data) => {
                // Who has read it further in with such a reader tells of its content before the content can be seen here.
                let begun = self.report.as_ref().is_some_and(AnswerReport::begun_by::<R>);
                let ruling = if begun { Ruling::Open(Opening::Content) } else { self.gate.read(&data) };
                self.held.push(data);
                ruling
            }
            Err(frame) => {
                self.after = Some(Box::new(frame));
                self.gate.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Bytewise;
    use std::future::Ready;

    #[test]
    fn the_future_is_no_larger_than_what_it_waits_for() {
        type Wrapped = ResponseFuture<Ready<Result<Response<buttress_core::Body>, ()>>, buttress_core::Body, Bytewise>;
        let answer = size_of::<Ready<Result<Response<buttress_core::Body>, ()>>>();
        assert!(size_of::<Wrapped>() <= answer + size_of::<Sleep>() + 200, "{}", size_of::<Wrapped>());
    }
}
