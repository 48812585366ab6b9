//! Retries that say so, and requests that come as somebody's retry.

use buttress_testkit::{Reply, send};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{get, n, over, retry};

/// Counts the attempts of a request with these headers, at an upstream that is down; returns what it saw of them.
async fn attempts(headers: &HeaderMap) -> Vec<HeaderMap> {
    let (mut service, handle) = over(&retry(), []);
    handle.always(Reply::status(503));
    let mut request = get();
    request.headers_mut().extend(headers.clone());
    drop(send(&mut service, request).await);
    handle.seen().into_iter().map(|seen| seen.headers).collect()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_as_a_retry_is_sent_once() {
    for (name, value) in [
        ("x-attempt", "2"),
        ("x-attempt", " 3 "),
        ("x-attempt", "4294967295"),
        ("x-envoy-attempt-count", "2"),
        ("grpc-previous-rpc-attempts", "1"),
    ] {
        let seen = attempts(&headers(&[(name, value)])).await;
        assert_eq!(seen.len(), 1, "{name}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_and_what_is_no_number_are_retried() {
    for (name, value) in [
        ("x-attempt", "1"),
        ("x-attempt", "0"),
        ("x-attempt", "many"),
        ("x-attempt", "-2"),
        ("x-attempt", "2.5"),
        ("x-attempt", ""),
        ("x-envoy-attempt-count", "1"),
        ("grpc-previous-rpc-attempts", "0"),
    ] {
        let seen = attempts(&headers(&[(name, value)])).await;
        assert_eq!(seen.len(), 3, "{name}: {value}");
        assert_eq!(seen[0][name], value, "the first attempt goes out as it came");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_which_attempt_it_is() {
    let of = |seen: &[HeaderMap], name| {
        let value = |headers: &HeaderMap| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        seen.iter().map(value).collect::<Vec<_>>()
    };
    let some = |value: &str| Some(value.to_owned());
    let seen = attempts(&HeaderMap::new()).await;
    assert_eq!(of(&seen, "x-attempt"), [None, some("2"), some("3")]);
    assert_eq!(of(&seen, "grpc-previous-rpc-attempts"), [None, None, None]);

    let seen = attempts(&headers(&[("content-type", "application/grpc+proto")])).await;
    assert_eq!(of(&seen, "x-attempt"), [None, some("2"), some("3")]);
    assert_eq!(of(&seen, "grpc-previous-rpc-attempts"), [None, some("1"), some("2")]);
}

#[tokio::test(start_paused = true)]
async fn layers_in_two_processes_do_not_multiply_their_attempts() {
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.always(Reply::status(503));
    let far = tower::ServiceBuilder::new().layer(retry()).service(probe);
    // What goes over the wire: the headers, and no extensions.
    let wire = tower::service_fn(move |request: http::Request<buttress_core::Payload>| {
        let (parts, body) = request.into_parts();
        let mut sent = http::Request::new(body);
        *sent.headers_mut() = parts.headers;
        let mut far = far.clone();
        async move {
            send(&mut far, sent).await.map(|response| http::Response::builder().status(response.status()).body(()))
        }
    });
    let wire = tower::util::MapResponse::new(wire, |response: Result<_, http::Error>| response.unwrap());
    let mut near = tower::Layer::layer(&retry(), wire);
    drop(send(&mut near, get()).await);
    assert_eq!(handle.calls(), 3 + 1 + 1, "the far side retries the first attempt, and none of the retries");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_retries_itself_is_taken_off() {
    for (count, made) in [("0", 3), ("1", 2), ("2", 1), ("7", 1), ("4294967295", 1), ("many", 3)] {
        let seen = attempts(&headers(&[("x-stainless-retry-count", count)])).await;
        assert_eq!(seen.len(), made, "after {count} retries of the client's own");
    }
}

proptest! {
    #[test]
    fn any_marks_and_any_hints_are_survived(
        request in proptest::collection::vec((0..4_usize, any::<Vec<u8>>()), 0..4),
        response in proptest::collection::vec((0..6_usize, any::<Vec<u8>>(), "[-+0-9a-zA-Z:, .]{0,40}"), 0..4),
        plain: bool,
    ) {
        const MARKS: [&str; 4] =
            ["x-attempt", "x-envoy-attempt-count", "grpc-previous-rpc-attempts", "x-stainless-retry-count"];
        const HINTS: [&str; 6] =
            ["retry-after", "retry-after-ms", "x-ms-retry-after-ms", "x-should-retry", "date", "grpc-retry-pushback-ms"];
        let calls = buttress_testkit::run(async {
            let upstream = tower::service_fn(move |request: http::Request<buttress_core::Payload>| {
                let mut answer = http::Response::builder().status(503).extension(request.headers().clone());
                for (name, bytes, text) in &response {
                    let value = if plain { HeaderValue::from_str(text) } else { HeaderValue::from_bytes(bytes) };
                    if let Ok(value) = value {
                        answer = answer.header(HINTS[*name], value);
                    }
                }
                std::future::ready(answer.body(()))
            });
            let layer = retry().attempts(n(4));
            let mut incoming = get();
            for (name, bytes) in &request {
                if let Ok(value) = HeaderValue::from_bytes(bytes) {
                    incoming.headers_mut().append(MARKS[*name], value);
                }
            }
            drop(send(&mut tower::Layer::layer(&layer, upstream), incoming).await);
            layer.counts().retries
        });
        prop_assert!(calls <= 3);
    }
}
