//! From a gRPC status to a verdict.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response};

use crate::{Class, Classify, HttpClassify, Outcome, RetryHint, Verdict};

/// Classifies gRPC responses by the `grpc-status` in their head, and others as [`HttpClassify`] does.
///
/// A server that fails at once answers with trailers only, which are the head of the response. A response without a
/// `grpc-status` there has begun to stream; what its trailers say comes too late to send the request again.
///
/// | `grpc-status` | verdict |
/// |---|---|
/// | OK | [`Success`](Verdict::Success) |
/// | CANCELLED | [`Cancelled`](Verdict::Cancelled) |
/// | UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, INTERNAL, DATA_LOSS, UNKNOWN, and what is no code | [`Transient`](Verdict::Transient) |
/// | RESOURCE_EXHAUSTED | [`RateLimited`](Verdict::RateLimited) |
/// | UNAUTHENTICATED, PERMISSION_DENIED | [`CredentialDead`](Verdict::CredentialDead) |
/// | any other | [`CallerFault`](Verdict::CallerFault) |
///
/// The server's push-back, `grpc-retry-pushback-ms`, is obeyed as gRPC proposal A6 has it: one number from zero up is the
/// very moment of the retry, if the verdict allows one, and anything else says that there must be none. Who names the
/// moment wants no jitter added to it, and so the verdict becomes [`CapacityByDesign`](Verdict::CapacityByDesign), the one
/// whose hints are kept to the millisecond.
///
/// gRPC's requests are `POST`, and most of its failures may follow work that was begun; a retry of those must be allowed to
/// repeat.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassify;

// === impl GrpcClassify ===

impl<B, E: 'static> Classify<Response<B>, E> for GrpcClassify {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Class {
        let undecided = result.ok().filter(|response| response.extensions().get::<Class>().is_none());
        let by_code = undecided.and_then(|response| {
            let code = response.headers().get("grpc-status")?;
            Some(pushed_back(by_code(code), response.headers()))
        });
        by_code.unwrap_or_else(|| HttpClassify.classify(result))
    }
}

fn by_code(code: &HeaderValue) -> Class {
    use Verdict::{CallerFault, Cancelled, CredentialDead, RateLimited, Success, Transient};
    let (verdict, word) = match code.as_bytes() {
        b"0" => (Success, "grpc-0"),
        b"1" => (Cancelled, "grpc-1"),
        b"2" => (Transient, "grpc-2"),
        b"3" => (CallerFault, "grpc-3"),
        b"4" => (Transient, "grpc-4"),
        b"5" => (CallerFault, "grpc-5"),
        b"6" => (CallerFault, "grpc-6"),
        b"7" => (CredentialDead, "grpc-7"),
        b"8" => (RateLimited, "grpc-8"),
        b"9" => (CallerFault, "grpc-9"),
        b"10" => (Transient, "grpc-10"),
        b"11" => (CallerFault, "grpc-11"),
        b"12" => (CallerFault, "grpc-12"),
        b"13" => (Transient, "grpc-13"),
        b"14" => (Transient, "grpc-14"),
        b"15" => (Transient, "grpc-15"),
        b"16" => (CredentialDead, "grpc-16"),
        _ => (Transient, "grpc-invalid"),
    };
    Class::new(verdict, Outcome::Word(word))
}

