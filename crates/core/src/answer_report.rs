//! What the layer that reads an answer tells those that do not.

use std::{
    any::TypeId,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use http::Extensions;
use tokio::time::Instant;

use crate::{BodyEnd, Class, End, Usage, Verdict};

/// What the layer that reads an answer to its end has found, in the extensions of the response.
///
/// Bytes alone do not tell: a body that ends well may have told of an error in its last event. The layer that reads puts
/// down here what it finds; those further out keep a clone and ask when [their body](crate::EndBody) ends. Clones share one
/// allocation.
///
/// Who wraps no body can [`attend`](Self::attend) instead: it is told when the reader is done.
#[derive(Clone, Debug, Default)]
pub struct AnswerReport(Arc<Mutex<Found>>);

/// The speaking half of an [`AnswerReport`]: whoever reads the body keeps it there, as long as there is a body.
///
/// The report itself may live on in a response's extensions, or in the hands of whoever listens: that keeps nobody waiting.
/// Only when the last of those that speak is dropped has the answer ended. It is no `Clone`, so it cannot get into
/// extensions.
#[derive(Debug)]
pub struct Speaker(AnswerReport);

/// Hears of an answer without wrapping its body: see [`AnswerReport::attend`].
///
/// Both are called where the body is polled or dropped, so they must be quick, and must not call the report.
pub trait Attend: Send + Sync {
    /// Hears how the answer ended. Called at most once: a reader that was dropped says nothing.
    fn concluded(&self, class: Class);

    /// Hears that the reader is gone, and the body with it. Called exactly once.
    fn ended(&self);
}

#[derive(Clone, Debug, Default)]
struct Found {
    class: Option<Class>,
    usage: Option<Usage>,
    first_content: Option<Instant>,
    /// What reads it.
    reader: Option<TypeId>,
    speakers: u32,
    attending: Attending,
}

/// In place, so that to attend costs no allocation.
type Attending = [Option<Arc<dyn Attend>>; AnswerReport::ATTENDING];

// === impl AnswerReport ===

impl AnswerReport {
    /// How many may attend to one report.
    pub const ATTENDING: usize = 4;

    /// Creates the report of an answer that is known before it is read: one that is given again.
    #[must_use]
    pub fn concluded(class: Class, usage: Usage) -> Self {
        let found = Found { class: Some(class), usage: Some(usage), ..Found::default() };
        Self(Arc::new(Mutex::new(found)))
    }

    /// Finds the report in a response's extensions, or leaves a new one there.
    pub fn of_or_new(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_default::<Self>().clone()
    }

    /// Puts down how the answer ended. The first word counts.
    pub fn conclude(&self, class: Class) {
        let told = self.with(|found| match found.class {
            Some(_) => Attending::default(),
            None => {
                found.class = Some(class);
                found.attending.clone()
            }
        });
        told.iter().flatten().for_each(|attends| attends.concluded(class));
    }

    /// Becomes one of those that speak. To be kept in the body that is read, and nowhere else.
    #[must_use = "as soon as it is dropped, the answer has ended"]
    pub fn speak(self) -> Speaker {
        self.with(|found| found.speakers += 1);
        Speaker(self)
    }

    /// Lets `attends` hear how the answer ends, and when. Returns `false` if nobody speaks (any more), or
    /// [too many](Self::ATTENDING) attend already: then it hears nothing.
    ///
    /// A class that is there already is told at once.
    pub fn attend(&self, attends: Arc<dyn Attend>) -> bool {
        let told = Arc::clone(&attends);
        let class = self.with(|found| {
            let free = found.attending.iter_mut().find(|place| place.is_none()).filter(|_| found.speakers > 0)?;
            *free = Some(attends);
            Some(found.class)
        });
        if let Some(Some(class)) = class {
            told.concluded(class);
        }
        class.is_some()
    }

    /// Puts down what the answer has cost so far. The last word counts.
    pub fn count(&self, usage: Usage) {
        self.with(|found| found.usage = Some(usage));
    }

    /// Puts down when the first content came. The first word counts.
    pub fn begin(&self, at: Instant) {
        self.with(|found| {
            found.first_content.get_or_insert(at);
        });
    }

    /// Puts down that an `R` reads the answer, before any of it was read. The first word counts.
    pub fn read_by<R: 'static>(&self) {
        self.with(|found| {
            found.reader.get_or_insert(TypeId::of::<R>());
        });
    }

    /// Returns whether an `R` has read the first content: whoever would read the same with another `R` need not.
    #[must_use]
    pub fn begun_by<R: 'static>(&self) -> bool {
        self.with(|found| found.first_content.is_some() && found.reader == Some(TypeId::of::<R>()))
    }

    /// Returns how the answer ended, where that is known.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.with(|found| found.class)
    }

    /// Returns what the answer has cost, where it told.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.with(|found| found.usage)
    }

    /// Returns when the first content came.
    #[must_use]
    pub fn first_content(&self) -> Option<Instant> {
        self.with(|found| found.first_content)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Found) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<AnswerReport> for Speaker {
    fn from(report: AnswerReport) -> Self {
        report.speak()
    }
}

// === impl Speaker ===

impl Deref for Speaker {
    type Target = AnswerReport;

