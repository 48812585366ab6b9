//! A body that many read as it comes.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use buttress_core::BoxError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tracing::debug;

use crate::{Leash, reader::Fault, registry::Registry, seats::Seats};

/// A body that many read as it comes. It belongs to none of them: whoever has read all there is carries it on.
pub(crate) struct Stream<B> {
    flow: Mutex<Flow<B>>,
    pub(crate) seats: Arc<Seats>,
    waker: Waker,
    max_bytes: usize,
    registry: Option<Arc<Registry>>,
}

pub(crate) struct Flow<B> {
    /// Absent while somebody polls it, and after its end.
    pub(crate) body: Option<Pin<Box<B>>>,
    pub(crate) end: Option<End>,
    pub(crate) pieces: VecDeque<Piece>,
    /// How many pieces were let go of.
    pub(crate) gone: usize,
    /// What the pieces that are kept weigh.
    weight: usize,
    /// How many bytes of data came so far.
    pub(crate) came: u64,
    pub(crate) hint: SizeHint,
    pub(crate) inner_ended: bool,
    /// Those that read, or may yet begin to.
    holders: usize,
    /// Somebody came while the body was absent.
    pub(crate) knocked: bool,
    /// As long as it can be joined.
    leash: Option<Leash>,
    joinable: bool,
}

#[derive(Clone)]
pub(crate) enum End {
    Complete,
    Failed(Arc<BoxError>),
    /// It panicked in another one's hands.
    Lost,
}

#[derive(Clone)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Puts the body back when it has been polled.
struct Turn<'a, B> {
    stream: &'a Stream<B>,
    seat: usize,
    body: Option<Pin<Box<B>>>,
}

// === impl Stream ===

impl<B: Body> Stream<B> {
    /// Creates it for nobody yet. Returns the leash too if there is nothing to come.
    pub(crate) fn new(body: B, max_bytes: usize, leash: Option<Leash>) -> (Arc<Self>, Option<Leash>) {
        let (hint, inner_ended) = (body.size_hint(), body.is_end_stream());
        let seats = Arc::new(Seats::default());
        let waker = Waker::from(Arc::clone(&seats));
        let registry = leash.as_ref().map(Leash::registry);
        let (kept, back) = if inner_ended { (None, leash) } else { (leash, None) };
        let flow = Flow {
            body: Some(Box::pin(body)),
            end: None,
            pieces: VecDeque::new(),
            gone: 0,
            weight: 0,
            came: 0,
            hint,
            inner_ended,
            holders: 0,
            knocked: false,
            joinable: kept.is_some(),
            leash: kept,
        };
        (Arc::new(Self { flow: Mutex::new(flow), seats, waker, max_bytes, registry }), back)
    }
}

impl<B> Stream<B> {
    pub(crate) fn open(&self, waiting: usize) {
        self.flow().holders = waiting;
    }

    pub(crate) fn join(&self) -> bool {
        let mut flow = self.flow();
        let joins = flow.joinable && flow.holders > 0;
        flow.holders += usize::from(joins);
        joins
    }

    pub(crate) fn leave(&self) {
        let mut flow = self.flow();
        flow.holders -= 1;
        let left = (flow.holders == 0).then(|| {
            flow.joinable = false;
            (flow.body.take(), flow.leash.take(), mem::take(&mut flow.pieces))
        });
        drop(flow);
        // The body is not ours, and the leash takes the registry's lock.
        drop(left);
    }

    pub(crate) fn detached(&self) {
        if let Some(registry) = &self.registry {
            registry.counters.detached.add();
        }
        debug!("detached");
    }

    pub(crate) fn flow(&self) -> MutexGuard<'_, Flow<B>> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Stream<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Reads on in the body, in the turn of the one at `seat`.
    pub(crate) fn carry_on(&self, seat: usize, body: Pin<Box<B>>) -> Poll<()> {
        let mut turn = Turn { stream: self, seat, body: None };
        let mut body = body;
        let polled = body.as_mut().poll_frame(&mut Context::from_waker(&self.waker));
        let (hint, inner_ended) = (body.size_hint(), body.is_end_stream());
        let Poll::Ready(frame) = polled else {
            turn.body = Some(body);
            return Poll::Pending;
        };
        let mut flow = self.flow();
        (flow.hint, flow.inner_ended) = (hint, inner_ended);
        match frame {
            Some(Ok(frame)) => flow.push(frame),
            Some(Err(error)) => flow.end = Some(End::Failed(Arc::new(error.into()))),
            None => flow.end = Some(End::Complete),
        }
        let (mut over, mut leash) = (None, None);
        if flow.end.is_some() {
            over = Some(body);
        } else {
            flow.body = Some(body);
            flow.trim(self.max_bytes);
        }
        if flow.end.is_some() || inner_ended || flow.gone > 0 {
            flow.joinable = false;
            leash = flow.leash.take();
        }
        flow.knocked = false;
        drop(flow);
        mem::forget(turn);
        self.seats.wake_others(seat);
        drop((over, leash));
        Poll::Ready(())
    }
}

// === impl Flow ===

impl<B> Flow<B> {
    fn push(&mut self, frame: Frame<Bytes>) {
        let piece = match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => Piece::Data(data),
            Err(Ok(trailers)) => Piece::Trailers(trailers),
            // There is no third kind that could be copied.
            Err(Err(_)) => return,
        };
        if let Piece::Data(data) = &piece {
            self.came += data.len() as u64;
        }
        self.weight += piece.weight();
        self.pieces.push_back(piece);
    }

    /// Lets go of the oldest, so that no more than `most` is kept but for the last one. One that reads alone needs none of them.
    fn trim(&mut self, most: usize) {
        let alone = self.holders == 1 && self.gone > 0;
        while (self.weight > most || alone) && self.pieces.len() > 1 {
            let gone = self.pieces.pop_front().expect("there is more than one");
            self.weight -= gone.weight();
            self.gone += 1;
        }
    }
}

// === impl Piece ===

impl Piece {
    /// What it takes to keep it, so that many small ones are bounded too.
    fn weight(&self) -> usize {
        let content = match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
            }
        };
        content + size_of::<Self>()
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

// === impl End ===

impl End {
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::Complete => None,
            Self::Failed(error) => Some(Fault::Inner(error)),
            Self::Lost => Some(Fault::Lost),
        }
    }
}

// === impl Turn ===

impl<B> Drop for Turn<'_, B> {
    fn drop(&mut self) {
        let mut flow = self.stream.flow();
        let mut leash = None;
        let knocked = match self.body.take() {
            Some(body) => {
                flow.body = Some(body);
                mem::take(&mut flow.knocked)
            }
            // The body has panicked: there is no more to come for anybody.
            None => {
                flow.end = Some(End::Lost);
                flow.joinable = false;
                leash = flow.leash.take();
                true
            }
        };
        drop(flow);
        drop(leash);
        if knocked {
            self.stream.seats.wake_others(self.seat);
        }
    }
}
