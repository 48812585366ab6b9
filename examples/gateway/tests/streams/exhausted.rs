//! Scenes in which all targets fail before their first content: the caller is told, in its dialect, and not with 200.

use buttress_sim::{
    At::{Opening, Start},
    Fault, ProviderError,
    Then::{Comments, End, Error, Malformed, Reset, Stall},
};
use serde_json::Value;

use crate::{
    dialect::Dialect,
    stage::{PATIENT, Stage, twin},
    support::Answer,
};

const IMPATIENT: &str = "[retry]\nattempts = 1\n[failover]\nstream_timeout = \"500ms\"\nanswer_timeout = \"60s\"\n";

/// The answer is an error in the dialect's envelope, which no client repeats.
fn check_refusal(dialect: Dialect, answer: &Answer, of: &str) {
    assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{of}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/json", "{of}");
    let json = answer.json();
    match dialect {
        // The envelope is that of chat.
        Dialect::Responses => Dialect::Chat.check_error(&json["error"], of),
        _ => dialect.check_error(&json["error"], of),
    }
    assert_eq!(json["type"] == "error", dialect == Dialect::Anthropic, "{of}: {json}");
    assert!(!answer.text().contains("finish_reason") && !answer.text().contains("stop_reason"), "{of}: {json}");
    assert_eq!(answer.header("x-should-retry"), "false", "{of}: {answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|secs| secs > 0), "{of}: {answer:?}");
}

/// Type and code of an error, where its dialect has them.
fn kind(error: &Value) -> (Value, Value) {
    (error["type"].clone(), error["code"].clone())
}

async fn it_says(dialect: Dialect, error: ProviderError, failures: u32) {
    for place in [Start, Opening] {
        let of = format!("{dialect:?}, {error:?} at {place:?}");
        let stage = Stage::one(dialect).await;
        stage.break_all(&Fault::at(place, Error(error)));

        let answer = stage.ask().await;

        check_refusal(dialect, &answer, &of);
        let honest = twin(dialect, "first", Fault::provider(error), true).await;
        // In the midst of a stream, Ollama has words and no status.
        let status = if dialect == Dialect::Ollama { http::StatusCode::INTERNAL_SERVER_ERROR } else { honest.status };
        assert_eq!(answer.status, status, "{of}: the status of the error's class: {answer:?}");
        let (told, meant) = (&answer.json()["error"], &honest.json()["error"]);
        match dialect {
            // Its events have a code and no type; a response that failed has a code in any case.
            Dialect::Responses => {
                let code = &meant["code"];
                let kept =
                    told["code"] == *code || (place == Opening && code.is_null() && told["code"] == "server_error");
                assert!(kept && told["type"].is_string(), "{of}: {told} of {meant}");
            }
            _ => assert_eq!(kind(told), kind(meant), "{of}: type and code are kept"),
        }
        assert_eq!((answer.header("x-served-by"), answer.header("x-attempts")), ("first", "1"), "{of}");
        stage.rest().await;
        assert_eq!((stage.counted(0).1, stage.running.seen()), (failures, vec![1]), "{of}");
    }
}

#[tokio::test]
async fn s22_to_26_with_one_target_its_error_is_told_with_its_status_type_and_code() {
    for dialect in Dialect::ALL {
        it_says(dialect, ProviderError::Overloaded, 1).await;
        it_says(dialect, ProviderError::ServerError, 1).await;
    }
}

#[tokio::test]
async fn s22_to_26_errors_of_several_targets_are_summed_up_in_the_dialect() {
    for dialect in Dialect::ALL {
        for error in [ProviderError::Overloaded, ProviderError::ServerError, ProviderError::RateLimit] {
            for place in [Start, Opening] {
                let of = format!("{dialect:?}, {error:?} at {place:?}");
                let stage = Stage::two(dialect).await;
                stage.break_all(&Fault::at(place, Error(error)));
                let answer = stage.ask().await;
                check_refusal(dialect, &answer, &of);
                // Ollama has no limits, and is busy instead.
                let limited = error == ProviderError::RateLimit && dialect != Dialect::Ollama;
                assert_eq!(answer.status, if limited { 429 } else { 503 }, "{of}: {answer:?}");
                assert_eq!(
                    (answer.header("x-served-by"), answer.header("x-attempts")),
                    ("", "2"),
                    "{of}: no single one"
                );
                stage.rest().await;
                assert_eq!(stage.counted(0).1 + stage.counted(1).1, if limited { 0 } else { 2 }, "{of}");
            }
        }
    }
}

#[tokio::test]
async fn s22_a_rate_limit_of_the_only_target_is_429_and_no_failure() {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Ollama) {
        it_says(dialect, ProviderError::RateLimit, 0).await;
    }
}

