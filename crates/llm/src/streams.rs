//! Which answers are read, and how.

use buttress_core::{OpenStream, StreamFailure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, response};

use crate::{
    Call, Dialect, Format, LlmReader, NdjsonReader, SseReader, StreamLimits,
    coding::Coding,
    decoded::Decoded,
    phrase,
    reader::{Framing, Reading},
    whole::Whole,
};

/// Reads the answers of language models.
///
/// 1. What an answer's parts mean follows from the [`Format`] in the request's extensions, which
///    [`LlmRewrite`](crate::LlmRewrite) leaves there, or else from its [`Call`]. An answer to a request without either is not read.
/// 2. How they are set apart follows from the answer's own content type: an event stream, JSON by the line, or one JSON value.
///    Where that does not tell, it follows from whether a stream was asked for.
/// 3. An answer that is compressed by gzip, deflate or Brotli is decoded to be looked at, and goes on as it is. One that is
///    compressed otherwise, or more than once, is not read.
/// 4. Only a success is read; what an error means, [`classify`](fn@crate::classify) tells.
///
/// # What counts as what
///
/// | format | content | end | error |
/// |---|---|---|---|
/// | chat, completions | anything in a delta but the role; a text | a finish reason for every choice that was begun; `[DONE]` after content | an `error` in the event or a choice; a finish reason of an error (`error`, `abort`, …) |
/// | responses | deltas; the progress of tools | `response.completed`, `response.incomplete` | `response.failed`, `error` |
/// | messages | deltas; the beginning of a block that says something, as a tool's does | a stop reason; `message_stop` after content | `error` |
/// | Gemini | a part with anything in it | a finish reason for every candidate; a prompt that is blocked | an `error` |
/// | Ollama | a text | `done` | an `error` |
///
/// In every format, an event with an `error` field that is not empty is an error, as is one that is named `error`. Comments,
/// pings and blank lines keep alive; all else, known or not, is lifecycle. A refusal in words is content, and an end because of
/// a filter or a limit is an end.
///
/// An answer that ends after its end is whole, with or without `[DONE]`. One that ends before it is truncated, or empty if
/// there was no content; so is one of which there is only `[DONE]`. Something that is not JSON is malformed; a last event that is
/// torn is as if it were not there. `[DONE]` after content without a finish reason is an end, as it is to OpenAI's clients.
///
/// An answer that is one value is held until it is whole and then judged; white space before it keeps alive. If it is longer
/// than [`max_answer`](Self::max_answer), it is content from there on, and judged no more.
///
/// # Example
///
/// ```
/// use buttress_core::{EventKind, EventReader, OpenStream, Usage};
/// use buttress_llm::{Format, LlmStreams};
///
/// let streams = LlmStreams::new();
/// let request = http::Request::post("/v1/chat/completions").extension(Format::Chat).body(())?;
/// let (head, ()) = http::Response::builder().header("content-type", "text/event-stream").body(())?.into_parts();
/// let mut reader = streams.open(streams.expect(&request), &head).expect("an event stream is read");
///
/// let mut kinds = Vec::new();
/// let mut read = |reader: &mut buttress_llm::LlmReader, mut chunk: &[u8]| {
///     while let Some(event) = reader.read(&mut chunk) {
///         kinds.push(event.kind);
///     }
/// };
/// read(&mut reader, b": keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
/// read(&mut reader, b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
/// read(&mut reader, b"data: {\"error\":{\"message\":\"...\",\"code\":\"rate_limit_exceeded\"}}\n\n");
///
/// let Some(EventKind::Failure(failure)) = kinds.pop() else { panic!("an error under a 200") };
/// assert_eq!(kinds, [EventKind::KeepAlive, EventKind::KeepAlive, EventKind::Lifecycle, EventKind::Content]);
/// assert_eq!(failure.status(), 429);
/// assert_eq!(reader.envelope(&failure).1, r#"{"error":{"message":"...","code":"rate_limit_exceeded"}}"#);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LlmStreams {
    limits: StreamLimits,
    max_answer: usize,
}

