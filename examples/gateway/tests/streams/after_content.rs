//! Scenes in which a target fails after content: nothing is repeated, and nothing is invented.

use buttress_sim::{
    At::{Content, Events, Finish},
    Fault, ProviderError,
    Then::{Close, Comments, End, Error, Malformed, Reset, Stall},
};
use tokio::time::timeout;

use crate::{
    dialect::Dialect,
    stage::{Stage, Told, told, twin},
    support::FAR,
};

/// A limit on silence that a test can wait for.
const IMPATIENT: &str = "[retry]\nattempts = 1\n[streams]\nidle = \"300ms\"\n";

/// What a stream says that stops after two words: the very bytes of the first target.
async fn two_words(dialect: Dialect) -> String {
    twin(dialect, "first", Fault::at(Content(2), End), true).await.text()
}

/// Asks for a stream of which the first target breaks off with `fault`. The second one is well, and is not asked.
async fn broken(settings: &str, dialect: Dialect, fault: &Fault) -> (Stage, Told) {
    let of = format!("{dialect:?}, {fault:?}");
    let stage = Stage::set(dialect, &["first", "second"], settings, |builder| builder).await;
    stage.break_first(fault.clone());
    let response = stage.begin(true).await;
    let header = |name: &str| response.headers()[name].to_str().expect("headers here are text").to_owned();
    assert_eq!((response.status().as_u16(), header("x-served-by").as_str()), (200, "first"), "{of}");
    assert_eq!(header("x-attempts"), "1", "{of}");
    assert!(header("x-attempt-trail").starts_with("first;200;"), "{of}");

    let told = told(response).await;

    stage.rest().await;
    assert_eq!(stage.running.seen(), [1, 0], "{of}: nothing is repeated");
    (stage, told)
}

/// What came before the break was forwarded as it was; after it stands one error event, and nothing else.
fn check_closing(dialect: Dialect, told: &Told, before: &str, of: &str) {
    let rest = told.text.strip_prefix(before);
    let rest =
        rest.unwrap_or_else(|| panic!("{of}: what came is forwarded unchanged: {:?}\nnot {before:?}", told.text));
    dialect.check_error_event(rest, of);
    check_no_end(told, of);
}

fn check_no_end(told: &Told, of: &str) {
    assert!(told.whole, "{of}: HTTP's own end is a good one, since the stream tells of its failure");
    for end in ["[DONE]", "message_stop", "response.completed", r#""done":true"#, "STOP", "end_turn", r#":"stop""#] {
        assert!(!told.text.contains(end), "{of}: no made-up end: {}", told.text);
    }
}

#[tokio::test]
async fn s29_a_stream_that_is_cut_off_after_content_ends_with_an_error_of_its_dialect() {
    for dialect in Dialect::ALL {
        let before = two_words(dialect).await;
        for then in [End, Close, Reset] {
            let fault = Fault::at(Content(2), then);
            let of = format!("{dialect:?}, {fault:?}");
            let (stage, told) = broken("", dialect, &fault).await;
            check_closing(dialect, &told, &before, &of);
            assert_eq!(stage.counted(0), (1, 1), "{of}: a failure");
            let counts = stage.running.operator.broken();
            assert_eq!(counts.truncated + counts.reset, 1, "{of}");
        }
    }
}

#[tokio::test]
async fn s30_a_stream_that_told_of_its_end_is_whole_however_its_connection_ends() {
    for dialect in Dialect::ALL {
        let before = twin(dialect, "first", Fault::at(Finish, End), true).await.text();
        for then in [End, Close, Reset] {
            let fault = Fault::at(Finish, then);
            let of = format!("{dialect:?}, {fault:?}");
            let (stage, told) = broken("", dialect, &fault).await;
            assert_eq!((told.text.as_str(), told.whole), (before.as_str(), true), "{of}: no error is added");
            assert_eq!(stage.counted(0), (1, 0), "{of}: a success");
            assert_eq!(stage.running.operator.broken(), Default::default(), "{of}");
        }
    }
}

#[tokio::test]
async fn s31_silence_after_content_ends_with_an_error_and_frees_the_target() {
    for dialect in Dialect::ALL {
        let fault = Fault::at(Content(2), Stall);
        let (stage, told) = broken(IMPATIENT, dialect, &fault).await;
        check_closing(dialect, &told, &two_words(dialect).await, &format!("{dialect:?}"));
        let stats = timeout(FAR, stage.first().wait_for(|stats| stats.cancelled == 1)).await;
        stats.expect("the connection to the target is closed");
        assert_eq!(stage.counted(0), (1, 1), "{dialect:?}: a failure");
        assert_eq!(stage.running.operator.broken().idle, 1, "{dialect:?}");
    }
}