fn pushed_back(class: Class, headers: &HeaderMap) -> Class {
    let mut values = headers.get_all("grpc-retry-pushback-ms").iter();
    let (Some(value), false) = (values.next(), class.verdict == Verdict::Success) else { return class };
    let one = value.to_str().ok().filter(|_| values.next().is_none());
    let millis = one.and_then(|text| text.parse::<i32>().ok()).and_then(|millis| u64::try_from(millis).ok());
    match millis.map(Duration::from_millis) {
        Some(wait) if class.verdict.retry_here() => {
            Class { verdict: Verdict::CapacityByDesign, hint: RetryHint::after(wait), ..class }
        }
        // The code stands: a push-back says when to retry, and not that a wrong request has become right.
        Some(_) => class,
        None => class.with_hint(RetryHint { after: None, should_retry: Some(false) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TransportError, TransportErrorKind};
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn of(status: u16, headers: &[(&'static str, &str)]) -> Class {
        let response =
            headers.iter().fold(Response::builder().status(status), |response, (k, v)| response.header(*k, *v));
        GrpcClassify.classify(Ok::<_, &Infallible>(&response.body(()).unwrap()))
    }

    fn pushed(code: &str, values: &[&str]) -> Class {
        let status = [("grpc-status", code)];
        let values = values.iter().map(|value| ("grpc-retry-pushback-ms", *value));
        of(200, &status.into_iter().chain(values).collect::<Vec<_>>())
    }

    #[test]
    fn codes_are_classed_by_the_documented_table() {
        use Verdict::*;
        for (codes, verdict, begun) in [
            (&["0"][..], Success, true),
            (&["1"], Cancelled, true),
            (&["2", "4", "10", "13", "14", "15"], Transient, true),
            (&["", "-1", "17", "014", "99999999999", "OK"], Transient, true),
            (&["8"], RateLimited, false),
            (&["7", "16"], CredentialDead, false),
            (&["3", "5", "6", "9", "11", "12"], CallerFault, false),
        ] {
            for code in codes {
                let class = of(200, &[("grpc-status", code)]);
                assert_eq!((class.verdict, class.begun, class.hint), (verdict, begun, RetryHint::NONE), "{code}");
            }
        }
        assert_eq!(of(200, &[("grpc-status", "14")]).outcome, Outcome::Word("grpc-14"));
        assert_eq!(of(200, &[("grpc-status", "many")]).outcome, Outcome::Word("grpc-invalid"));
    }

    #[test]
    fn what_has_no_code_is_classed_as_http() {
        assert_eq!(of(200, &[]), Class::SUCCESS);
        let class = of(503, &[("retry-after", "2")]);
        assert_eq!((class.verdict, class.hint.after), (Verdict::Transient, Some(Duration::from_secs(2))));
        let error = TransportError::new(TransportErrorKind::Connect);
        assert!(!GrpcClassify.classify(Err::<&Response<()>, _>(&error)).begun);
    }

    #[test]
    fn a_class_left_by_an_inner_layer_is_final() {
        let inner = Class::new(Verdict::QuotaExhausted, Outcome::Word("quota"));
        let response = Response::builder().header("grpc-status", "14").extension(inner).body(()).unwrap();
        assert_eq!(GrpcClassify.classify(Ok::<_, &Infallible>(&response)), inner);
    }

    #[test]
    fn a_push_back_of_one_number_names_the_very_moment() {
        for (code, begun) in [("14", true), ("8", false)] {
            let class = pushed(code, &["1500"]);
            assert_eq!((class.verdict, class.begun), (Verdict::CapacityByDesign, begun));
            assert_eq!(class.hint, RetryHint::after(Duration::from_millis(1_500)));
        }
        assert_eq!(pushed("14", &["0"]).hint, RetryHint::after(Duration::ZERO));
    }

    #[test]
    fn any_other_push_back_means_no_retry() {
        for values in [&["-1"][..], &["xxx"], &[""], &["1.5"], &["2147483648"], &["100", "10"], &["100, 10"]] {
            let class = pushed("14", values);
            assert_eq!((class.verdict, class.hint.should_retry), (Verdict::Transient, Some(false)), "{values:?}");
        }
    }

    #[test]
    fn a_push_back_changes_neither_a_success_nor_what_no_retry_can_cure() {
        assert_eq!(pushed("0", &["-1"]).hint, RetryHint::NONE);
        let class = pushed("3", &["100"]);
        assert_eq!((class.verdict, class.hint), (Verdict::CallerFault, RetryHint::NONE));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_class(code: Vec<u8>, pushes in proptest::collection::vec(any::<Vec<u8>>(), 0..3)) {
            let mut response = Response::new(());
            if let Ok(code) = HeaderValue::from_bytes(&code) {
                response.headers_mut().insert("grpc-status", code);
            }
            for push in pushes.iter().filter_map(|push| HeaderValue::from_bytes(push).ok()) {
                response.headers_mut().append("grpc-retry-pushback-ms", push);
            }
            let class = GrpcClassify.classify(Ok::<_, &Infallible>(&response));
            prop_assert!(class.hint.after.is_none_or(|after| after <= RetryHint::MAX));
        }
    }
}
