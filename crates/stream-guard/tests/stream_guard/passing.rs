//! Answers that are not read.

use super::{answer, layer, lines};
use buttress_core::AnswerReport;
use buttress_testkit::{Handle, Probe, Reply, Script, ScriptedBody, read, run, send};
use tower::Layer as _;

#[test]
fn errors_and_unknown_formats_pass_untouched() {
    run(async {
        for reply in [
            Reply::status(503)
                .header("content-type", "text/x-lines")
                .body(Script::new().data("{]").trailer("x-check", "1")),
            Reply::ok().header("content-type", "text/plain").body(Script::new().data("{]").trailer("x-check", "1")),
        ] {
            let (answer, _) = answer(&layer(), reply).await;
            assert!(answer.extensions().get::<AnswerReport>().is_none());
            let received = read(answer.into_body()).await;
            assert_eq!((received.bytes().as_ref(), received.error.is_none()), (&b"{]"[..], true));
            assert!(received.trailers.is_some());
        }
    });
}

#[test]
fn scenario_38_an_encoded_answer_is_asked_not_to_be_and_passes_if_it_is() {
    run(async {
        for (layer, asks) in [(layer(), "identity"), (layer().keep_accept_encoding(), "gzip")] {
            let (probe, handle): (Probe<ScriptedBody>, Handle) = Probe::new();
            handle.next(lines(Script::new().data("\x1f\u{8b}")).header("content-encoding", "gzip"));
            let mut request = buttress_testkit::request();
            request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
            let answer = send(&mut layer.layer(probe), request).await.unwrap();
            assert_eq!(handle.seen()[0].headers["accept-encoding"], asks);
            assert_eq!(answer.headers()["content-encoding"], "gzip");
            assert_eq!(read(answer.into_body()).await.bytes(), "\x1f\u{8b}");
        }
    });
}
