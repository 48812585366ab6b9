//! The heads of requests and answers.

use super::{answer, ask, class, layer, lines};
use buttress_core::{AnswerReport, Class, Outcome, RetryHint, Verdict};
use buttress_testkit::{Reply, Script, read, run};
use std::time::Duration;

#[test]
fn the_headers_of_a_failed_answer_are_kept_save_those_of_its_body() {
    run(async {
        let reply = lines(Script::new().data("error 529 x\n"))
            .header("x-request-id", "req_1")
            .header("x-ratelimit-remaining-requests", "7")
            .header("content-length", "12")
            .header("etag", "\"a\"")
            .header("cache-control", "max-age=9")
            .extension(7_u32);
        let (answer, _) = answer(&layer(), reply).await;
        let has = |name: &str| answer.headers().contains_key(name);
        assert_eq!(answer.headers()["x-request-id"], "req_1");
        assert!(has("x-ratelimit-remaining-requests"));
        assert!(!has("content-length") && !has("etag") && !has("cache-control"));
        assert_eq!(answer.extensions().get(), Some(&7_u32), "what was found out about the target is kept");
        assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(5));
    });
}

#[test]
fn a_hint_of_the_class_is_told_rounded_up() {
    run(async {
        let report = AnswerReport::default();
        let hint = RetryHint { after: Some(Duration::from_micros(1_500_100)), should_retry: Some(false) };
        report.conclude(Class::new(Verdict::RateLimited, Outcome::Word("rate")).with_hint(hint));
        let reply = lines(Script::new().data("error 429 x\n")).extension(report).header("retry-after", "9");
        let (answer, _) = answer(&layer(), reply).await;
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["retry-after-ms"], "1501");
        assert_eq!(answer.headers()["x-should-retry"], "false");
        assert_eq!(class(&answer).hint, hint);
    });
}

#[test]
fn errors_and_unknown_formats_pass_at_once_and_unread() {
    run(async {
        for reply in [
            Reply::status(503).header("content-type", "text/x-lines").body(Script::new().hangs()),
            Reply::ok().header("content-type", "text/plain").body(Script::new().hangs()),
            lines(Script::new().hangs()).extension(Class::new(Verdict::QuotaExhausted, Outcome::Word("quota"))),
        ] {
            let (_answer, handle) = answer(&layer(), reply).await;
            assert_eq!(handle.bodies().polls(), 0, "a body that is not read is not polled");
        }
    });
}

#[test]
fn scenario_38_an_encoded_answer_is_asked_not_to_be_and_passes_unread_if_it_is() {
    run(async {
        let request = || {
            let mut request = buttress_testkit::request();
            request.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
            request
        };
        let gzip = || lines(Script::new().data("\x1f\u{8b}")).header("content-encoding", "gzip");
        let (answer, handle) = ask(&layer(), gzip(), request()).await;
        assert_eq!(handle.seen()[0].headers["accept-encoding"], "identity");
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip", "headers and body agree");
        assert_eq!(read(answer.into_body()).await.bytes(), "\x1f\u{8b}");

        let (_, handle) = ask(&layer().keep_accept_encoding(), gzip(), request()).await;
        assert_eq!(handle.seen()[0].headers["accept-encoding"], "gzip, br");
        let (_, handle) = ask(&layer(), gzip(), buttress_testkit::request()).await;
        assert!(!handle.seen()[0].headers.contains_key("accept-encoding"), "nobody asked for an encoding");
    });
}
