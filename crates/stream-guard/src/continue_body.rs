//! The body of an answer that may be gone on with.

use std::{
    collections::VecDeque,
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{BoxError, EventReader, Oneshot, OpenStream};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tower_service::Service;

use crate::{ContinueLayer, Thread, story::Story};

/// The body of an answer that another target may go on with. See [`ContinueLayer`].
#[pin_project]
pub struct ContinuedBody<S, B, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
{
    #[pin]
    inner: Option<B>,
    /// `None` for an answer that nobody could go on with.
    more: Option<Box<More<S, ReqBody, O, C, T>>>,
}

/// What an answer needs that somebody could go on with. Rare enough to be boxed: the layer is for those who ask for it.
pub(crate) struct More<S: Service<Request<ReqBody>>, ReqBody, O: OpenStream, C, T> {
    pub(crate) service: S,
    pub(crate) layer: Arc<ContinueLayer<O, C>>,
    pub(crate) story: Story<ReqBody, O::Reader, T>,
    pub(crate) expected: Option<O::Expected>,
    pub(crate) call: Option<Pin<Box<Oneshot<S, Request<ReqBody>>>>>,
    pub(crate) out: VecDeque<Frame<Bytes>>,
    pub(crate) error: Option<BoxError>,
}

// === impl ContinuedBody ===

impl<S, B, ReqBody, O, C, T> ContinuedBody<S, B, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
{
    pub(crate) fn new(inner: B, more: Option<More<S, ReqBody, O, C, T>>) -> Self {
        Self { inner: Some(inner), more: more.map(Box::new) }
    }
}

/// A body made at once, such as that of a refusal further out.
impl<S, B, ReqBody, O, C, T> From<Bytes> for ContinuedBody<S, B, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
    B: From<Bytes>,
{
    fn from(bytes: Bytes) -> Self {
        Self { inner: Some(bytes.into()), more: None }
    }
}

impl<S, B, ReqBody, O, C, T> Body for ContinuedBody<S, B, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>, Response = Response<B>> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    O: OpenStream,
    T: Thread<ReqBody>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let Some(more) = this.more.as_mut() else {
                let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
                return inner.poll_frame(cx).map_err(Into::into);
            };
            if let Some(next) = more.next() {
                return Poll::Ready(Some(next));
            }
            if more.call.is_some() {
                let body = ready!(more.poll_call(cx));
                this.inner.set(body);
                continue;
            }
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            let frame = ready!(inner.poll_frame(cx).map_err(Into::into));
            let ended = !matches!(frame, Some(Ok(_)));
            if more.frame(frame) || ended {
                // What broke goes before anybody is asked for the rest.
                this.inner.set(None);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.more, &self.inner) {
            (None, inner) => inner.as_ref().is_none_or(Body::is_end_stream),
            (Some(more), None) => more.out.is_empty() && more.error.is_none() && more.call.is_none(),
            (Some(_), Some(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.more, &self.inner) {
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            // How much comes, nobody can know.
            (Some(_), _) => SizeHint::new(),
        }
    }
}

impl<S, B, ReqBody, O, C, T> fmt::Debug for ContinuedBody<S, B, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ContinuedBody").field("can_go_on", &self.more.is_some()).finish_non_exhaustive()
    }
}

// === impl More ===

impl<S, B, ReqBody, O, C, T> More<S, ReqBody, O, C, T>
where
    S: Service<Request<ReqBody>, Response = Response<B>> + Clone,
    O: OpenStream<Reader: EventReader>,
    T: Thread<ReqBody>,
{
    fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.out.pop_front().map(Ok).or_else(|| self.error.take().map(Err))
    }

    /// Takes in what came. Returns whether the answer broke.
    fn frame(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> bool {
        let (out, broke) = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.story.data(data),
            Some(Ok(Err(other))) => {
                let (out, broke) = self.story.end(None);
                self.put(out);
                // What speaks of a broken answer is not said of one that goes on.
                if broke && self.go_on() {
                    return true;
                }
                self.out.push_back(other);
                return broke;
            }
            Some(Err(error)) => self.story.end(Some(error)),
            None => self.story.end(None),
        };
        self.put(out);
        if broke {
            self.go_on();
        }
        broke
    }

    /// Asks for the rest. Returns `false` if nobody can be asked: then the answer ends.
    fn go_on(&mut self) -> bool {
        match self.story.follow_up() {
            Some(request) => {
                self.expected = Some(self.layer.streams.expect(&request));
                self.call = Some(Box::pin(Oneshot::new(self.service.clone(), request)));
                true
            }
            None => {
                self.give_up();
                false
            }
        }
    }

    /// Waits for the answer of the second target.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<B>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        let result = ready!(call.as_mut().poll(cx));
        self.call = None;
        let expected = self.expected.take();
        if let (Ok(response), Some(expected)) = (result, expected)
            && response.status().is_success()
        {
            let (head, body) = response.into_parts();
            if let Some(reader) = self.layer.streams.open(expected, &head) {
                let mark = self.story.go_on(reader, &head.extensions);
                self.put(mark);
                return Poll::Ready(Some(body));
            }
        }
        self.give_up();
        Poll::Ready(None)
    }

    fn give_up(&mut self) {
        match self.story.give_up() {
            Ok(closing) => self.put(closing),
            Err(error) => self.error = Some(error),
        }
    }

    fn put(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.out.push_back(Frame::data(data));
        }
    }
}