/// What [`LlmStreams`] read of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlmExpected {
    format: Option<Format>,
    dialect: Dialect,
    stream: bool,
}

/// How the parts of an answer are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    Sse,
    Lines,
    Whole,
}

// === impl LlmStreams ===

impl LlmStreams {
    /// How much is held of an answer that is not a stream: 256 KiB.
    pub const DEFAULT_MAX_ANSWER: usize = 256 * 1024;

    /// Reads answers within the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self { limits: StreamLimits::DEFAULT, max_answer: Self::DEFAULT_MAX_ANSWER }
    }

    /// Sets how much of a stream is held. An event that is longer is malformed.
    #[must_use]
    pub const fn limits(self, limits: StreamLimits) -> Self {
        Self { limits, ..self }
    }

    /// Sets how many bytes are held of an answer that is not a stream. Of one that is longer, no more is judged.
    #[must_use]
    pub const fn max_answer(self, bytes: usize) -> Self {
        Self { max_answer: bytes, ..self }
    }

    fn framing(self, framed: Framed, format: Format) -> Framing {
        match framed {
            Framed::Sse => Framing::Sse(SseReader::new(self.limits)),
            Framed::Lines => Framing::Lines(NdjsonReader::new(self.limits)),
            Framed::Whole => Framing::Whole(Whole::new(self.max_answer, format == Format::Gemini)),
        }
    }
}

impl Default for LlmStreams {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenStream for LlmStreams {
    type Expected = LlmExpected;
    type Reader = LlmReader;

    fn expect<B>(&self, request: &Request<B>) -> LlmExpected {
        let extensions = request.extensions();
        let dialect = extensions.get().copied().unwrap_or(Dialect::OpenAi);
        let call = extensions.get::<Call>();
        let format = extensions.get().copied();
        LlmExpected {
            format: format.or_else(|| call.map(|call| Format::of(dialect, call.operation()))),
            dialect,
            stream: call.is_some_and(Call::stream),
        }
    }

    fn open(&self, expected: LlmExpected, head: &response::Parts) -> Option<LlmReader> {
        let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
        if !head.status.is_success() || bodiless {
            return None;
        }
        let LlmExpected { format, dialect, stream } = expected;
        let format = format?;
        let framed = Framed::of(&head.headers, format, stream)?;
        let reading = Reading::new(format, dialect, self.framing(framed, format));
        match Coding::of(&head.headers) {
            Coding::Plain => Some(LlmReader::plain(reading)),
            Coding::Unknown => None,
            coding => Some(LlmReader::decoded(Decoded::new(coding, reading))),
        }
    }

    /// An answer that is not a stream is made before its head is sent.
    fn comes_whole(&self, expected: &LlmExpected) -> bool {
        !expected.stream
    }

    fn envelope(&self, expected: &LlmExpected, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        phrase::envelope(expected.format.unwrap_or(Format::Chat), failure)
    }
}

// === impl Framed ===

impl Framed {
    /// Reads it from the content type. `None` if that is one of pictures, sounds or the like.
    fn of(headers: &HeaderMap, format: Format, stream: bool) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
        let essence = value.split(';').next().unwrap_or_default().trim();
        let is = |known: &[&str]| known.iter().any(|known| essence.eq_ignore_ascii_case(known));
        if is(&["text/event-stream"]) {
            return Some(Self::Sse);
        }
        if is(&["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]) {
            return Some(Self::Lines);
        }
        let json = is(&["application/json", "text/json"]) || essence.to_ascii_lowercase().ends_with("+json");
        if !json && !is(&["", "text/plain", "text/html"]) {
            return None;
        }
        Some(match format {
            Format::Ollama if stream => Self::Lines,
            _ if json || !stream => Self::Whole,
            _ => Self::Sse,
        })
    }
}
