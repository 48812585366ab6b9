//! An answer that may have to be gone on with.

use buttress_core::{
    AnswerReport, Attempt, BoxError, CallContext, Class, EventKind, EventReader, ServedBy, StreamFailure, Usage,
    Verdict,
};
use bytes::{Bytes, BytesMut};
use http::{Extensions, Request};
use tokio::time::Instant;
use tracing::debug;

use crate::continuation::{Thread, sum};

/// What is known of an answer while it goes out, and what is needed to ask for its rest.
pub(crate) struct Story<B, R, T> {
    request: Request<B>,
    context: CallContext,
    served_by: Option<ServedBy>,
    begun: Instant,
    reader: R,
    /// `None` once nobody can go on.
    thread: Option<T>,
    max_kept: usize,
    /// What those further out read.
    report: AnswerReport,
    /// What those further in found.
    found: Option<AnswerReport>,
    stage: Stage,
    /// What the first target counted, once a second one goes on.
    before: Option<Usage>,
    continued: bool,
    deaf: bool,
    cut: u64,
    given: u64,
    torn: BytesMut,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Flowing,
    Settled,
}

/// How an answer broke, and how that is told.
struct Ending {
    failure: StreamFailure,
    /// The words of the target, or of those further in.
    told: Bytes,
    error: Option<BoxError>,
}

// === impl Story ===

impl<B, R: EventReader, T: Thread<B>> Story<B, R, T> {
    /// Begins with an answer that has `extensions`. Those further out get a report of their own: what a breaker hears of the
    /// first target, it hears further in.
    pub(crate) fn new(
        (request, context): (Request<B>, CallContext),
        extensions: &mut Extensions,
        (reader, thread): (R, T),
        max_kept: usize,
        begun: Instant,
    ) -> Self {
        let report = AnswerReport::default();
        Self {
            request,
            context,
            served_by: extensions.get().cloned(),
            begun,
            reader,
            thread: Some(thread),
            max_kept,
            found: extensions.insert(report.clone()),
            report,
            stage: Stage::Before,
            before: None,
            continued: false,
            deaf: false,
            cut: 0,
            given: 0,
            torn: BytesMut::new(),
            ending: None,
        }
    }

    /// Some data came. Returns what goes out, and whether the answer broke after it.
    pub(crate) fn data(&mut self, data: Bytes) -> (Bytes, bool) {
        let (mut rest, mut broke) = (&data[..], None);
        while !self.deaf
            && let Some(event) = self.reader.read(&mut rest)
        {
            match event.kind {
                EventKind::Content => self.begin(),
                EventKind::Terminal => self.complete(),
                EventKind::Failure(failure) => {
                    self.deaf = true;
                    broke = (self.stage != Stage::Settled).then_some(failure);
                    break;
                }
                _ => {}
            }
            self.cut = self.cut.max(event.cut);
        }
        self.count();
        let whole = self.whole(data);
        let broke = broke.is_some_and(|failure| {
            let told = self.torn.split().freeze();
            let told = if failure.report().is_some() { told } else { Bytes::new() };
            self.break_off(failure, told, None);
            true
        });
        (self.outgoing(whole), broke)
    }

    /// The body ended, with an error or without. Returns what goes out, and whether that broke the answer.
    pub(crate) fn end(&mut self, error: Option<BoxError>) -> (Bytes, bool) {
        let torn = self.torn.split().freeze();
        if self.stage == Stage::Settled {
            return (self.outgoing(torn), false);
        }
        let failure = match (error.is_some(), self.reader.finish().kind) {
            (true, _) => StreamFailure::broken(),
            (false, EventKind::Failure(failure)) => failure,
            (false, _) => {
                self.complete();
                self.count();
                return (self.outgoing(torn), false);
            }
        };
        self.break_off(failure, Bytes::new(), error);
        (Bytes::new(), true)
    }

