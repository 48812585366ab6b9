//! How a failure is told in the format of the answer.

use buttress_core::{EventReader, StreamFailure};
use buttress_llm::Format;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    answers::{ANSWERS, Answer},
    reading::{JSON, NDJSON, SSE, open, read_by},
};

/// Reads all of an answer up to its failure, and gives what stands where a client would see it: what can be kept, and the end.
fn mended(answer: &Answer, failure: Option<StreamFailure>) -> Option<String> {
    let mut reader = open(answer.format, &[("content-type", answer.content_type())]).unwrap();
    let seen = read_by(&mut reader, [answer.text.as_bytes()]);
    let failure = failure.unwrap_or_else(|| seen.failure().clone());
    let kept = &answer.text[..usize::try_from(seen.last.cut).unwrap()];
    let closing = reader.closing(&failure)?;
    Some(format!("{kept}{}", std::str::from_utf8(&closing).unwrap()))
}

fn last_event(text: &str) -> &str {
    text.trim_end().rsplit("\n\n").next().unwrap()
}

#[test]
fn an_answer_that_was_mended_reads_as_an_answer_that_failed_in_its_own_words() {
    for answer in ANSWERS.iter().filter(|answer| answer.word.ends_with('F') && !matches!(answer.name, "only-done.sse"))
    {
        let Some(text) = mended(answer, None) else {
            assert_eq!(answer.content_type(), JSON, "{}", answer.name);
            continue;
        };
        let read = |text: &str| {
            let mut reader = open(answer.format, &[("content-type", answer.content_type())]).unwrap();
            let seen = read_by(&mut reader, [text.as_bytes()]);
            let failure = seen.failure().clone();
            (failure.report().is_some(), failure.status(), reader.envelope(&failure).1, seen.last.cut)
        };
        let again = read(&text);
        let original = read(answer.text);
        assert!(again.0, "{}: {text}", answer.name);
        assert_eq!(again.3, original.3, "{}", answer.name);
        if original.0 {
            assert_eq!(again.1, original.1, "{}: {text}", answer.name);
        }
        assert!(!text.contains("[DONE]") && !text.contains("\"stop\""), "{}: no end is invented", answer.name);
    }
}

