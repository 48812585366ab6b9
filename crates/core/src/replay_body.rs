//! A request body that can be sent again.

use std::{
    collections::VecDeque,
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// A request body that can be sent again, within a bound.
///
/// Nothing is read ahead: the first attempt pulls frames from the inner body as it needs them, and each is kept, by
/// reference, until the bound is passed. A [`replay`](Self::replay) first repeats what was kept and then goes on with the
/// inner body where the last attempt stopped; so it does not matter how much of the body an attempt that failed had sent.
/// Trailers are replayed too. Beyond the bound (or 65,536 frames) what was kept is let go, the attempt under way goes on, and there is no
/// further replay.
///
/// Only the newest attempt may read. An older one that is still polled, such as the body of a request whose answer came
/// early, fails with [`Superseded`], so that two attempts never share out one body. One that has sent all ends as ever.
pub struct ReplayBody<B> {
    shared: Arc<Mutex<Shared<B>>>,
    attempt: u32,
    /// How many of the kept frames this attempt has sent.
    sent: usize,
    trailers_sent: bool,
}

/// The most frames that are kept, of any size: 2 MiB of places in the queue.
const MAX_FRAMES: usize = 65_536;

struct Shared<B> {
    inner: B,
    /// The newest attempt.
    attempt: u32,
    kept: VecDeque<Bytes>,
    kept_bytes: u64,
    max_bytes: u64,
    /// The inner body announced its exact length.
    announced: bool,
    trailers: Option<HeaderMap>,
    /// Who waits for the inner body. It must hear of a newer attempt, or it would wait for ever.
    reader: Option<Waker>,
    /// The inner body has been read from. Until then it can be sent from its first byte, whatever its length.
    touched: bool,
    /// The inner body has said its last word, kept or not. It must not be asked again.
    finished: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The inner body has ended.
    Ended,
    /// The bound was passed, or the inner body failed: what came so far is not kept.
    Lost,
}

/// The error of a [`ReplayBody`] that was read after a newer attempt had taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Superseded;

// === impl ReplayBody ===

impl<B: Body> ReplayBody<B> {
    /// Wraps `inner`, and keeps up to `max_bytes` of it.
    ///
    /// A body that announces more than that is not kept at all: it can be sent again only until it was first read.
    pub fn new(inner: B, max_bytes: u64) -> Self {
        let too_long = inner.size_hint().lower() > max_bytes;
        let state = match (inner.is_end_stream(), too_long) {
            (true, _) => State::Ended,
            (false, true) => State::Lost,
            (false, false) => State::Reading,
        };
        let shared = Shared {
            announced: inner.size_hint().exact().is_some(),
            inner,
            attempt: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            max_bytes,
            trailers: None,
            reader: None,
            touched: false,
            finished: false,
            state,
        };
        Self { shared: Arc::new(Mutex::new(shared)), attempt: 0, sent: 0, trailers_sent: false }
    }
}

impl<B> ReplayBody<B> {
    /// Returns whether the body can be sent again from its first byte.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.lock().is_whole()
    }

    /// Returns whether the first attempt has read all there is, and no further one was begun. Whether a later one has, cannot be
    /// told from here.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        let shared = self.lock();
        shared.attempt == 0 && shared.state == State::Ended
    }

    /// Begins another attempt, or returns `None` if the body is too long to be sent again. Ends all earlier attempts.
    #[must_use]
    pub fn replay(&self) -> Option<Self> {
        let mut shared = self.lock();
        if !shared.is_whole() {
            return None;
        }
        shared.attempt += 1;
        let (attempt, reader) = (shared.attempt, shared.reader.take());
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
        Some(Self { shared: Arc::clone(&self.shared), attempt, sent: 0, trailers_sent: false })
    }

    /// Returns a handle for later replays that is never read itself.
    pub(crate) fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), attempt: self.attempt, sent: 0, trailers_sent: false }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        // The inner body may have panicked in a poll. `state` says what is whole, and it is changed last.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut shared = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.attempt != this.attempt {
            // Who has sent all may hear so, whoever sends it again.
            let sent = shared.state == State::Ended
                && this.sent == shared.kept.len()
                && (this.trailers_sent || shared.trailers.is_none());
            return Poll::Ready((!sent).then(|| Err(Superseded.into())));
        }
        if let Some(data) = shared.kept.get(this.sent) {
            this.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if shared.state == State::Ended {
            let trailers = if mem::replace(&mut this.trailers_sent, true) { None } else { shared.trailers.clone() };
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if shared.finished {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = shared.poll_inner(cx) else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) if frame.is_data() => this.sent = shared.kept.len(),
            _ => this.trailers_sent = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        shared.attempt == self.attempt
            && match shared.state {
                State::Ended => self.sent == shared.kept.len() && (self.trailers_sent || shared.trailers.is_none()),
                State::Lost => shared.inner.is_end_stream(),
                State::Reading => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let unsent = shared.kept.iter().skip(self.sent).map(|data| data.len() as u64).sum::<u64>();
        if shared.state == State::Ended {
            let mut hint = SizeHint::with_exact(unsent);
            if shared.trailers.is_some() && !self.trailers_sent && !shared.announced {
                // HTTP/1 leaves out trailers where the length is known, and so far it was not.
                hint = SizeHint::new();
                hint.set_lower(unsent);
            }
            return hint;
        }
        let inner = shared.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(unsent)) {
            hint.set_upper(upper);
        }
        hint.set_lower(inner.lower().saturating_add(unsent));
        hint
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        f.debug_struct("ReplayBody")
            .field("attempt", &self.attempt)
            .field("state", &shared.state)
            .field("kept_bytes", &shared.kept_bytes)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    fn is_whole(&self) -> bool {
        self.state != State::Lost || !self.touched
    }
}

impl<B: Body + Unpin> Shared<B> {
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.touched = true;
        let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame.map_data(|mut data| data.copy_to_bytes(data.remaining())),
            Some(Err(error)) => {
                self.finished = true;
                self.lose();
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.end();
                return Poll::Ready(None);
            }
        };
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                self.keep(data.clone());
                if self.inner.is_end_stream() {
                    self.end();
                }
            }
            (_, Some(trailers)) => {
                self.trailers = Some(trailers.clone());
                self.end();
            }
            // A frame of a kind not known here cannot be repeated.
            (None, None) => self.lose(),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn keep(&mut self, data: Bytes) {
        if self.state != State::Reading {
            return;
        }
        if data.is_empty() {
            return;
        }
        self.kept_bytes = self.kept_bytes.saturating_add(data.len() as u64);
        // A frame costs its place in the queue too: a body of single bytes is not free.
        if self.kept_bytes > self.max_bytes || self.kept.len() == MAX_FRAMES {
            self.lose();
        } else {
            self.kept.push_back(data);
        }
    }

    /// The end of a body that was lost changes nothing: it stays lost.
    const fn end(&mut self) {
        self.finished = true;
        if matches!(self.state, State::Reading) {
            self.state = State::Ended;
        }
    }

    fn lose(&mut self) {
        self.kept = VecDeque::new();
        self.trailers = None;
        self.state = State::Lost;
    }
}

// === impl Superseded ===

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a newer attempt has taken over the request body")
    }
}

impl Error for Superseded {}
