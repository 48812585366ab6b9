//! What an answer says, and what of it may go out.

use buttress_core::{AnswerReport, BoxError, Class, EventKind, EventReader, StreamFailure, Usage};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    counts::Counters,
    held::{Held, Out},
};

/// Reads an answer, lets out of it what is whole, and ends it if it does not end well.
#[derive(Debug)]
pub(crate) struct Watch<R> {
    reader: R,
    report: AnswerReport,
    stage: Stage,
    /// Nothing more is read, only passed on.
    deaf: bool,
    /// How far it has come.
    seen: u64,
    /// How far it may go out.
    cut: u64,
    /// How far it has gone out.
    given: u64,
    /// Where the last event ended.
    event_end: u64,
    announced: Option<u64>,
    /// Whether anything can be put after a cut, once that was asked.
    closable: Option<bool>,
    usage: Option<Usage>,
    held: Held,
    out: Out,
    after: Option<Frame<Bytes>>,
    error: Option<BoxError>,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Flowing,
    /// It is complete, or has told of its own failure. What follows is passed on.
    Settled,
    /// It was ended here. Nothing follows.
    Cut,
}

/// How much content came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

// === impl Watch ===

impl<R: EventReader> Watch<R> {
    pub(crate) fn new(reader: R, report: AnswerReport, announced: Option<u64>) -> Self {
        Self {
            reader,
            report,
            stage: Stage::Before,
            deaf: false,
            seen: 0,
            cut: 0,
            given: 0,
            event_end: 0,
            announced,
            closable: None,
            usage: None,
            held: Held::default(),
            out: Out::default(),
            after: None,
            error: None,
        }
    }

    /// Some data came.
    pub(crate) fn data(&mut self, data: Bytes, counters: &Counters) -> Progress {
        let base = self.seen;
        self.seen += data.len() as u64;
        let (progress, failure) = self.read(&data, counters);
        if self.stage == Stage::Settled {
            // Nothing will be put after it.
            self.cut = self.seen;
        }
        self.pass(data, base);
        if let Some(failure) = failure {
            self.fail(failure, None, counters);
        }
        progress
    }

    /// The body ended. To say so twice does no harm.
    pub(crate) fn end(&mut self, counters: &Counters) {
        if self.is_settled() {
            return;
        }
        let event = self.reader.finish();
        self.count_usage();
        match event.kind {
            // What was said whole needs nothing put after it.
            EventKind::Failure(failure) if failure.report().is_some() && self.held.is_empty() => {
                self.reported(failure, counters);
            }
            EventKind::Failure(failure) => self.fail(failure, None, counters),
            _ if self.announced.is_some_and(|length| self.seen < length) => {
                self.fail(StreamFailure::truncated(), None, counters);
            }
            _ => {
                self.complete();
                self.release_all();
            }
        }
    }

    /// The body failed.
    pub(crate) fn error(&mut self, error: BoxError, counters: &Counters) {
        if !self.is_settled() {
            return self.fail(StreamFailure::broken(), Some(error), counters);
        }
        // The answer was complete, and how its connection ended is no matter; but not less than was announced can end well.
        if self.announced.is_some_and(|length| self.seen < length) {
            self.error = Some(error);
        }
        self.stage = Stage::Cut;
    }

    /// The target was waited for too long.
    pub(crate) fn lapse(&mut self, failure: StreamFailure, counters: &Counters) {
        if self.is_settled() {
            return self.error(failure.into(), counters);
        }
        self.fail(failure, None, counters);
    }

    /// Puts `frame` after all data.
    pub(crate) fn put_after(&mut self, frame: Frame<Bytes>) {
        self.after = Some(frame);
    }

