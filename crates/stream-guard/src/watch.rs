//! What an answer says, and what of it may go out.

use buttress_core::{BoxError, Class, EventKind, EventReader, Speaker, StreamFailure, Usage};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;
use tracing::debug;

use crate::{counts::Counters, passage::Passage};

/// Reads an answer, lets out of it what is whole, and ends it if it does not end well.
#[derive(Debug)]
pub(crate) struct Watch<R> {
    reader: R,
    report: Speaker,
    stage: Stage,
    /// Nothing more is read, only passed on.
    deaf: bool,
    passage: Passage,
    /// Where the last event ended.
    event_end: u64,
    announced: Option<u64>,
    /// Whether anything can be put after a cut, once that was asked.
    closable: Option<bool>,
    usage: Option<Usage>,
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
    pub(crate) fn new(reader: R, report: Speaker, announced: Option<u64>) -> Self {
        Self {
            reader,
            report,
            stage: Stage::Before,
            deaf: false,
            passage: Passage::default(),
            event_end: 0,
            announced,
            closable: None,
            usage: None,
            after: None,
            error: None,
        }
    }

    /// Some data came.
    pub(crate) fn data(&mut self, data: Bytes, counters: &Counters) -> Progress {
        self.passage.arrive(data.len());
        let (progress, failure) = self.read(&data, counters);
        if self.stage == Stage::Settled {
            // Nothing will be put after it.
            self.passage.cut_at(self.passage.seen());
        }
        let Self { reader, announced, closable, .. } = self;
        // What is torn waits only where something else might have to stand in its place.
        let probe = || reader.closing(&StreamFailure::truncated()).is_some();
        self.passage.pass(data, || announced.is_none() && *closable.get_or_insert_with(probe));
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
            EventKind::Failure(failure) if failure.report().is_some() && !self.passage.holds_any() => {
                self.reported(failure, counters);
            }
            EventKind::Failure(failure) => self.fail(failure, None, counters),
            _ if self.is_short() => {
                self.fail(StreamFailure::truncated(), None, counters);
            }
            _ => {
                self.complete();
                self.passage.release_all();
            }
        }
    }

    /// The body failed.
    pub(crate) fn error(&mut self, error: BoxError, counters: &Counters) {
        if !self.is_settled() {
            return self.fail(StreamFailure::broken(), Some(error), counters);
        }
        // The answer was complete, and how its connection ended is no matter; but not less than was announced can end well.
        if self.is_short() {
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
        let data = self.passage.next().map(Frame::data);
        let frame = data.or_else(|| self.error.is_none().then(|| self.after.take()).flatten());
        frame.map(Ok).or_else(|| self.error.take().map(Err))
    }

    /// Returns whether anything is to be given before more is read.
    pub(crate) const fn has_next(&self) -> bool {
        self.passage.has_next() || self.after.is_some() || self.error.is_some()
    }

    /// Returns how many bytes were read and not given.
    pub(crate) fn waiting(&self) -> u64 {
        self.passage.waiting()
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
            self.passage.cut_at(event.cut);
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
        let clean = self.announced.is_none() && self.passage.is_clean();
        let closing = clean.then(|| self.reader.closing(&failure)).flatten();
        self.conclude(&failure, if closing.is_some() { "closed" } else { "broken off" }, counters);
        if let Some(closing) = closing {
            self.passage.close(closing);
        } else {
            self.passage.release_all();
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
        debug!(reason = failure.word(), verdict = %class.verdict, how, bytes = self.passage.seen(), "stream failed");
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

    /// Returns whether less came than was announced.
    fn is_short(&self) -> bool {
        self.announced.is_some_and(|length| self.passage.seen() < length)
    }
}