#[tokio::test]
async fn s27_s28_s34_nothing_from_anybody_is_told_as_an_error() {
    let faults = [
        Fault::Empty,
        Fault::OnlyDone,
        Fault::at(Opening, End),
        Fault::at(Opening, Reset),
        Fault::at(Opening, Malformed),
    ];
    for dialect in Dialect::ALL {
        for fault in &faults {
            let of = format!("{dialect:?}, {fault:?}");
            let stage = Stage::two(dialect).await;
            stage.break_all(fault);
            let answer = stage.ask().await;
            check_refusal(dialect, &answer, &of);
            assert!(answer.status.is_server_error(), "{of}: {answer:?}");
            stage.rest().await;
            assert_eq!((stage.counted(0), stage.counted(1)), ((1, 1), (1, 1)), "{of}");
        }
    }
}

#[tokio::test]
async fn s31_s32_silence_from_everybody_is_told_as_an_error() {
    for dialect in Dialect::ALL {
        for fault in [Fault::at(Opening, Stall), Fault::at(Opening, Comments { every_ms: 20 }), Fault::Hang] {
            let of = format!("{dialect:?}, {fault:?}");
            let stage = Stage::set(dialect, &["first", "second"], IMPATIENT, |builder| builder).await;
            stage.break_all(&fault);
            let answer = stage.ask().await;
            check_refusal(dialect, &answer, &of);
            assert!(answer.status.is_server_error(), "{of}: {answer:?}");
            let trail = answer.header("x-attempt-trail");
            assert!(trail.starts_with("first;ttft-timeout;") && trail.contains(", second;ttft-timeout;"), "{trail}");
            stage.rest().await;
            assert_eq!((stage.counted(0), stage.counted(1)), ((1, 1), (1, 1)), "{of}");
        }
    }
}

#[tokio::test]
async fn targets_that_fail_in_different_ways_are_summed_up() {
    for dialect in Dialect::ALL {
        let stage = Stage::two(dialect).await;
        stage.break_first(Fault::at(Start, Error(ProviderError::ServerError)));
        stage.running.break_region(1, Fault::Empty);
        let answer = stage.ask().await;
        check_refusal(dialect, &answer, &format!("{dialect:?}"));
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (503, ""), "{dialect:?}");
    }
}

/// Retries are what lies between an answer and its repetition: with them it is the same.
#[tokio::test]
async fn s18_overloaded_for_good_is_529_also_after_retries_and_a_success_is_one() {
    let settings = "[retry]\nattempts = 2\n";
    let stage = Stage::set(Dialect::Anthropic, &["first"], settings, |builder| builder).await;
    stage.break_all(&Fault::provider(ProviderError::Overloaded));
    let answer = stage.ask().await;
    check_refusal(Dialect::Anthropic, &answer, "529 twice");
    assert_eq!((answer.status.as_u16(), answer.header("x-attempts")), (529, "2"), "{answer:?}");
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");

    let stage = Stage::two(Dialect::Anthropic).await;
    stage.break_first(Fault::provider(ProviderError::Overloaded));
    let answer = stage.ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "second"));
}

#[tokio::test]
async fn s7_a_long_wait_is_not_waited_out_here_and_told_unchanged() {
    let limited = Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(70_000) };
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Ollama) {
        let stage = Stage::set(dialect, &["first", "second"], "", |builder| builder).await;
        stage.break_first(limited.clone());
        let answer = stage.ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "second"), "{dialect:?}");

        let stage = Stage::set(dialect, &["first"], "", |builder| builder).await;
        stage.break_first(limited.clone());
        let answer = stage.ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "70"), "{dialect:?}: {answer:?}");
        assert_eq!((answer.header("x-attempts"), stage.running.seen()), ("1", vec![1]), "{dialect:?}");
        stage.rest().await;
        assert_eq!(stage.counted(0).1, 0, "{dialect:?}: no failure");
    }
}

#[tokio::test]
async fn s9_a_target_that_says_not_to_retry_is_asked_once() {
    let fault = buttress_sim::StatusFault::new(http::StatusCode::SERVICE_UNAVAILABLE)
        .header("x-should-retry".parse().unwrap(), "false".parse().unwrap());
    for dialect in Dialect::ALL {
        let stage = Stage::set(dialect, &["first"], "", |builder| builder).await;
        stage.break_first(Fault::from(fault.clone()));
        let answer = stage.ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-should-retry")), (503, "false"), "{dialect:?}");
        assert_eq!(stage.running.seen(), [1], "{dialect:?}");
    }
}

#[tokio::test]
async fn s14_a_wait_that_only_the_body_tells_of_is_told_in_a_header() {
    let fault = Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(46_000) };
    let stage = Stage::set(Dialect::Gemini, &["first"], PATIENT, |builder| builder).await;
    stage.break_all(&fault);
    let honest = twin(Dialect::Gemini, "first", fault.clone(), true).await;
    assert_eq!(honest.header("retry-after"), "", "Gemini has no such header");
    let answer = stage.ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "46"), "{answer:?}");
    assert_eq!(answer.text(), honest.text(), "its own words");
}
