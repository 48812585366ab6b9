//! Streams that travel in unusual ways: other ends of lines, other pieces, compressed.

use std::io::Write as _;

use axum::{Router, body::Body, response::Response};
use buttress_sim::{
    At::{Bytes as AtBytes, Content},
    Coding, Fault, LineEnd,
    Then::End,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::task::JoinSet;

use crate::{
    dialect::Dialect,
    stage::{PATIENT, Stage, serve_all, start, target, told, twin},
};

/// The stream arrives byte for byte as its target sends it under `fault`, and is a success.
async fn passes(dialect: Dialect, fault: Fault) -> String {
    let of = format!("{dialect:?}, {fault:?}");
    let stage = Stage::two(dialect).await;
    stage.break_first(fault.clone());
    let answer = stage.ask().await;
    let sent = twin(dialect, "first", fault, true).await;
    assert_eq!(answer.body, sent.body, "{of}: the bytes are unchanged");
    for header in ["content-type", "content-encoding", "content-length"] {
        assert_eq!(answer.header(header), sent.header(header), "{of}");
    }
    assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "first"), "{of}");
    stage.rest().await;
    assert_eq!((stage.counted(0), stage.running.seen()), ((1, 0), vec![1, 0]), "{of}: a success");
    assert_eq!(stage.running.operator.broken(), Default::default(), "{of}");
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn s35_ends_of_lines_and_a_mark_at_the_beginning_change_nothing() {
    for dialect in Dialect::ALL {
        let plain = twin(dialect, "first", None, true).await.text();
        for end in [LineEnd::Crlf, LineEnd::Cr, LineEnd::Lf] {
            // A line of Ollama's cannot end in CR alone.
            if (dialect, end) == (Dialect::Ollama, LineEnd::Cr) {
                continue;
            }
            let text = passes(dialect, Fault::LineEnds { end }).await;
            assert_eq!(text.replace("\r\n", "\n").replace('\r', "\n"), plain, "{dialect:?}, {end:?}");
        }
        let text = passes(dialect, Fault::ByteOrderMark).await;
        assert_eq!(text.trim_start_matches('\u{feff}'), plain, "{dialect:?}");
    }
}

#[tokio::test]
async fn s35_pieces_of_any_length_change_nothing() {
    for dialect in Dialect::ALL {
        let plain = twin(dialect, "first", None, true).await.text();
        // Each byte alone is each boundary at once.
        for bytes in [1, 2, 3, 7, 64, 1 << 20] {
            assert_eq!(passes(dialect, Fault::Drip { bytes, every_ms: 0 }).await, plain, "{dialect:?}, {bytes}");
        }
        for at in (1..plain.len()).step_by(plain.len() / 20) {
            assert_eq!(passes(dialect, Fault::Split { at: vec![at] }).await, plain, "{dialect:?}, {at}");
        }
    }
}

#[tokio::test]
async fn s35_a_break_at_any_byte_leaves_whole_events_and_one_error() {
    for dialect in Dialect::ALL {
        let before = twin(dialect, "first", Fault::at(Content(2), End), true).await.text();
        let after = twin(dialect, "first", Fault::at(Content(3), End), true).await.text();
        for at in (before.len()..after.len()).step_by(9) {
            let stage = Stage::two(dialect).await;
            stage.break_first(Fault::at(AtBytes(at), End));
            let told = told(stage.begin(true).await).await;
            // What lacks nothing but the blank line after it may be taken for whole.
            let rest = told.text.strip_prefix(after.trim_end()).or_else(|| told.text.strip_prefix(&before));
            let rest = rest.unwrap_or_else(|| panic!("{dialect:?}, {at}: {}", told.text)).trim_start();
            dialect.check_error_event(rest, &format!("cut at {at}"));
        }
    }
}

#[tokio::test]
async fn s38_a_compressed_stream_is_read_and_goes_on_as_it_came() {
    for dialect in Dialect::ALL {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Br] {
            passes(dialect, Fault::Encoded { coding }).await;
        }
    }
}

/// A target that answers with these bytes, compressed, whatever it is asked.
async fn compressed(text: &'static str) -> (String, JoinSet<()>) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes it");
    let bytes = Bytes::from(encoder.finish().expect("memory takes it"));
    let answer = async move || {
        let response =
            Response::builder().header("content-type", "text/event-stream").header("content-encoding", "gzip");
        response
            .body(Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes)])))
            .expect("the parts are good")
    };
    serve_all(Router::new().fallback(answer)).await
}

const ROLE: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}

"#;
const ERROR: &str = r#"data: {"error":{"message":"busy","type":"server_error","code":null}}

"#;
const WORD: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word"}}]}

"#;

/// A stage whose first target sends `text` compressed.
async fn stage_of(text: String) -> (Stage, JoinSet<()>) {
    let (url, server) = compressed(text.leak()).await;
    let second = Stage::one(Dialect::Chat).await.running;
    let (second, mut config) = (second.take_regions(), format!("listen = \"127.0.0.1:0\"\n{PATIENT}\n"));
    config += &target("compressed", &url, Dialect::Chat);
    config += &target("first", &second[0].url(), Dialect::Chat);
    (Stage { running: start(&config, second).await, dialect: Dialect::Chat }, server)
}

#[tokio::test]
async fn s38_an_error_in_a_compressed_stream_before_content_moves_on() {
    for text in [ERROR.to_owned(), format!("{ROLE}{ERROR}"), ROLE.to_owned(), "data: [DONE]\n\n".to_owned()] {
        let (stage, _server) = stage_of(text.clone()).await;
        let answer = stage.ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "first"), "{text}");
        assert_eq!(answer.header("content-encoding"), "", "{text}: that of the answer that was sent");
        assert_eq!(answer.text(), twin(Dialect::Chat, "first", None, true).await.text(), "{text}");
        assert!(answer.header("x-attempt-trail").starts_with("compressed;"), "{text}");
    }
}

#[tokio::test]
async fn s38_a_compressed_stream_that_is_cut_off_never_ends_well() {
    let (stage, _server) = stage_of(format!("{ROLE}{WORD}{WORD}")).await;
    let response = stage.begin(true).await;
    assert_eq!(response.headers()["x-served-by"], "compressed");
    let (mut body, mut whole) = (response.into_body(), true);
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        whole &= frame.is_ok();
    }
    assert!(!whole, "nothing can be said within what is compressed, so the body fails");
    stage.rest().await;
    assert_eq!((stage.running.operator.broken().truncated, stage.running.seen()), (1, vec![0]));
}