    /// Makes the request for the rest, if there can be one.
    pub(crate) fn follow_up(&mut self) -> Option<Request<B>> {
        if self.stage != Stage::Flowing || self.continued {
            return None;
        }
        let now = Instant::now();
        if self.context.remaining(now).is_some_and(|left| left.is_zero()) {
            return None;
        }
        let mut request = self.thread.as_ref()?.follow_up(&self.request)?;
        request.extensions_mut().insert(self.context.clone());
        self.continued = true;
        let class = self.class()?;
        let target = self.served_by.take().map(|served| served.target);
        let upstream = target.as_ref().map(|target| target.name().as_str());
        debug!(upstream, outcome = %class.outcome, "stream broke and is gone on with");
        // Its failure bars the target, so that it is not asked for the rest.
        let elapsed = now.saturating_duration_since(self.begun);
        self.context.record(Attempt::new(target, Verdict::Truncated, class.outcome, elapsed));
        self.before = self.reader.usage();
        Some(request)
    }

    /// A second target goes on, with an answer that `reader` reads. Returns what says so.
    pub(crate) fn go_on(&mut self, reader: R, extensions: &Extensions) -> Bytes {
        self.reader = reader;
        self.found = extensions.get().cloned();
        (self.cut, self.given, self.deaf, self.ending) = (0, 0, false, None);
        let by = extensions.get().map(|served: &ServedBy| &served.target);
        self.thread.as_ref().map_or_else(Bytes::new, |thread| thread.mark(by))
    }

    /// Ends the answer as it broke: as was told, or with an error in its format, or with an error of the body.
    pub(crate) fn give_up(&mut self) -> Result<Bytes, BoxError> {
        if let Some(class) = self.class() {
            self.report.conclude(class);
        }
        self.stage = Stage::Settled;
        let Some(Ending { failure, told, error }) = self.ending.take() else { return Ok(Bytes::new()) };
        let closing = if told.is_empty() { self.reader.closing(&failure) } else { Some(told) };
        closing.ok_or_else(|| error.unwrap_or_else(|| failure.into()))
    }

    /// The class of the failure: what those further in found, who may know more than they could tell.
    fn class(&self) -> Option<Class> {
        let found = self.found.as_ref().and_then(AnswerReport::class);
        let own = || self.ending.as_ref().map(|ending| ending.failure.class());
        found.filter(|class| class.verdict != Verdict::Success).or_else(own)
    }

    fn break_off(&mut self, failure: StreamFailure, told: Bytes, error: Option<BoxError>) {
        let failure = if self.stage == Stage::Flowing { failure.after_content() } else { failure };
        self.ending = Some(Ending { failure, told, error });
    }

    fn begin(&mut self) {
        if self.stage == Stage::Before {
            self.stage = Stage::Flowing;
            let at = self.found.as_ref().and_then(AnswerReport::first_content);
            self.report.begin(at.unwrap_or_else(Instant::now));
        }
    }

    fn complete(&mut self) {
        self.begin();
        self.stage = Stage::Settled;
        self.report.conclude(Class::SUCCESS);
    }

    fn count(&self) {
        if let Some(usage) = sum(self.before, self.reader.usage()) {
            self.report.count(usage);
        }
    }

    /// Takes what is whole of the torn bytes and `data`.
    fn whole(&mut self, mut data: Bytes) -> Bytes {
        let length = usize::try_from(self.cut.saturating_sub(self.given)).unwrap_or(usize::MAX);
        let whole = if self.torn.is_empty() {
            let whole = data.split_to(length.min(data.len()));
            self.torn.extend_from_slice(&data);
            whole
        } else {
            self.torn.extend_from_slice(&data);
            self.torn.split_to(length.min(self.torn.len())).freeze()
        };
        self.given += whole.len() as u64;
        whole
    }

    fn outgoing(&mut self, whole: Bytes) -> Bytes {
        let Some(thread) = self.thread.as_mut().filter(|_| !whole.is_empty()) else { return whole };
        if self.continued {
            return thread.splice(whole);
        }
        thread.keep(&whole);
        if thread.kept() > self.max_kept {
            debug!(max_kept = self.max_kept, "stream is too long to be gone on with");
            self.thread = None;
        }
        whole
    }
}
