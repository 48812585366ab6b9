//! What opens the gate.

use buttress_core::{EventKind, EventReader, StreamFailure};

/// Reads the beginning of an answer, and says when enough is known of it.
#[derive(Debug)]
pub(crate) struct Gate<R> {
    reader: R,
    bounds: Bounds,
    events: u32,
    bytes: usize,
}

/// How much is held back at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) events: u32,
    pub(crate) bytes: usize,
}

/// What is known of an answer by its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Nothing yet.
    Hold,
    /// It may go out.
    Open(Opening),
    /// It is none.
    Fail(StreamFailure),
}

/// Why an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Content,
    /// It ended, and its format says that it is one.
    End,
    Events,
    Bytes,
}

// === impl Gate ===

impl<R: EventReader> Gate<R> {
    pub(crate) const fn new(reader: R, bounds: Bounds) -> Self {
        Self { reader, bounds, events: 0, bytes: 0 }
    }

    /// Reads on in `data`.
    pub(crate) fn read(&mut self, data: &[u8]) -> Ruling {
        self.bytes = self.bytes.saturating_add(data.len());
        let mut rest = data;
        while let Some(event) = self.reader.read(&mut rest) {
            match event.kind {
                // An end may hold the last content, or all there is.
                EventKind::Content | EventKind::Terminal => return Ruling::Open(Opening::Content),
                EventKind::Failure(failure) => return Ruling::Fail(failure),
                // A sign of life is no event: a model that is slow to load may give many.
                EventKind::KeepAlive => {}
                _ => self.events += 1,
            }
            if self.events >= self.bounds.events {
                return Ruling::Open(Opening::Events);
            }
        }
        if self.bytes >= self.bounds.bytes { Ruling::Open(Opening::Bytes) } else { Ruling::Hold }
    }

    /// The answer ended here.
    pub(crate) fn finish(&mut self) -> Ruling {
        match self.reader.finish().kind {
            EventKind::Failure(failure) => Ruling::Fail(failure),
            _ => Ruling::Open(Opening::End),
        }
    }

    pub(crate) const fn reader(&self) -> &R {
        &self.reader
    }

    pub(crate) const fn held(&self) -> (u32, usize) {
        (self.events, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Bytewise;
    use buttress_core::OpenStream as _;
    use buttress_testkit::LineReader;

    const BOUNDS: Bounds = Bounds { events: 3, bytes: 100 };

    fn lines(text: &str) -> Ruling {
        Gate::new(LineReader::default(), BOUNDS).read(text.as_bytes())
    }

    #[test]
    fn content_an_end_or_a_failure_decides() {
        assert_eq!(lines("role\n"), Ruling::Hold);
        assert_eq!(lines("role\ntext a\n"), Ruling::Open(Opening::Content));
        assert_eq!(lines("role\nstop\n"), Ruling::Open(Opening::Content));
        assert_eq!(lines("role\nwhat\ntext a\n"), Ruling::Fail(StreamFailure::malformed()));
        assert!(matches!(lines("role\nerror 529 busy\n"), Ruling::Fail(failure) if failure.status() == 529));
    }

    #[test]
    fn a_bound_decides_too_but_signs_of_life_are_no_events() {
        assert_eq!(lines("role\nrole\nrole\n"), Ruling::Open(Opening::Events));
        assert_eq!(lines("role\n: ping\n: ping\n: ping\nrole\n"), Ruling::Hold);
        assert_eq!(lines(&": ping\n".repeat(15)), Ruling::Open(Opening::Bytes));
    }

    #[test]
    fn without_a_format_the_first_byte_decides_and_an_empty_answer_is_one() {
        let (head, ()) = http::Response::new(()).into_parts();
        let mut gate = Gate::new(Bytewise.open((), &head).unwrap(), BOUNDS);
        assert_eq!(gate.read(b""), Ruling::Hold);
        assert_eq!(gate.finish(), Ruling::Open(Opening::End));
        assert_eq!(gate.read(b"x"), Ruling::Open(Opening::Content));
    }
}
