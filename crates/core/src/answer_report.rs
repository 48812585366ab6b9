//! What the layer that reads an answer tells those that do not.

use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use tokio::time::Instant;

use crate::{BodyEnd, Class, End, Usage, Verdict};

/// What the layer that reads an answer to its end has found, in the extensions of the response.
///
/// Bytes alone do not tell: a body that ends well may have told of an error in its last event. The layer that reads puts
/// down here what it finds; those further out keep a clone and ask when [their body](crate::EndBody) ends. Clones share one
/// allocation.
#[derive(Clone, Debug, Default)]
pub struct AnswerReport(Arc<Mutex<Found>>);

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    class: Option<Class>,
    usage: Option<Usage>,
    first_content: Option<Instant>,
}

// === impl AnswerReport ===

impl AnswerReport {
    /// Finds the report in a response's extensions, or leaves a new one there.
    pub fn of_or_new(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_default::<Self>().clone()
    }

    /// Puts down how the answer ended. The first word counts.
    pub fn conclude(&self, class: Class) {
        self.with(|found| {
            found.class.get_or_insert(class);
        });
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
}
