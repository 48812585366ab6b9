//! What happens in a stream, in every dialect, at every place, with every end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/client.rs"]
mod client;

use std::io::ErrorKind;
use std::time::Duration;

use buttress_sim::{At, Fault, ProviderError, Simulator, Then};
use cases::{CASES, Case};
use client::{read, read_until};
use serde_json::{Value, json};
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(40);
const WORDS: usize = 5;

async fn sim() -> Simulator {
    Simulator::builder().length(WORDS as u32..=WORDS as u32).seed(7).created(1_700_000_000).start().await.unwrap()
}

fn count(text: &str, of: &str) -> usize {
    text.matches(of).count()
}

/// The places in a stream, and how many words and finish reasons come before each.
const PLACES: [(At, usize, usize); 4] =
    [(At::Start, 0, 0), (At::Opening, 0, 0), (At::Content(2), 2, 0), (At::Finish, WORDS, 1)];

/// Checks how much of the stream came before the place.
fn check_before(case: &Case, at: At, text: &str, words: usize, finished: usize) {
    let opened = usize::from(!case.opening.is_empty() && at != At::Start);
    assert_eq!(count(text, case.opening).min(1), if case.opening.is_empty() { 1 } else { opened }, "{case:?} {at:?}");
    assert_eq!(count(text, case.content), words, "{} {at:?}: {text}", case.name);
    assert_eq!(count(text, case.finish), finished, "{} {at:?}: {text}", case.name);
    assert!(case.done.is_empty() || !text.ends_with(case.done), "{} {at:?}: {text}", case.name);
}

#[tokio::test]
async fn a_healthy_stream_is_opened_filled_and_finished() {
    let sim = sim().await;
    for case in CASES {
        let answer = case.send(&sim, None, true).await;
        let text = answer.text();
        assert_eq!((answer.status, answer.whole), (200, true), "{}", case.name);
        assert_eq!(count(&text, case.content), WORDS, "{}: {text}", case.name);
        assert_eq!(count(&text, case.finish), 1, "{}: {text}", case.name);
        assert!(text.contains(case.opening) && text.ends_with(case.done), "{}: {text}", case.name);
        let place = |what| text.find(what).unwrap();
        assert!(
            place(case.opening) <= place(case.content) && place(case.content) < place(case.finish),
            "{}",
            case.name
        );
    }
}

