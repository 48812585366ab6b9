//! Retries that say so.

use buttress_core::Head;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Which attempt a request is, counted from 1. Written on retries, read on what comes in.
const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");
/// The same as Envoy writes it.
const ENVOY: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
/// How many attempts came before, as gRPC writes it (proposal A6).
const GRPC: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Returns whether a request says that it is somebody's retry.
pub(crate) fn is_retry(head: &dyn Head) -> bool {
    let number = |name: &HeaderName| head.headers().get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
    number(&ATTEMPT).is_some_and(|n| n > 1)
        || number(&ENVOY).is_some_and(|n| n > 1)
        || number(&GRPC).is_some_and(|n| n > 0)
}

/// Lets the next server know that `head` is a retry, after `made` attempts.
pub(crate) fn mark(head: &mut dyn Head, made: u32) {
    let headers = head.headers_mut();
    headers.insert(ATTEMPT, HeaderValue::from(made.saturating_add(1)));
    if is_grpc(headers) {
        headers.insert(GRPC, HeaderValue::from(made));
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
