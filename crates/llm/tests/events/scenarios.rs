//! What can go wrong under a 200, and what is made of it.

use buttress_core::{EventReader, OpenStream, StreamFailure, Verdict};
use buttress_llm::{Dialect, Format, LlmStreams, StreamLimits};
use http::{Request, Response, StatusCode};

use crate::{
    answers::Answer,
    reading::{JSON, NDJSON, SSE, Seen, open, open_within, read, read_by},
};

fn seen(name: &str) -> Seen {
    let answer = Answer::of(name);
    read(answer.format, answer.content_type(), [answer.text.as_bytes()])
}

/// The status of an answer that tells of the failure, what it means, and its word.
fn failure(name: &str) -> (u16, Verdict, &'static str) {
    let seen = seen(name);
    let failure = seen.failure();
    (failure.status().as_u16(), failure.class().verdict, failure.word())
}

fn chat(events: &[&str]) -> Seen {
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    read(Format::Chat, SSE, [text.as_bytes()])
}

const CONTENT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn an_error_as_the_first_event_has_its_true_status_and_keeps_its_code_and_type() {
    for (event, status) in [
        (r#"{"error":{"type":"overloaded_error","code":"x"}}"#, 529),
        (r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#, 429),
    ] {
        let seen = chat(&[event]);
        assert_eq!((seen.word().as_str(), seen.failure().status().as_u16()), ("F", status));
        assert_eq!(seen.failure().report().unwrap(), event);
    }
}

#[test]
fn an_error_after_a_role_is_an_error_before_content() {
    for name in ["vllm-error.sse", "openrouter-error.sse", "azure-error.sse", "ollama-v1-error.sse", "cohere-error.sse"]
    {
        assert!(!seen(name).word().contains('C'), "{name}");
        assert_eq!(failure(name).1, Verdict::Transient, "{name}");
    }
    assert_eq!(failure("openrouter-error.sse").0, 502);
    assert_eq!(failure("vllm-error.sse").0, 500);
    assert_eq!(failure("vllm-flat-error.sse"), (400, Verdict::CallerFault, "error"));
    assert_eq!(failure("named-error.sse").0, 500);
}

#[test]
fn an_overloaded_server_of_messages_is_529() {
    assert_eq!(failure("messages-overloaded.sse"), (529, Verdict::Transient, "error"));
}

#[test]
fn a_response_that_failed_has_the_status_of_its_code() {
    assert_eq!(failure("responses-failed.sse"), (500, Verdict::Transient, "error"));
    assert_eq!(failure("responses-error.sse"), (429, Verdict::RateLimited, "error"));
    assert_eq!(failure("responses-failed.json"), (429, Verdict::RateLimited, "error"));
}

#[test]
fn an_error_of_gemini_or_ollama_under_a_200_has_its_true_status() {
    assert_eq!(failure("gemini-error.sse"), (503, Verdict::Transient, "error"));
    assert_eq!(failure("gemini-error-stream.json"), (503, Verdict::Transient, "error"));
    assert_eq!(failure("ollama-error.ndjson"), (500, Verdict::Transient, "error"));
}

#[test]
fn an_answer_without_anything_is_empty_and_may_be_repeated() {
    for (format, content_type) in
        [(Format::Chat, SSE), (Format::Ollama, NDJSON), (Format::Chat, JSON), (Format::Gemini, JSON)]
    {
        let seen = read(format, content_type, []);
        assert_eq!((seen.failure().word(), seen.failure().class().verdict), ("empty", Verdict::Transient));
    }
    for name in ["only-done.sse", "role-only.sse", "blank.json"] {
        assert_eq!(failure(name), (502, Verdict::Transient, "empty"), "{name}");
    }
}

#[test]
fn an_end_of_the_body_after_content_and_before_an_end_is_a_truncation() {
    for name in ["truncated.sse", "torn.sse"] {
        assert_eq!(failure(name), (502, Verdict::Truncated, "truncated"), "{name}");
    }
    let answer = Answer::of("messages.sse");
    let (before, _) = answer.text.split_once("event: message_delta").unwrap();
    assert_eq!(read(Format::Messages, SSE, [before.as_bytes()]).failure().word(), "truncated");
    let answer = Answer::of("responses.sse");
    let (before, _) = answer.text.split_once("event: response.completed").unwrap();
    assert_eq!(read(Format::Responses, SSE, [before.as_bytes()]).failure().word(), "truncated");
}

#[test]
fn a_finish_reason_without_a_last_mark_is_an_end() {
    assert!(seen("no-done.sse").word().ends_with("TT"));
}

#[test]
fn one_of_two_choices_that_goes_on_is_no_end() {
    let answer = Answer::of("chat-two-choices.sse");
    let (before, _) = answer.text.rsplit_once("data: {").unwrap();
    assert_eq!(read(Format::Chat, SSE, [before.as_bytes()]).failure().word(), "truncated");
}

#[test]
fn comments_pings_and_blank_lines_are_signs_of_life_and_not_content() {
    let text = b": keep-alive\n\n\n: OPENROUTER PROCESSING\n\n";
    assert_eq!(read(Format::Chat, SSE, [&text[..]]).word(), "kkkkkF");
    let text = b"event: ping\ndata: {\"type\": \"ping\"}\n\nevent: ping\ndata:\n\ndata: {\"type\":\"ping\"}\n\n";
    assert_eq!(read(Format::Messages, SSE, [&text[..]]).word(), "kkkF");
    assert_eq!(read(Format::Chat, JSON, [&b"\n"[..], b"\n", b"\n{}"]).word(), "kkklTT");
    assert_eq!(read(Format::Ollama, NDJSON, [&b"\n\n"[..]]).word(), "kkF");
}

#[test]
fn what_is_not_json_is_malformed_before_and_after_content() {
    for (events, word) in
        [(&["{"][..], "F"), (&["{\"choices\":[}"], "F"), (&[CONTENT, "{\"a\":01}"], "CF"), (&["ok"], "F")]
    {
        let seen = chat(events);
        assert_eq!((seen.word().as_str(), seen.failure().word()), (word, "malformed"));
    }
    assert_eq!(read(Format::Chat, SSE, [&b"data: {\"a\":\"\xff\"}\n\n"[..]]).failure().word(), "malformed");
    assert_eq!(read(Format::Ollama, NDJSON, [&b"{\"message\":\n"[..]]).failure().word(), "malformed");
    for name in ["cut-off.json", "page.json"] {
        assert_eq!(failure(name), (502, Verdict::Transient, "malformed"), "{name}");
    }
}

#[test]
fn after_its_end_nothing_changes_an_answer() {
    let seen = chat(&[CONTENT, STOP, CONTENT, r#"{"error":{"message":"late"}}"#, "{", "[DONE]"]);
    assert_eq!(seen.word(), "CTllllT");
}

#[test]
fn odd_fields_are_passed_over() {
    for event in [
        "null",
        "[]",
        "7",
        "\"text\"",
        "{}",
        r#"{"choices":null}"#,
        r#"{"choices":{"delta":7}}"#,
        r#"{"choices":[null,7,[],{"delta":[1],"finish_reason":7,"index":"x"}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","name":"a","content":null,"tool_calls":[],"function_call":{}}}]}"#,
        r#"{"error":null,"usage":null}"#,
        r#"{"error":"","usage":[1]}"#,
        r#"{"error":{},"usage":{"prompt_tokens":-1,"completion_tokens":1e9}}"#,
        r#"{"error":false,"usage":{"prompt_tokens":"5","completion_tokens":99999999999999}}"#,
    ] {
        let seen = chat(&[event]);
        assert_eq!((seen.word().as_str(), seen.usage), ("lF", None), "{event}");
    }
}

#[test]
fn fields_that_are_there_twice_count_as_all_they_say() {
    let seen = chat(&[r#"{"error":null,"error":{"code":429},"error":null}"#]);
    assert_eq!(seen.failure().status(), StatusCode::TOO_MANY_REQUESTS);
    let seen = chat(&[r#"{"choices":[],"choices":[{"delta":{"content":"a","content":null}}]}"#]);
    assert_eq!(seen.word(), "CF");
}

#[test]
fn an_event_longer_than_allowed_is_malformed_and_after_the_end_it_is_nothing() {
    let streams = LlmStreams::new().limits(StreamLimits::DEFAULT.line(200));
    let long = format!("data: {{\"choices\":[], \"x\":\"{}\"}}\n\n", "a".repeat(300));
    let mut reader = open_within(streams, Format::Chat, &[("content-type", SSE)]).unwrap();
    assert_eq!(read_by(&mut reader, [long.as_bytes()]).failure().word(), "malformed");
    let mut reader = open_within(streams, Format::Chat, &[("content-type", SSE)]).unwrap();
    let stop = format!("data: {STOP}\n\n{long}");
    let mut rest = stop.as_bytes();
    let words = std::iter::from_fn(|| reader.read(&mut rest)).count();
    assert_eq!((words, rest), (1, &b""[..]));
    assert_eq!(reader.finish().kind, buttress_core::EventKind::Terminal);
}

#[test]
fn an_answer_longer_than_allowed_is_content_and_judged_no_more() {
    let streams = LlmStreams::new().max_answer(100);
    let text = format!("{{\"error\":\"{}\"}}", "a".repeat(200));
    for size in [1, 7, 50, 101, 500] {
        let mut reader = open_within(streams, Format::Chat, &[("content-type", JSON)]).unwrap();
        let seen = read_by(&mut reader, text.as_bytes().chunks(size));
        let (events, first) = (&seen.events, seen.events.iter().position(|event| event.end > 100).unwrap());
        assert_eq!(events[first].kind, buttress_core::EventKind::Content);
        assert_eq!((events[first].end, first), (101, 1), "by {size}");
        assert!(seen.word().ends_with('T'));
        assert!(reader.held() <= 100);
    }
}

#[test]
fn the_content_type_says_how_an_answer_is_framed_and_the_request_where_it_does_not() {
    let framed = |format, content_type: &[(&str, &str)], text: &'static str| {
        let mut reader = open(format, content_type)?;
        Some(read_by(&mut reader, [text.as_bytes()]).word())
    };
    let error = r#"{"error":{"message":"x"}}"#;
    for content_type in
        ["application/json", "Application/JSON; charset=utf-8", "application/problem+json", "text/plain", "text/html"]
    {
        assert_eq!(
            framed(Format::Chat, &[("content-type", content_type)], error).as_deref(),
            Some("lF"),
            "{content_type}"
        );
    }
    assert_eq!(framed(Format::Chat, &[], error).as_deref(), Some("lF"));
    for content_type in ["image/png", "audio/mpeg", "application/octet-stream", "application/vnd.amazon.eventstream"] {
        assert_eq!(framed(Format::Chat, &[("content-type", content_type)], error), None, "{content_type}");
    }
    // An error without a frame, where an event stream was promised.
    assert_eq!(framed(Format::Chat, &[("content-type", SSE)], error).as_deref(), Some("F"));
}

#[test]
fn only_a_success_with_a_body_in_a_known_format_is_read() {
    let streams = LlmStreams::default();
    let opened = |status: u16, format: Option<Format>| {
        let mut request = Request::new(());
        format.map(|format| request.extensions_mut().insert(format));
        request.extensions_mut().insert(Dialect::Anthropic);
        let (head, ()) = Response::builder().status(status).header("content-type", SSE).body(()).unwrap().into_parts();
        streams.open(streams.expect(&request), &head).is_some()
    };
    assert!(opened(200, Some(Format::Messages)) && opened(201, Some(Format::Chat)));
    for status in [204, 205, 302, 400, 429, 500, 529] {
        assert!(!opened(status, Some(Format::Chat)), "{status}");
    }
    assert!(!opened(200, None));
}

#[test]
fn a_reader_is_small() {
    let size = size_of::<buttress_llm::LlmReader>();
    assert!(size <= 512, "{size} bytes");
}

#[test]
fn an_answer_that_never_began_is_phrased_as_its_request_would_have_been_answered() {
    let streams = LlmStreams::new();
    for (format, body) in [
        (Format::Chat, r#"{"error":{"message":"the answer did not begin in time""#),
        (Format::Messages, r#"{"type":"error","error":{"type":"timeout_error""#),
        (Format::Gemini, r#"{"error":{"code":504"#),
    ] {
        let request = Request::post("/").extension(format).body(()).unwrap();
        let expected = streams.expect(&request);
        let (kind, phrased) = streams.envelope(&expected, &StreamFailure::late());
        assert_eq!(kind, "application/json");
        assert!(phrased.starts_with(body.as_bytes()), "{format:?}: {phrased:?}");
        assert!(streams.comes_whole(&expected), "no stream was asked for");
    }
}