#[tokio::test]
async fn an_end_a_close_and_a_reset_leave_a_beginning_of_the_stream() {
    let sim = sim().await;
    for case in CASES {
        let whole = case.send(&sim, None, true).await.text();
        for (at, words, finished) in PLACES {
            let ended = case.send(&sim, Some(Fault::at(at, Then::End)), true).await;
            assert!(whole.starts_with(&ended.text()) && ended.whole, "{} {at:?}: {}", case.name, ended.text());
            check_before(&case, at, &ended.text(), words, finished);
            let closed = case.send(&sim, Some(Fault::at(at, Then::Close)), true).await;
            assert_eq!(
                (closed.text(), closed.whole, closed.error),
                (ended.text(), false, None),
                "{} {at:?}",
                case.name
            );
        }
        sim.set_fault(Fault::at(At::Content(2), Then::Reset));
        let (_, error) = read(case.open(&sim, true).await).await;
        assert_eq!(error, Some(ErrorKind::ConnectionReset), "{}", case.name);
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_in_the_words_of_the_dialect() {
    let sim = sim().await;
    for case in CASES {
        for (at, words, finished) in PLACES {
            let then = Then::Error(ProviderError::Overloaded);
            let answer = case.send(&sim, Some(Fault::at(at, then)), true).await;
            let text = answer.text();
            assert_eq!((answer.status, answer.whole), (200, true), "{} {at:?}", case.name);
            // OpenRouter's error comes with an empty delta.
            let words = words + usize::from(case.name == "openrouter");
            assert_eq!(count(&text, case.content), words, "{} {at:?}: {text}", case.name);
            assert_eq!(count(&text, case.finish), finished, "{} {at:?}: {text}", case.name);
            let error =
                if case.name == "ollama's openai" && at == At::Start { case.error.trim_start() } else { case.error };
            assert!(text.contains(error), "{} {at:?}: {text}", case.name);
            // vLLM says that it is done, and an array is closed; nobody else comes after an error.
            let over = text.ends_with("data: [DONE]\n\n");
            assert_eq!(over, case.name == "vllm", "{} {at:?}: {text}", case.name);
        }
    }
}

#[tokio::test]
async fn responses_fail_with_the_response_they_began() {
    let sim = sim().await;
    let case = CASES.iter().find(|case| case.name == "openai responses").unwrap();
    let then = Then::Error(ProviderError::RateLimit);
    let text = case.send(&sim, Some(Fault::at(At::Start, then)), true).await.text();
    assert!(text.starts_with("event: error\ndata: {\"code\":\"rate_limit_exceeded\""), "{text}");
    let text = case.send(&sim, Some(Fault::at(At::Opening, then)), true).await.text();
    let last = text.split_terminator("\n\n").last().unwrap();
    assert!(last.starts_with("event: response.failed\n"), "{text}");
    let event: Value = serde_json::from_str(last.split_once("data: ").unwrap().1).unwrap();
    assert_eq!((&event["response"]["status"], &event["sequence_number"]), (&json!("failed"), &json!(4)));
    assert_eq!(event["response"]["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn a_chunk_that_is_no_json_comes_before_and_after_content() {
    let sim = sim().await;
    for case in CASES {
        let whole = case.send(&sim, None, true).await.text();
        for (at, words, _) in [PLACES[0], PLACES[2]] {
            let text = case.send(&sim, Some(Fault::at(at, Then::Malformed)), true).await.text();
            assert_ne!(text, whole, "{} {at:?}", case.name);
            assert!(count(&text, case.content) >= words, "{} {at:?}: {text}", case.name);
            assert!(text.ends_with(case.done) && count(&text, case.finish) == 1, "{} {at:?}: {text}", case.name);
            let bad = match case.name {
                "gemini array" => usize::from(serde_json::from_str::<Value>(&text).is_err()),
                name if name.starts_with("ollama ") => text.lines().filter(|line| is_bad(line)).count(),
                _ => text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| is_bad(data)).count(),
            };
            assert_eq!(bad, 1, "{} {at:?}: {text}", case.name);
        }
    }
}

fn is_bad(data: &str) -> bool {
    data != "[DONE]" && serde_json::from_str::<Value>(data).is_err()
}

#[tokio::test]
async fn a_stall_keeps_the_connection_and_sends_no_more() {
    let sim = sim().await;
    for case in CASES {
        for (at, then) in [(At::Opening, Then::Stall), (At::Content(2), Then::Stall)] {
            let expected = case.send(&sim, Some(Fault::at(at, Then::End)), true).await.text();
            sim.reset();
            sim.set_fault(Fault::at(at, then));
            let mut stream = case.open(&sim, true).await;
            let shown = if expected.is_empty() { "\r\n\r\n" } else { expected.trim_end().rsplit('\n').next().unwrap() };
            read_until(&mut stream, shown).await;
            assert!(timeout(SOON, read(stream)).await.is_err(), "{} {at:?}", case.name);
            let stats = sim.wait_for(|stats| stats.in_flight == 0).await;
            assert_eq!((stats.cancelled, stats.streams, stats.open_streams), (1, 1, 0), "{}", case.name);
            assert_eq!(stats.bytes_sent, expected.len() as u64, "{} {at:?}", case.name);
        }
    }
}

#[tokio::test]
async fn comments_and_pings_go_on_for_ever() {
    let sim = sim().await;
    for case in CASES {
        let idle = match case.name {
            "anthropic" => "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "openrouter" => ": OPENROUTER PROCESSING\n\n",
            "gemini array" | "ollama chat" | "ollama generate" => "\n",
            _ => ": keep-alive\n\n",
        };
        let framed = format!("{:X}\r\n{idle}\r\n", idle.len());
        for at in [At::Opening, At::Content(2)] {
            sim.set_fault(Fault::at(at, Then::Comments { every_ms: 1 }));
            let mut stream = case.open(&sim, true).await;
            let text = read_until(&mut stream, &framed.repeat(3)).await;
            assert_eq!(count(&text, case.finish), 0, "{}: {text}", case.name);
            assert_eq!(count(&text, case.content), if at == At::Opening { 0 } else { 2 }, "{}: {text}", case.name);
        }
    }
}

#[tokio::test]
async fn an_end_without_done_is_finished_and_done_alone_is_not() {
    let sim = sim().await;
    for case in CASES {
        let empty = case.send(&sim, Some(Fault::Empty), true).await;
        assert_eq!((empty.status, empty.text().as_str(), empty.whole), (200, "", true), "{}", case.name);
        let done = case.send(&sim, Some(Fault::OnlyDone), true).await;
        let expected = if case.name == "gemini array" { "[]\n" } else { case.done };
        assert_eq!((done.status, done.text().as_str(), done.whole), (200, expected, true), "{}", case.name);
    }
}

#[tokio::test]
async fn a_filter_stops_an_answer_in_the_words_of_the_dialect() {
    let sim = sim().await;
    for case in CASES {
        let reason = match case.shape {
            cases::Shape::Responses => r#""incomplete_details":{"reason":"content_filter"}"#,
            cases::Shape::Messages => r#""stop_reason":"refusal""#,
            cases::Shape::Gemini => r#""finishReason":"SAFETY""#,
            cases::Shape::OllamaChat | cases::Shape::OllamaGenerate => r#""done_reason":"stop""#,
            cases::Shape::Chat | cases::Shape::Text => r#""finish_reason":"content_filter""#,
        };
        for stream in [true, false] {
            let text = case.send(&sim, Some(Fault::Filtered { content: 2 }), stream).await.text();
            assert!(text.contains(reason), "{} {stream}: {text}", case.name);
            assert!(!stream || count(&text, case.content) == 2, "{}: {text}", case.name);
        }
    }
}

#[tokio::test]
async fn usage_can_be_lost() {
    let sim = sim().await;
    for case in CASES {
        for stream in [true, false] {
            let text = case.send(&sim, Some(Fault::NoUsage), stream).await.text();
            for field in ["completion_tokens", "usageMetadata", "eval_count", "output_tokens_details"] {
                assert!(!text.contains(field), "{} {stream} {field}: {text}", case.name);
            }
            assert!(!stream || text.ends_with(case.done), "{}: {text}", case.name);
        }
    }
}

#[tokio::test]
async fn a_tool_is_called_when_told_to() {
    let sim = sim().await;
    for case in CASES {
        let fault = Fault::ToolCall { name: "weather".to_owned(), arguments: json!({"city": "Oslo"}) };
        for stream in [true, false] {
            let text = case.send(&sim, Some(fault.clone()), stream).await.text();
            let named = matches!(case.shape, cases::Shape::Text | cases::Shape::OllamaGenerate)
                || text.contains(r#""weather""#);
            assert!(named, "{} {stream}: {text}", case.name);
            let reason = match case.shape {
                cases::Shape::Chat | cases::Shape::Text => "tool_calls",
                cases::Shape::Messages => r#""stop_reason":"tool_use""#,
                cases::Shape::Responses => "function_call",
                cases::Shape::Gemini => "functionCall",
                cases::Shape::OllamaChat | cases::Shape::OllamaGenerate => r#""done":true"#,
            };
            assert!(text.contains(reason), "{} {stream}: {text}", case.name);
        }
    }
}
