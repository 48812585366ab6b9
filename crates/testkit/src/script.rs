//! A body that follows a script.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::{BodyWatch, ProbeError};

/// What a [`ScriptedBody`] does, poll by poll. Clones are independent.
///
/// Without further words it is honest: `is_end_stream` is true as soon as nothing is left, and no length is announced.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    end_is_late: bool,
    lower: u64,
    upper: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(ProbeError),
    Yield,
    Hang,
    Panic(&'static str),
}

/// A body that follows a [`Script`]. It is `Send` and, like many a real body, not `Sync`.
pub struct ScriptedBody {
    script: Script,
    sent: u64,
    /// The watch's round in which the body came to a pause.
    hangs_since: Option<u64>,
    ended: bool,
    watch: BodyWatch,
    not_sync: PhantomData<Cell<()>>,
}

// === impl Script ===

impl Script {
    /// Creates the script of an empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a data frame.
    #[must_use]
    pub fn data(self, data: impl Into<Bytes>) -> Self {
        self.step(Step::Data(data.into()))
    }

    /// Gives trailers of one field.
    ///
    /// # Panics
    ///
    /// Panics if `value` cannot stand in a header.
    #[must_use]
    pub fn trailer(self, name: &'static str, value: &'static str) -> Self {
        let field = (HeaderName::from_static(name), HeaderValue::from_static(value));
        self.step(Step::Trailers(HeaderMap::from_iter([field])))
    }

    /// Fails.
    #[must_use]
    pub fn error(self, error: impl Into<ProbeError>) -> Self {
        self.step(Step::Error(error.into()))
    }

    /// Is pending once, and wakes its reader at once.
    #[must_use]
    pub fn yields(self) -> Self {
        self.step(Step::Yield)
    }

    /// Is pending until [`BodyWatch::release`].
    #[must_use]
    pub fn hangs(self) -> Self {
        self.step(Step::Hang)
    }

    /// Panics with `message`.
    #[must_use]
    pub fn panics(self, message: &'static str) -> Self {
        self.step(Step::Panic(message))
    }

    /// Makes `is_end_stream` true only after the last `None`, as of a body that cannot look ahead.
    #[must_use]
    pub const fn late(mut self) -> Self {
        self.end_is_late = true;
        self
    }

    /// Announces the exact length of the data that was scripted so far.
    #[must_use]
    pub fn sized(self) -> Self {
        let length =
            self.steps.iter().map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 }).sum();
        self.announcing(length)
    }

    /// Announces the exact length `length`, true or not.
    #[must_use]
    pub const fn announcing(self, length: u64) -> Self {
        self.bounded(length, Some(length))
    }

    /// Announces a length from `lower` to `upper`, true or not.
    #[must_use]
    pub const fn bounded(mut self, lower: u64, upper: Option<u64>) -> Self {
        self.lower = lower;
        self.upper = upper;
        self
    }

    /// Makes a body of the script.
    #[must_use]
    pub fn body(self) -> ScriptedBody {
        self.watched_by(&BodyWatch::default())
    }

    /// Makes a body of the script that `watch` counts.
    #[must_use]
    pub fn watched_by(self, watch: &BodyWatch) -> ScriptedBody {
        watch.counts().made += 1;
        let watch = watch.clone();
        ScriptedBody { script: self, sent: 0, hangs_since: None, ended: false, watch, not_sync: PhantomData }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

// === impl ScriptedBody ===

impl ScriptedBody {
    /// Returns what counts this body.
    #[must_use]
    pub fn watch(&self) -> BodyWatch {
        self.watch.clone()
    }

    /// Returns whether a pause goes on.
    fn hangs(&mut self, cx: &Context<'_>) -> bool {
        let mut counts = self.watch.counts();
        let since = *self.hangs_since.get_or_insert(counts.round);
        if since == counts.round {
            counts.waiting.push(cx.waker().clone());
            return true;
        }
        self.hangs_since = None;
        false
    }

    fn step(&mut self, step: Step) -> Result<Frame<Bytes>, ProbeError> {
        match step {
            Step::Data(data) => {
                self.sent += data.len() as u64;
                Ok(Frame::data(data))
            }
            Step::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Step::Error(error) => {
                self.ended = true;
                Err(error)
            }
            Step::Panic(message) => panic!("{message}"),
            Step::Yield | Step::Hang => unreachable!("pauses are no frames"),
        }
    }
}

impl Default for ScriptedBody {
    fn default() -> Self {
        Script::new().sized().body()
    }
}

impl From<Bytes> for ScriptedBody {
    fn from(bytes: Bytes) -> Self {
        let script = if bytes.is_empty() { Script::new() } else { Script::new().data(bytes) };
        script.sized().body()
    }
}

impl From<ScriptedBody> for buttress_core::Body {
    fn from(body: ScriptedBody) -> Self {
        Self::boxed(body)
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = ProbeError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ProbeError>>> {
        let this = &mut *self;
        {
            let mut counts = this.watch.counts();
            counts.polls += 1;
            counts.polls_after_end += u64::from(this.ended);
        }
        if this.ended {
            return Poll::Ready(None);
        }
        while let Some(step) = this.script.steps.pop_front() {
            match step {
                Step::Hang if this.hangs(cx) => {
                    this.script.steps.push_front(step);
                    return Poll::Pending;
                }
                Step::Hang => {}
                Step::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                step => return Poll::Ready(Some(this.step(step))),
            }
        }
        this.ended = true;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (!self.script.end_is_late && self.script.steps.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        if let Some(upper) = self.script.upper {
            hint.set_upper(upper.saturating_sub(self.sent));
        }
        hint.set_lower(self.script.lower.saturating_sub(self.sent));
        hint
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.watch.counts().dropped += 1;
    }
}

impl fmt::Debug for ScriptedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBody").field("script", &self.script).field("ended", &self.ended).finish_non_exhaustive()
    }
}