    fn deref(&self) -> &AnswerReport {
        &self.0
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let told = self.0.with(|found| {
            found.speakers -= 1;
            if found.speakers == 0 { std::mem::take(&mut found.attending) } else { Attending::default() }
        });
        told.iter().flatten().for_each(|attends| attends.ended());
    }
}

// === impl Attend ===

impl fmt::Debug for dyn Attend + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attend")
    }
}

// === impl BodyEnd ===

impl BodyEnd {
    /// Returns what the end of a body says about its target: what `report` found, where there is one, and how the bytes ended
    /// otherwise. An error in a body that began is [`Truncated`](Verdict::Truncated): nothing can be repeated.
    #[must_use]
    pub fn verdict(&self, report: Option<&AnswerReport>) -> Verdict {
        let found = report.and_then(AnswerReport::class);
        found.map_or_else(|| self.end.verdict(), |class| class.verdict)
    }
}

impl End {
    /// Returns what the end says about the target, where only the bytes are known.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Complete => Verdict::Success,
            Self::Error | Self::Truncated => Verdict::Truncated,
            Self::Cancelled => Verdict::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EndBody, StreamFailure};
    use std::sync::mpsc;

    fn verdict_of_whole_body(report: Option<&AnswerReport>) -> Verdict {
        let (sender, ends) = mpsc::channel();
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        drop(EndBody::new(body, move |end: BodyEnd| sender.send(end).expect("somebody listens"), Instant::now()));
        ends.recv().expect("an end is reported").verdict(report)
    }

    #[test]
    fn what_the_reader_found_counts_more_than_how_the_bytes_ended() {
        assert_eq!(verdict_of_whole_body(None), Verdict::Success);
        let report = AnswerReport::default();
        assert_eq!(verdict_of_whole_body(Some(&report)), Verdict::Success);
        report.conclude(StreamFailure::idle().class());
        report.conclude(Class::SUCCESS);
        assert_eq!(verdict_of_whole_body(Some(&report)), Verdict::Truncated, "the first word counts");
    }

    #[test]
    fn one_report_is_shared_by_all_who_ask_a_response_for_it() {
        let mut extensions = Extensions::new();
        let reader = AnswerReport::of_or_new(&mut extensions);
        let listener = AnswerReport::of_or_new(&mut extensions);
        reader.count(Usage::new(3, 1));
        reader.count(Usage::new(3, 5));
        assert_eq!(listener.usage(), Some(Usage::new(3, 5)));
        assert_eq!(listener.first_content(), None);
    }

    #[test]
    fn only_what_was_read_alike_need_not_be_read_again() {
        let report = AnswerReport::default();
        report.begin(Instant::now());
        assert!(!report.begun_by::<u8>(), "nobody says what has read it");
        report.read_by::<u8>();
        report.read_by::<u16>();
        assert!(report.begun_by::<u8>() && !report.begun_by::<u16>(), "the first word counts");
        let unread = AnswerReport::default();
        unread.read_by::<u8>();
        assert!(!unread.begun_by::<u8>(), "no content yet");
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<Option<Verdict>>>);

    impl Attend for Heard {
        fn concluded(&self, class: Class) {
            self.0.lock().unwrap().push(Some(class.verdict));
        }

        fn ended(&self) {
            self.0.lock().unwrap().push(None);
        }
    }

    impl Heard {
        fn all(&self) -> Vec<Option<Verdict>> {
            self.0.lock().unwrap().clone()
        }
    }

    #[test]
    fn whoever_attends_hears_the_class_once_and_the_end_once() {
        let (report, heard) = (AnswerReport::default(), Arc::new(Heard::default()));
        let (first, second) = (report.clone().speak(), report.clone().speak());
        assert!(report.attend(heard.clone()));
        first.conclude(StreamFailure::idle().class());
        second.conclude(Class::SUCCESS);
        assert_eq!(heard.all(), [Some(Verdict::Truncated)]);
        drop(first);
        assert_eq!(heard.all().len(), 1, "one still speaks");
        drop(second);
        assert_eq!(heard.all(), [Some(Verdict::Truncated), None]);
        drop(report);
        assert_eq!(heard.all().len(), 2);
    }

    #[test]
    fn a_report_that_lives_on_in_extensions_keeps_nobody_waiting() {
        let (mut extensions, heard) = (Extensions::new(), Arc::new(Heard::default()));
        let speaker = AnswerReport::of_or_new(&mut extensions).speak();
        let listener = AnswerReport::of_or_new(&mut extensions);
        assert!(listener.attend(heard.clone()));
        drop(speaker);
        assert_eq!(heard.all(), [None], "a reader that was dropped has said nothing");
        assert_eq!(Arc::strong_count(&heard), 1, "it is let go");
        drop((extensions, listener));
    }

    #[test]
    fn nobody_attends_where_nobody_speaks_or_too_many_listen() {
        let (report, heard) = (AnswerReport::default(), Arc::new(Heard::default()));
        assert!(!report.attend(heard.clone()), "it would wait for ever");
        let speaker = report.clone().speak();
        speaker.conclude(Class::SUCCESS);
        assert!(report.attend(heard.clone()));
        assert_eq!(heard.all(), [Some(Verdict::Success)], "what was known is told at once");
        let more = (0..10).filter(|_| report.attend(Arc::new(Heard::default()))).count();
        assert_eq!(more, AnswerReport::ATTENDING - 1);
        drop(speaker);
        assert!(!report.attend(heard), "the answer has ended");
    }
}
