//! One that reads a body that many read.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::stream::{Piece, Stream};

/// One that reads.
pub(crate) struct Reader<B> {
    stream: Arc<Stream<B>>,
    seat: usize,
    /// How many pieces it has read.
    at: usize,
    /// How many bytes of data it has read.
    read: u64,
    done: bool,
}

/// Why a body that is shared has failed.
#[derive(Clone, Debug)]
pub struct SharedBodyError(Fault);

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Inner(Arc<BoxError>),
    Lost,
    TooSlow,
}

// === impl Reader ===

impl<B> Reader<B> {
    /// Begins to read, from the first piece on. `None` if it is gone already, and the place given back; one that `must` begins
    /// all the same.
    pub(crate) fn claim(stream: &Arc<Stream<B>>, must: bool) -> Option<Self> {
        if stream.flow().gone > 0 && !must {
            stream.detached();
            stream.leave();
            return None;
        }
        let seat = stream.seats.take();
        Some(Self { stream: Arc::clone(stream), seat, at: 0, read: 0, done: false })
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let flow = self.stream.flow();
        self.done || (self.at == flow.gone + flow.pieces.len() && flow.inner_ended)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let flow = self.stream.flow();
        let behind = flow.came.saturating_sub(self.read);
        let mut hint = SizeHint::new();
        hint.set_lower(flow.hint.lower().saturating_add(behind));
        if let Some(upper) = flow.hint.upper() {
            hint.set_upper(upper.saturating_add(behind));
        }
        hint
    }
}

impl<B> Reader<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let stream = Arc::clone(&self.stream);
        // Before it is looked at, so that nothing is missed.
        stream.seats.register(self.seat, cx.waker());
        loop {
            let mut flow = stream.flow();
            let Some(ahead) = self.at.checked_sub(flow.gone) else {
                drop(flow);
                stream.detached();
                return Poll::Ready(self.finish(Some(Fault::TooSlow)));
            };
            if let Some(piece) = flow.pieces.get(ahead).cloned() {
                self.at += 1;
                if let Piece::Data(data) = &piece {
                    self.read += data.len() as u64;
                }
                return Poll::Ready(Some(Ok(piece.into())));
            }
            if let Some(end) = flow.end.clone() {
                drop(flow);
                return Poll::Ready(self.finish(end.fault()));
            }
            let Some(body) = flow.body.take() else {
                flow.knocked = true;
                return Poll::Pending;
            };
            drop(flow);
            if stream.carry_on(self.seat, body).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn finish(&mut self, fault: Option<Fault>) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.done = true;
        fault.map(|fault| Err(SharedBodyError(fault).into()))
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        self.stream.leave();
        self.stream.seats.free(self.seat);
        // It may have been the one that was to carry on.
        self.stream.seats.wake_others(self.seat);
    }
}

// === impl SharedBodyError ===

impl SharedBodyError {
    /// Returns whether it was cut off because it read too slowly.
    #[must_use]
    pub const fn is_too_slow(&self) -> bool {
        matches!(self.0, Fault::TooSlow)
    }
}

impl fmt::Display for SharedBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Fault::Inner(_) => "the shared answer failed",
            Fault::Lost => "the shared answer was lost",
            Fault::TooSlow => "the shared answer was read too slowly",
        })
    }
}

impl Error for SharedBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Fault::Inner(error) => Some(&***error),
            Fault::Lost | Fault::TooSlow => None,
        }
    }
}
