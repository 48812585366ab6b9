//! Streamed answers: what it costs to read 64 events of content, each of which comes in a chunk of its own.
//!
//! The length of all 64 stands in the title: divided by the time, it is the throughput.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::LazyLock,
    task::{Context, Poll},
};

use buttress_core::{EventKind, EventReader as _, OpenStream as _};
use buttress_llm::{Format, LlmExpected, LlmStreams, SseKind, SseReader, StreamLimits};
use http::{Request, Response, response};
use tower::Service;

use crate::Group;

type Chunks = &'static [String];

/// Counts bytes: the least that can be done.
#[derive(Clone, Debug)]
struct Bare;

/// Finds events, and does not ask what they mean.
#[derive(Clone, Debug)]
struct Frames;

/// Finds events and says what they mean.
#[derive(Clone, Debug)]
struct Meanings(LlmExpected);

const EVENTS: usize = 64;

const WORDS: [&str; 4] = [" Oslo", " is the", ",", " capital"];

static CHAT: LazyLock<Vec<String>> = LazyLock::new(|| {
    events(|word, number| {
        format!(
            "data: {{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,\
             \"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_fc9f1d7035\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\"{word}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\
             \"obfuscation\":\"x{number}\"}}\n\n"
        )
    })
});

static MESSAGES: LazyLock<Vec<String>> = LazyLock::new(|| {
    events(|word, _| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}}}}\n\n"
        )
    })
});

static RESPONSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    events(|word, number| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{number},\
             \"item_id\":\"msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654\",\"output_index\":0,\"content_index\":0,\
             \"delta\":\"{word}\",\"logprobs\":[],\"obfuscation\":\"x{number}\"}}\n\n"
        )
    })
});

static HEAD: LazyLock<response::Parts> = LazyLock::new(|| {
    let response = Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(());
    response.expect("a plain header").into_parts().0
});

/// The deltas of OpenAI's chat.
pub(crate) fn chat() -> Group<Chunks> {
    group("chat", Format::Chat, || &CHAT)
}

/// The deltas of Anthropic's messages.
pub(crate) fn messages() -> Group<Chunks> {
    group("messages", Format::Messages, || &MESSAGES)
}

/// The deltas of OpenAI's responses.
pub(crate) fn responses() -> Group<Chunks> {
    group("responses", Format::Responses, || &RESPONSES)
}

fn group(name: &str, format: Format, chunks: fn() -> Chunks) -> Group<Chunks> {
    let bytes: usize = chunks().iter().map(String::len).sum();
    let title = format!("{EVENTS} events of {name}, {bytes} bytes");
    let request = Request::builder().extension(format).body(()).expect("nothing in it is wrong");
    let expected = LlmStreams::new().expect(&request);
    Group::new(title.leak(), chunks, "bare", Bare)
        .case("buttress SseReader", Frames)
        .promise(0)
        .case("buttress LlmReader", Meanings(expected))
        .promise(0)
}

fn events(event: impl Fn(&str, usize) -> String) -> Vec<String> {
    (0..EVENTS).map(|number| event(WORDS[number % WORDS.len()], number)).collect()
}

// === impl Bare ===

impl Service<Chunks> for Bare {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, chunks: Chunks) -> Self::Future {
        ready(Ok(chunks.iter().map(|chunk| black_box(chunk).len()).sum()))
    }
}

// === impl Frames ===

impl Service<Chunks> for Frames {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, chunks: Chunks) -> Self::Future {
        let (mut reader, mut found) = (SseReader::new(StreamLimits::DEFAULT), 0);
        for chunk in chunks {
            let mut rest = chunk.as_bytes();
            while let Some(item) = reader.read(&mut rest).expect("every line is short") {
                found += usize::from(matches!(black_box(item).kind, SseKind::Event(_)));
            }
        }
        assert_eq!(found, EVENTS);
        ready(Ok(found))
    }
}

// === impl Meanings ===

impl Service<Chunks> for Meanings {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, chunks: Chunks) -> Self::Future {
        let mut reader = LlmStreams::new().open(self.0, &HEAD).expect("event streams are read");
        let mut found = 0;
        for chunk in chunks {
            let mut rest = chunk.as_bytes();
            while let Some(event) = reader.read(&mut rest) {
                found += usize::from(matches!(black_box(event).kind, EventKind::Content));
            }
        }
        assert_eq!(found, EVENTS);
        ready(Ok(found))
    }
}