#[tokio::test]
async fn s32_pings_after_content_do_not_stop_the_clock() {
    for dialect in Dialect::ALL {
        let fault = Fault::at(Content(2), Comments { every_ms: 20 });
        let of = format!("{dialect:?}, {fault:?}");
        let (stage, mut told) = broken(IMPATIENT, dialect, &fault).await;
        let before = two_words(dialect).await;
        let rest = told.text.strip_prefix(&before).unwrap_or_else(|| panic!("{of}: {}", told.text)).to_owned();
        let pings = [
            "\n",
            ": keep-alive\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        ];
        let (mut closing, mut seen) = (rest.as_str(), 0);
        while let Some(after) = pings.iter().find_map(|ping| closing.strip_prefix(ping)) {
            (closing, seen) = (after, seen + 1);
        }
        assert!(seen > 0, "{of}: pings pass: {rest:?}");
        told.text = format!("{before}{closing}");
        check_closing(dialect, &told, &before, &of);
        assert_eq!((stage.counted(0), stage.running.operator.broken().idle), ((1, 1), 1), "{of}");
    }
}

#[tokio::test]
async fn s34_what_is_no_json_after_content_ends_the_stream_with_an_error() {
    for dialect in Dialect::ALL {
        let fault = Fault::at(Content(2), Malformed);
        let of = format!("{dialect:?}, {fault:?}");
        let (stage, told) = broken("", dialect, &fault).await;
        check_closing(dialect, &told, &two_words(dialect).await, &of);
        assert_eq!((stage.counted(0), stage.running.operator.broken().malformed), ((1, 1), 1), "{of}");
    }
}

#[tokio::test]
async fn an_error_that_the_target_tells_of_after_content_passes_as_it_is() {
    for dialect in Dialect::ALL {
        for error in [ProviderError::ServerError, ProviderError::Overloaded] {
            let fault = Fault::at(Content(2), Error(error));
            let of = format!("{dialect:?}, {fault:?}");
            let (stage, told) = broken("", dialect, &fault).await;
            let honest = twin(dialect, "first", fault.clone(), true).await;
            assert_eq!(told.text, honest.text(), "{of}: its own words, and no second error");
            check_closing(dialect, &told, &two_words(dialect).await, &of);
            assert_eq!((stage.counted(0), stage.running.operator.broken().reported), ((1, 1), 1), "{of}");
        }
    }
}

#[tokio::test]
async fn filtered_content_and_a_call_of_a_tool_are_answers() {
    let tool = Fault::ToolCall { name: "look_up".to_owned(), arguments: serde_json::json!({"of": "x"}) };
    for dialect in Dialect::ALL {
        for fault in [
            Fault::Filtered { content: 2 },
            Fault::Filtered { content: 0 },
            tool.clone(),
            Fault::NoUsage,
            Fault::AsyncFilter,
        ] {
            let of = format!("{dialect:?}, {fault:?}");
            let (stage, told) = broken("", dialect, &fault).await;
            let honest = twin(dialect, "first", fault.clone(), true).await;
            assert_eq!((told.text, told.whole), (honest.text(), true), "{of}");
            assert_eq!(stage.counted(0).1, 0, "{of}: no failure");
        }
    }
}

#[tokio::test]
async fn each_break_within_an_event_leaves_whole_events() {
    for dialect in Dialect::ALL {
        let whole = twin(dialect, "first", None, true).await.text();
        let before = two_words(dialect).await;
        // Within the third word.
        for bytes in [before.len() + 1, before.len() + 40] {
            let fault = Fault::at(buttress_sim::At::Bytes(bytes), Close);
            let of = format!("{dialect:?}, {fault:?}");
            assert!(whole.len() > bytes, "{of}");
            let (_, told) = broken("", dialect, &fault).await;
            check_closing(dialect, &told, &before, &of);
        }
    }
}

#[tokio::test]
async fn a_break_between_any_two_events_is_hidden_or_told_and_never_a_clean_end() {
    for dialect in Dialect::ALL {
        let healthy = twin(dialect, "second", None, true).await.text();
        for events in 0..6 {
            let fault = Fault::at(Events(events), Close);
            let of = format!("{dialect:?}, {fault:?}");
            let stage = Stage::two(dialect).await;
            stage.break_first(fault.clone());
            let told = told(stage.begin(true).await).await;
            if told.text != healthy {
                let before = twin(dialect, "first", Fault::at(Events(events), End), true).await.text();
                check_closing(dialect, &told, &before, &of);
            }
            stage.rest().await;
            assert_eq!(stage.counted(0).1, 1, "{of}");
        }
    }
}
