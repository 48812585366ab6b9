//! Scenes in which a target fails before its first content: nobody sees them.

use buttress_sim::{
    At::{self, Content, Events, Opening, Start},
    Fault, ProviderError,
    Then::{self, Close, Comments, Done, End, Error, Malformed, Reset, Stall},
};
use tokio::time::timeout;

use crate::{
    dialect::Dialect,
    stage::{PATIENT, Stage, twin},
    support::{Answer, FAR},
};

/// Limits on the first content that a test can wait for.
const IMPATIENT: &str = "[retry]\nattempts = 1\n[failover]\nstream_timeout = \"1s\"\nanswer_timeout = \"60s\"\n";

/// How the trail tells of the first attempt, and whether its breaker counts a failure.
type Expected = (&'static str, u32);

const FAILED: Expected = ("", 1);

/// The first target meets `fault`; the client sees one whole stream of the second, and nothing of the first.
async fn hidden(dialect: Dialect, fault: Fault, expected: Expected) {
    hidden_with(PATIENT, dialect, fault, expected).await;
}

async fn hidden_with(settings: &str, dialect: Dialect, fault: Fault, (word, failures): Expected) {
    let of = format!("{dialect:?}, {fault:?}");
    let stage = Stage::set(dialect, &["first", "second"], settings, |builder| builder).await;
    stage.break_first(fault);

    let answer = stage.ask().await;

    check_second(dialect, &answer, word, &of).await;
    stage.rest().await;
    assert_eq!(stage.running.seen(), [1, 1], "{of}");
    assert_eq!(stage.counted(0).1, failures, "{of}: what the first target's circuit counts");
    assert_eq!(stage.counted(1), (1, 0), "{of}: what the second target's circuit counts");
    assert_eq!(stage.running.operator.held().failed, 1, "{of}: the gate has held the first answer back");
}

/// The answer is the second target's, byte for byte.
async fn check_second(dialect: Dialect, answer: &Answer, word: &str, of: &str) {
    assert_eq!(answer.status, 200, "{of}: {answer:?}");
    let healthy = twin(dialect, "second", None, true).await;
    assert_eq!(answer.text(), healthy.text(), "{of}: the second target's stream, whole and unchanged");
    assert_eq!(answer.header("content-type"), healthy.header("content-type"), "{of}");
    let (ids, models) = Dialect::names(&answer.text());
    assert!(ids.len() <= 1 && models.len() == 1, "{of}: one id and one model: {ids:?} {models:?}");
    assert_eq!(ids.is_empty(), dialect == Dialect::Ollama, "{of}: only Ollama has no ids");

    assert_eq!((answer.header("x-served-by"), answer.header("x-attempts")), ("second", "2"), "{of}");
    let trail = answer.header("x-attempt-trail");
    let (first, second) = trail.split_once(", ").unwrap_or_else(|| panic!("{of}: two attempts: {trail}"));
    assert!(first.starts_with(&format!("first;{word}")) && second.starts_with("second;200;"), "{of}: {trail}");
}

fn at(at: At, then: Then) -> Fault {
    Fault::at(at, then)
}

#[tokio::test]
async fn s22_an_error_as_the_first_event_moves_on() {
    for dialect in Dialect::ALL {
        hidden(dialect, at(Start, Error(ProviderError::Overloaded)), FAILED).await;
        hidden(dialect, at(Start, Error(ProviderError::ServerError)), FAILED).await;
    }
}

#[tokio::test]
async fn s22_a_rate_limit_as_the_first_event_moves_on_and_is_no_failure() {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Ollama) {
        hidden(dialect, at(Start, Error(ProviderError::RateLimit)), ("429;", 0)).await;
    }
}

#[tokio::test]
async fn s23_a_role_before_an_error_is_no_content() {
    for dialect in Dialect::ALL {
        hidden(dialect, at(Opening, Error(ProviderError::ServerError)), FAILED).await;
    }
}

