//! Reads answers to their end, and checks on the way all that holds for any.

use buttress_core::{Event, EventKind, EventReader, OpenStream, StreamFailure, Usage};
use buttress_llm::{Dialect, Format, LlmReader, LlmStreams};
use http::{Request, Response};

pub(crate) const SSE: &str = "text/event-stream; charset=utf-8";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const JSON: &str = "application/json";

/// An answer that was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) last: Event,
    pub(crate) usage: Option<Usage>,
}

/// Makes a reader of an answer in `format`.
pub(crate) fn open(format: Format, headers: &[(&str, &str)]) -> Option<LlmReader> {
    open_within(LlmStreams::new(), format, headers)
}

pub(crate) fn open_within(streams: LlmStreams, format: Format, headers: &[(&str, &str)]) -> Option<LlmReader> {
    let request = Request::post("/").extension(format).extension(Dialect::OpenAi).body(()).unwrap();
    let builder = headers.iter().fold(Response::builder(), |builder, (name, value)| builder.header(*name, *value));
    let (head, ()) = builder.body(()).unwrap().into_parts();
    streams.open(streams.expect(&request), &head)
}

/// Reads `chunks` in `format`, to the end or to a failure.
pub(crate) fn read<'c>(format: Format, content_type: &str, chunks: impl IntoIterator<Item = &'c [u8]>) -> Seen {
    read_by(&mut open(format, &[("content-type", content_type)]).expect("it is read"), chunks)
}

pub(crate) fn read_by<'c>(reader: &mut LlmReader, chunks: impl IntoIterator<Item = &'c [u8]>) -> Seen {
    read_within(reader, usize::MAX, chunks)
}

/// Reads `chunks`, and never sees more than `bound` bytes held.
pub(crate) fn read_within<'c>(
    reader: &mut LlmReader,
    bound: usize,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Seen {
    let (mut events, mut fed) = (Vec::<Event>::new(), 0);
    for chunk in chunks {
        let mut rest = chunk;
        fed += chunk.len() as u64;
        for calls in 0.. {
            assert!(calls <= 2 * chunk.len() + 2, "it loops");
            let Some(event) = reader.read(&mut rest) else { break };
            let before = events.last();
            assert!(event.end <= fed && event.cut <= event.end, "{event:?} of {fed}");
            assert!(before.is_none_or(|before| before.end <= event.end && before.cut <= event.cut), "{event:?}");
            if matches!(event.kind, EventKind::Failure(_)) {
                let usage = reader.usage();
                return Seen { events, last: event, usage };
            }
            events.push(event);
        }
        assert_eq!(rest, b"", "it takes all");
        assert!(reader.held() <= bound, "{} bytes held", reader.held());
    }
    let last = reader.finish();
    assert!(last.end == fed && last.cut <= fed, "{last:?} of {fed}");
    Seen { events, last, usage: reader.usage() }
}

impl Seen {
    /// One letter for each event, and for the end: keep-alive, lifecycle, content, terminal, failure.
    pub(crate) fn word(&self) -> String {
        self.events.iter().chain([&self.last]).map(|event| letter(&event.kind)).collect()
    }

    pub(crate) fn failure(&self) -> &StreamFailure {
        match &self.last.kind {
            EventKind::Failure(failure) => failure,
            kind => panic!("{kind:?} is no failure"),
        }
    }

    /// The same without signs of life.
    pub(crate) fn without_keep_alive(mut self) -> Self {
        self.events.retain(|event| event.kind != EventKind::KeepAlive);
        self
    }
}

fn letter(kind: &EventKind) -> char {
    match kind {
        EventKind::KeepAlive => 'k',
        EventKind::Lifecycle => 'l',
        EventKind::Content => 'C',
        EventKind::Terminal => 'T',
        EventKind::Failure(_) => 'F',
        other => panic!("unknown: {other:?}"),
    }
}

/// Input, cached, written to a cache, output, thoughts.
pub(crate) fn usage(counts: [u64; 5]) -> Usage {
    let [input, cached_input, cache_write, output, reasoning] = counts;
    let mut usage = Usage::new(input, output);
    (usage.cached_input, usage.cache_write, usage.reasoning) = (cached_input, cache_write, reasoning);
    usage
}
