//! A format of streams that is small enough to be written by hand.

use buttress_core::{Class, Event, EventKind, EventReader, OpenStream, StreamFailure, Usage};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header, response};

/// Reads streams of lines, for tests of layers that know no format. It stands where the dialects of providers do.
///
/// | line | is |
/// |---|---|
/// | `text …` | content |
/// | `role`, `usage <input> <output>` | lifecycle |
/// | `: …`, or nothing | a sign of life |
/// | `stop …` | the end; what follows is lifecycle |
/// | `done` | lifecycle after `stop`, and too soon before it |
/// | `error <status> …` | the target's own error |
/// | any other, or one over [`MAX_LINE`](Self::MAX_LINE) | malformed |
///
/// An answer is read if its content type is that of [`CONTENT_TYPE`](Self::CONTENT_TYPE), and it is `200` and not encoded. A
/// request with the header `x-whole` expects an answer that comes whole.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LineStreams;

/// The reader of [`LineStreams`].
#[derive(Clone, Debug, Default)]
pub struct LineReader {
    /// What came of the line that has not ended.
    line: Vec<u8>,
    offset: u64,
    cut: u64,
    content: bool,
    stopped: bool,
    usage: Option<Usage>,
}

// === impl LineStreams ===

impl LineStreams {
    /// The content type of such streams.
    pub const CONTENT_TYPE: &'static str = "text/x-lines";

    /// How long a line may be.
    pub const MAX_LINE: usize = 64;
}

impl OpenStream for LineStreams {
    type Expected = bool;
    type Reader = LineReader;

    fn expect<B>(&self, request: &Request<B>) -> bool {
        request.headers().contains_key("x-whole")
    }

    fn open(&self, _whole: bool, head: &response::Parts) -> Option<LineReader> {
        let lines = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == Self::CONTENT_TYPE);
        let bare = !head.headers.contains_key(header::CONTENT_ENCODING);
        (lines && bare && head.status == StatusCode::OK).then(LineReader::default)
    }

    fn comes_whole(&self, whole: &bool) -> bool {
        *whole
    }

    fn envelope(&self, _whole: &bool, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        envelope(failure)
    }
}

// === impl LineReader ===

impl EventReader for LineReader {
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let length = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let (line, left) = rest.split_at(length.unwrap_or(rest.len()));
        *rest = left;
        self.offset += line.len() as u64;
        self.line.extend_from_slice(line);
        if self.line.len() > LineStreams::MAX_LINE {
            return Some(self.event(EventKind::Failure(StreamFailure::malformed())));
        }
        length?;
        self.cut = self.offset;
        // Put back, so that its room is used again.
        let mut line = std::mem::take(&mut self.line);
        let kind = self.kind(line.trim_ascii_end());
        line.clear();
        self.line = line;
        Some(self.event(kind))
    }

    fn finish(&mut self) -> Event {
        let kind = match (self.stopped, self.content) {
            (true, _) => EventKind::Terminal,
            (false, true) => EventKind::Failure(StreamFailure::truncated()),
            (false, false) => EventKind::Failure(StreamFailure::empty()),
        };
        self.event(kind)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        Some(Bytes::from(format!("error {} {}\n", failure.status().as_u16(), failure.word())))
    }

    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        envelope(failure)
    }
}

impl LineReader {
    fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.offset).with_cut(self.cut)
    }

    fn kind(&mut self, line: &[u8]) -> EventKind {
        let line = std::str::from_utf8(line).unwrap_or("?");
        let (word, more) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "text" => {
                self.content = true;
                if self.stopped { EventKind::Lifecycle } else { EventKind::Content }
            }
            "role" => EventKind::Lifecycle,
            "usage" => {
                let mut numbers = more.split(' ').filter_map(|number| number.parse().ok());
                self.usage = numbers.next().zip(numbers.next()).map(|(input, output)| Usage::new(input, output));
                EventKind::Lifecycle
            }
            "" | ":" => EventKind::KeepAlive,
            "stop" => {
                let first = !std::mem::replace(&mut self.stopped, true);
                if first { EventKind::Terminal } else { EventKind::Lifecycle }
            }
            "done" if self.stopped => EventKind::Lifecycle,
            "done" => self.finish().kind,
            "error" => EventKind::Failure(reported(more)),
            _ => EventKind::Failure(StreamFailure::malformed()),
        }
    }
}

fn reported(text: &str) -> StreamFailure {
    let status = text.split(' ').next().and_then(|word| word.parse().ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
    StreamFailure::reported(Class::status(status), Bytes::from(text.to_owned()))
}

fn envelope(failure: &StreamFailure) -> (HeaderValue, Bytes) {
    let said = failure.report().cloned().unwrap_or_else(|| Bytes::from_static(failure.word().as_bytes()));
    (HeaderValue::from_static("text/x-line"), said)
}