    /// Takes what is to be given next.
    pub(crate) fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        let data = self.out.pop().map(Frame::data);
        let frame = data.or_else(|| self.error.is_none().then(|| self.after.take()).flatten());
        frame.map(Ok).or_else(|| self.error.take().map(Err))
    }

    /// Returns whether anything is to be given before more is read.
    pub(crate) const fn has_next(&self) -> bool {
        !self.out.is_empty() || self.after.is_some() || self.error.is_some()
    }

    /// Returns how many bytes were read and not given.
    pub(crate) fn waiting(&self) -> u64 {
        self.out.len() + self.held.len() as u64
    }

    /// Returns whether nothing more is asked of the answer.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Settled | Stage::Cut)
    }

    /// Returns whether the answer was ended here.
    pub(crate) const fn is_cut(&self) -> bool {
        matches!(self.stage, Stage::Cut)
    }

    fn read(&mut self, data: &[u8], counters: &Counters) -> (Progress, Option<StreamFailure>) {
        let (mut rest, mut progress, mut failed) = (data, Progress::default(), None);
        while !self.deaf
            && let Some(event) = self.reader.read(&mut rest)
        {
            let length = event.end.saturating_sub(self.event_end);
            self.event_end = event.end;
            match event.kind {
                EventKind::Content => {
                    progress = Progress { events: progress.events + 1, bytes: progress.bytes + length };
                    self.begin();
                }
                EventKind::Terminal => {
                    // It may hold the last content, or all there is.
                    self.begin();
                    self.complete();
                }
                EventKind::Failure(failure) => {
                    self.deaf = true;
                    match failure.report() {
                        // After its end, an answer cannot fail.
                        _ if self.is_settled() => {}
                        Some(_) => self.reported(failure, counters),
                        None => failed = Some(failure),
                    }
                    break;
                }
                _ => {}
            }
            self.cut = self.cut.max(event.cut);
        }
        self.count_usage();
        (progress, failed)
    }

    fn begin(&mut self) {
        if self.stage == Stage::Before {
            self.stage = Stage::Flowing;
            self.report.begin(Instant::now());
        }
    }

    fn complete(&mut self) {
        if !self.is_settled() {
            self.report.conclude(Class::SUCCESS);
            self.stage = Stage::Settled;
        }
    }

    /// The answer told of its failure in its own words.
    fn reported(&mut self, failure: StreamFailure, counters: &Counters) {
        let failure = self.dated(failure);
        self.conclude(&failure, "told", counters);
        self.stage = Stage::Settled;
    }

    /// Ends the answer: with an error in its own format, where that can stand here, and with an error of the body otherwise.
    fn fail(&mut self, failure: StreamFailure, cause: Option<BoxError>, counters: &Counters) {
        let failure = self.dated(failure);
        // Where less than a whole event has gone out, or all bytes are counted, nothing can be said any more.
        let clean = self.announced.is_none() && self.given <= self.cut;
        let closing = clean.then(|| self.reader.closing(&failure)).flatten();
        self.conclude(&failure, if closing.is_some() { "closed" } else { "broken off" }, counters);
        if let Some(closing) = closing {
            self.held.clear();
            self.out.push(closing);
        } else {
            self.release_all();
            self.error = Some(cause.unwrap_or_else(|| failure.into()));
        }
        self.stage = Stage::Cut;
    }

    /// What could have been repeated before content cannot be after it.
    fn dated(&self, failure: StreamFailure) -> StreamFailure {
        if self.stage == Stage::Flowing { failure.after_content() } else { failure }
    }

    fn conclude(&self, failure: &StreamFailure, how: &'static str, counters: &Counters) {
        let class = failure.class();
        debug!(reason = failure.word(), verdict = %class.verdict, how, bytes = self.seen, "stream failed");
        counters.failed(failure);
        self.report.conclude(class);
    }

    fn count_usage(&mut self) {
        let usage = self.reader.usage();
        if usage != self.usage {
            self.usage = usage;
            usage.into_iter().for_each(|usage| self.report.count(usage));
        }
    }

    /// Lets out what is whole, up to and of `data`, which stands at `base`.
    fn pass(&mut self, mut data: Bytes, base: u64) {
        self.release(self.cut.min(base));
        let length = data.len();
        let whole = usize::try_from(self.cut.saturating_sub(base)).map_or(length, |whole| whole.min(length));
        if whole == length || !self.holds() {
            self.release_all();
            self.given += length as u64;
            self.out.push(data);
            return;
        }
        if whole > 0 {
            self.given += whole as u64;
            self.out.push(data.split_to(whole));
        }
        self.held.push(data);
    }

    /// Returns whether what is torn is held back: only where something else might have to stand in its place.
    fn holds(&mut self) -> bool {
        let probe = || self.reader.closing(&StreamFailure::truncated()).is_some();
        self.announced.is_none() && *self.closable.get_or_insert_with(probe)
    }

    fn release(&mut self, upto: u64) {
        let length = upto.saturating_sub(self.given);
        self.held.release(usize::try_from(length).unwrap_or(usize::MAX), &mut self.out);
        self.given += length;
    }

    fn release_all(&mut self) {
        self.release(self.given + self.held.len() as u64);
    }
}