#[test]
fn chat_ends_with_an_event_with_an_error() {
    let text = mended(Answer::of("truncated.sse"), None).unwrap();
    assert_eq!(
        last_event(&text),
        r#"data: {"error":{"message":"the answer ended before it was complete","type":"server_error","param":null,"code":"truncated"}}"#
    );
    assert!(text.ends_with("\n\n"));
    let text = mended(Answer::of("vllm-error.sse"), None).unwrap();
    assert!(last_event(&text).contains(r#""type":"InternalServerError","param":null,"code":500}}"#), "{text}");
    let text = mended(Answer::of("ollama-v1-error.sse"), None).unwrap();
    assert!(last_event(&text).starts_with(r#"data: {"error":{"message":"model runner has"#), "{text}");
}

#[test]
fn messages_end_with_an_event_that_is_named_error() {
    let text = mended(Answer::of("messages-overloaded.sse"), None).unwrap();
    let expected =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}";
    assert_eq!(last_event(&text), expected);
    let text = mended(Answer::of("messages-overloaded.sse"), Some(StreamFailure::idle())).unwrap();
    assert!(last_event(&text).contains(r#""type":"timeout_error""#), "{text}");
}

#[test]
fn responses_end_with_the_response_that_failed() {
    let event = |text: &str| -> (String, Value) {
        let (name, data) = last_event(text).split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    let (name, data) = event(&mended(Answer::of("responses-error.sse"), None).unwrap());
    assert_eq!(name, "event: response.failed");
    assert_eq!((&data["type"], &data["sequence_number"]), (&json!("response.failed"), &json!(6)));
    let response = &data["response"];
    assert_eq!(response["id"], "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654");
    assert_eq!((&response["status"], &response["model"]), (&json!("failed"), &json!("gpt-4.1-2025-04-14")));
    assert_eq!(response["error"], json!({"code": "rate_limit_exceeded", "message": "Rate limit reached."}));
    // The official clients raise on this, and take the rest for an event among others.
    assert_eq!(
        (&data["error"]["message"], &data["error"]["code"]),
        (&json!("Rate limit reached."), &json!("rate_limit_exceeded"))
    );

    let (name, data) = event(&mended(Answer::of("responses-error.sse"), Some(StreamFailure::idle())).unwrap());
    assert_eq!((name.as_str(), &data["response"]["error"]["code"]), ("event: response.failed", &json!("server_error")));

    let mut unopened = open(Format::Responses, &[("content-type", SSE)]).unwrap();
    read_by(&mut unopened, []);
    let closing = unopened.closing(&StreamFailure::late()).unwrap();
    let (name, data) = event(std::str::from_utf8(&closing).unwrap());
    assert_eq!((name.as_str(), &data["type"]), ("event: error", &json!("error")));
    assert_eq!((&data["error"]["message"], &data["error"]["type"]), (&data["message"], &json!("server_error")));
}

#[test]
fn gemini_ends_with_an_envelope_as_event_and_as_element() {
    let envelope =
        json!({"error": {"code": 504, "message": "the answer stopped for too long", "status": "DEADLINE_EXCEEDED"}});
    let text = mended(Answer::of("gemini-error.sse"), Some(StreamFailure::idle())).unwrap();
    assert_eq!(
        last_event(&text),
        format!(
            "data: {}",
            r#"{"error":{"code":504,"message":"the answer stopped for too long","status":"DEADLINE_EXCEEDED"}}"#
        )
    );

    let whole = Answer::of("gemini-stream.json");
    let cut = whole.text.match_indices(",\r\n").nth(1).unwrap().0 + 5;
    for (text, elements) in [(&whole.text[..cut], 3), ("[", 1), ("[{\"candi", 1)] {
        let mut reader = open(Format::Gemini, &[("content-type", JSON)]).unwrap();
        let seen = read_by(&mut reader, [text.as_bytes()]);
        assert_eq!(seen.last.cut, reader.finish().cut);
        let closing = reader.closing(&StreamFailure::idle()).unwrap();
        let kept = &text[..usize::try_from(seen.last.cut).unwrap()];
        let value: Value = serde_json::from_str(&format!("{kept}{}", std::str::from_utf8(&closing).unwrap())).unwrap();
        assert_eq!(value.as_array().unwrap().len(), elements);
        assert_eq!(value.as_array().unwrap().last().unwrap(), &envelope);
    }
}

#[test]
fn ollama_ends_with_a_line() {
    let text = mended(Answer::of("ollama-error.ndjson"), Some(StreamFailure::truncated())).unwrap();
    assert!(text.ends_with("\n{\"error\":\"the answer ended before it was complete\"}\n"), "{text}");
}

#[test]
fn an_answer_that_is_one_value_cannot_be_closed() {
    for name in ["chat.json", "gemini.json", "cut-off.json"] {
        let answer = Answer::of(name);
        let mut reader = open(answer.format, &[("content-type", JSON)]).unwrap();
        let seen = read_by(&mut reader, [answer.text.as_bytes()]);
        assert_eq!(reader.closing(&StreamFailure::truncated()), None);
        assert!(seen.events.iter().all(|event| event.cut == event.end));
    }
}

#[test]
fn a_failure_as_an_answer_of_its_own_is_in_the_envelope_of_the_format() {
    let envelope = |format, content_type: &str| {
        let reader = open(format, &[("content-type", content_type)]).unwrap();
        let (content_type, body) = reader.envelope(&StreamFailure::late());
        assert_eq!(content_type, "application/json");
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let message = "the answer did not begin in time";
    let openai = json!({"error": {"message": message, "type": "server_error", "param": null, "code": "ttft-timeout"}});
    for format in [Format::Chat, Format::Completions, Format::Responses, Format::Json] {
        assert_eq!(envelope(format, JSON), openai);
    }
    let anthropic = json!({"type": "error", "error": {"type": "timeout_error", "message": message}});
    assert_eq!(envelope(Format::Messages, SSE), anthropic);
    let google = json!({"error": {"code": 504, "message": message, "status": "DEADLINE_EXCEEDED"}});
    assert_eq!(envelope(Format::Gemini, SSE), google);
    assert_eq!(envelope(Format::Ollama, NDJSON), json!({"error": message}));
}

#[test]
fn a_refusal_is_phrased_for_any_status_in_any_format() {
    for format in [Format::Chat, Format::Messages, Format::Gemini, Format::Ollama, Format::Json] {
        for status in 100..1000 {
            let status = StatusCode::from_u16(status).unwrap();
            let (_, body) = format.envelope(status, "no \"target\"", "line\nbreak \u{1}");
            let value: Value = serde_json::from_slice(&body).unwrap();
            let message = value["error"].get("message").unwrap_or_else(|| &value["error"]);
            assert_eq!(message, "line\nbreak \u{1}");
            assert!(!body.contains(&b'\n'));
        }
    }
}
