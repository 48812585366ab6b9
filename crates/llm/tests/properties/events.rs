//! What must hold for an answer of any bytes, in any format, whatever sets its parts apart.

use buttress_core::{Event, EventKind, EventReader, OpenStream, StreamFailure, Usage, Verdict};
use buttress_llm::{Dialect, Format, LlmReader, LlmStreams, StreamLimits};
use http::{Request, Response};
use serde_json::Value;

use super::{LARGE, SMALL, cut};

const FORMATS: [Format; 7] = [
    Format::Chat,
    Format::Completions,
    Format::Responses,
    Format::Messages,
    Format::Gemini,
    Format::Ollama,
    Format::Json,
];

const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const WHOLE: &str = "application/json";

/// What a reader needs besides what it may hold of the stream.
const ROOM: usize = 8 * 1024;

/// How an answer is written.
#[derive(Clone, Copy, Debug)]
struct Written {
    format: Format,
    framing: &'static str,
    coding: &'static str,
}

/// What was read of an answer: its parts, the last of them, and its usage.
#[derive(Debug, PartialEq)]
struct Answer {
    parts: Vec<(String, u64, u64)>,
    last: (String, u64, u64),
    usage: Option<Usage>,
}

/// However an answer is cut, it means the same; what is read of it is in order and within the bound; and where it fails,
/// what is said in its place fails for the next reader too.
///
/// The first byte says how the answer is written, as [`Written::of`] reads it. The rest is the answer.
pub(crate) fn events(input: &[u8]) {
    let Some((&first, answer)) = input.split_first() else { return };
    let written = Written::of(first);
    for (line, event) in [LARGE, SMALL] {
        let limits = StreamLimits::DEFAULT.line(line).event(event);
        let streams = LlmStreams::new().limits(limits).max_answer(line);
        let open = || written.open(streams);
        let bound = line + 2 * event + ROOM;
        let whole = read(&mut open(), bound, &[answer], written);
        let bytes = read(&mut open(), bound, &answer.chunks(1).collect::<Vec<_>>(), written);
        let pieces = read(&mut open(), bound, &cut(answer), written);
        // What is compressed is told by the piece.
        if written.coding.is_empty() {
            assert_eq!(whole, bytes, "byte by byte");
            assert_eq!(whole, pieces, "in pieces");
        }
    }
    written.closes_where_it_fails(answer);
}

fn read(reader: &mut LlmReader, bound: usize, chunks: &[&[u8]], written: Written) -> Answer {
    let (mut parts, mut end, mut cut, mut fed) = (Vec::new(), 0, 0, 0);
    let mut see = |event: &Event, fed: u64| {
        assert!(end <= event.end && event.end <= fed && event.cut <= event.end && cut <= event.cut, "{event:?}");
        (end, cut) = (event.end, event.cut);
    };
    for chunk in chunks {
        let mut rest = *chunk;
        fed += chunk.len() as u64;
        for calls in 0.. {
            assert!(calls <= 2 * chunk.len() + 2, "it loops");
            let Some(event) = reader.read(&mut rest) else { break };
            see(&event, fed);
            if let EventKind::Failure(failure) = &event.kind {
                assert!(failure.class().verdict != Verdict::Success && is_phrased(reader, failure));
                return Answer::of(written, parts, &event, reader.usage());
            }
            parts.push(told(&event));
        }
        assert!(rest.is_empty() && reader.held() <= bound, "{} bytes held", reader.held());
    }
    let last = reader.finish();
    see(&last, fed);
    assert!(matches!(last.kind, EventKind::Terminal | EventKind::Failure(_)), "{last:?}");
    for failure in [StreamFailure::truncated(), StreamFailure::idle().after_content()] {
        assert!(is_phrased(reader, &failure));
    }
    Answer::of(written, parts, &last, reader.usage())
}

/// Whether `failure` is told as one JSON value, and its closing as one line or more that end.
fn is_phrased(reader: &LlmReader, failure: &StreamFailure) -> bool {
    let (_, body) = reader.envelope(failure);
    let closed = reader.closing(failure).is_none_or(|closing| matches!(closing.last(), Some(b'\n' | b']')));
    closed && serde_json::from_slice::<Value>(&body).is_ok()
}

fn told(event: &Event) -> (String, u64, u64) {
    let kind = match &event.kind {
        // A wait may be taken relative to the hour of the day.
        EventKind::Failure(failure) => {
            format!("{} {} {:?} {:?}", failure.word(), failure.status(), failure.class().verdict, failure.report())
        }
        kind => format!("{kind:?}"),
    };
    (kind, event.end, event.cut)
}

// === impl Written ===

impl Written {
    /// A format, a framing and a coding, by the rests of `byte` when it is divided by 7, 3 and 4.
    fn of(byte: u8) -> Self {
        Self {
            format: FORMATS[usize::from(byte % 7)],
            framing: [SSE, LINES, WHOLE][usize::from(byte % 3)],
            coding: ["", "gzip", "deflate", "br"][usize::from(byte % 4)],
        }
    }

    fn open(self, streams: LlmStreams) -> LlmReader {
        let request = Request::post("/").extension(self.format).extension(Dialect::OpenAi).body(()).unwrap();
        let head = Response::builder().header("content-type", self.framing).header("content-encoding", self.coding);
        let (head, ()) = head.body(()).unwrap().into_parts();
        streams.open(streams.expect(&request), &head).expect("it is read")
    }

    /// Whoever reads what came before a failure, and the closing in its place, reads the same and then a failure.
    fn closes_where_it_fails(self, answer: &[u8]) {
        let (mut reader, mut rest, mut parts) = (self.open(LlmStreams::new()), answer, Vec::new());
        let failed = loop {
            let event = reader.read(&mut rest).unwrap_or_else(|| reader.finish());
            if let EventKind::Failure(failure) = event.kind {
                break Some((event.cut, failure));
            }
            if rest.is_empty() && event.kind == EventKind::Terminal {
                break None;
            }
            parts.push(told(&event));
        };
        let Some((cut, failure)) = failed else { return };
        let Some(closing) = reader.closing(&failure) else { return };
        let closed = [&answer[..cut as usize], &closing].concat();
        let (mut again, mut rest, mut reread) = (self.open(LlmStreams::new()), &closed[..], Vec::new());
        while let Some(event) = again.read(&mut rest) {
            if let EventKind::Failure(failure) = event.kind {
                assert!(failure.report().is_some(), "{failure:?} instead of what was said");
                // That a value begins is told without a byte of it.
                let before = |(kind, end, _): &(String, u64, u64)| *end < cut || (*end == cut && kind != "Lifecycle");
                let (reread, parts) = (reread.into_iter().filter(before), parts.into_iter().filter(before));
                return assert!(reread.eq(parts), "what came before");
            }
            reread.push(told(&event));
        }
        panic!("what was said is no failure: {}", String::from_utf8_lossy(&closed));
    }
}

// === impl Answer ===

impl Answer {
    fn of(written: Written, mut parts: Vec<(String, u64, u64)>, last: &Event, usage: Option<Usage>) -> Self {
        // Of one value, only what it means is told alike: signs of life in it, and how often it goes on, depend on the cuts.
        if written.framing == WHOLE {
            parts.retain(|(kind, ..)| kind != "KeepAlive");
            parts.iter_mut().for_each(|(_, end, cut)| (*end, *cut) = (0, 0));
            parts.dedup();
        }
        Self { parts, last: told(last), usage }
    }
}