#[tokio::test]
async fn s24_azures_filter_results_before_an_error_are_no_content() {
    for dialect in [Dialect::Azure, Dialect::AzureV1] {
        let opening = twin(dialect, "first", at(Events(1), End), true).await.text();
        assert!(opening.contains(r#""id":"""#) && opening.contains("prompt_filter_results"), "{opening}");
        hidden(dialect, at(Events(1), Error(ProviderError::ServerError)), FAILED).await;
    }
}

#[tokio::test]
async fn s25_a_begun_message_and_a_ping_before_overloaded_are_no_content() {
    let opening = twin(Dialect::Anthropic, "first", at(Opening, End), true).await.text();
    assert!(opening.contains("message_start") && opening.contains("ping"), "{opening}");
    hidden(Dialect::Anthropic, at(Opening, Error(ProviderError::Overloaded)), ("529;", 1)).await;
}

#[tokio::test]
async fn s26_a_created_response_that_fails_is_no_content() {
    let opening =
        twin(Dialect::Responses, "first", at(Events(1), Error(ProviderError::ServerError)), true).await.text();
    assert!(opening.contains("response.created") && opening.contains("response.failed"), "{opening}");
    for events in [1, 2, 3, 4] {
        hidden(Dialect::Responses, at(Events(events), Error(ProviderError::ServerError)), FAILED).await;
    }
}

#[tokio::test]
async fn s27_a_200_with_nothing_in_it_moves_on() {
    for dialect in Dialect::ALL {
        for fault in [Fault::Empty, at(Start, End), at(Opening, End)] {
            hidden(dialect, fault, ("empty;", 1)).await;
        }
    }
}

#[tokio::test]
async fn s27_a_200_that_is_cut_off_before_content_moves_on() {
    for dialect in Dialect::ALL {
        for fault in [at(Start, Close), at(Opening, Close), at(Start, Reset), at(Opening, Reset)] {
            hidden(dialect, fault, ("", 1)).await;
        }
    }
}

#[tokio::test]
async fn s28_a_200_with_done_alone_moves_on() {
    for dialect in Dialect::ALL {
        for fault in [Fault::OnlyDone, at(Opening, Done)] {
            hidden(dialect, fault, ("empty;", 1)).await;
        }
    }
}

#[tokio::test]
async fn s31_silence_before_content_moves_on() {
    for dialect in Dialect::ALL {
        hidden_with(IMPATIENT, dialect, at(Opening, Stall), ("ttft-timeout;", 1)).await;
    }
}

#[tokio::test]
async fn s32_pings_before_content_do_not_stop_the_clock() {
    for dialect in Dialect::ALL {
        hidden_with(IMPATIENT, dialect, at(Opening, Comments { every_ms: 20 }), ("ttft-timeout;", 1)).await;
    }
}

#[tokio::test]
async fn s33_content_that_comes_too_late_is_not_waited_for() {
    for dialect in Dialect::ALL {
        let stage = Stage::set(dialect, &["first", "second"], IMPATIENT, |builder| builder).await;
        stage.break_first(Fault::SlowFirstToken { ms: 600_000 });
        let answer = stage.ask().await;
        check_second(dialect, &answer, "ttft-timeout;", &format!("{dialect:?}")).await;
        let cancelled = timeout(FAR, stage.first().wait_for(|stats| stats.cancelled == 1)).await;
        cancelled.expect("the first attempt is cancelled");
        stage.rest().await;
        assert_eq!((stage.counted(0), stage.counted(1)), ((1, 1), (1, 0)), "{dialect:?}");
        assert_eq!(stage.running.operator.held().late, 1, "{dialect:?}");
    }
}

#[tokio::test]
async fn s34_what_is_no_json_before_content_moves_on() {
    for dialect in Dialect::ALL {
        for place in [Start, Opening, Content(0)] {
            hidden(dialect, at(place, Malformed), ("malformed;", 1)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_and_fails_under_a_200_moves_on() {
    for dialect in Dialect::ALL {
        let faults =
            [Fault::Empty, at(Start, Error(ProviderError::ServerError)), at(Content(1), End), at(Content(1), Reset)];
        for fault in faults {
            let stage = Stage::two(dialect).await;
            stage.break_first(fault.clone());
            let answer = stage.ask_whole().await;
            let healthy = twin(dialect, "second", None, false).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, healthy.text()), "{dialect:?}, {fault:?}");
            assert_eq!(answer.header("x-served-by"), "second", "{dialect:?}, {fault:?}");
            stage.rest().await;
            assert_eq!((stage.counted(0), stage.counted(1)), ((1, 1), (1, 0)), "{dialect:?}, {fault:?}");
        }
    }
}
