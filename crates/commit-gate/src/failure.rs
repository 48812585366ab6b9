//! The answer that tells of a failure.

use std::{error::Error, iter, time::Duration};

use buttress_core::{AnswerReport, BoxError, RetryHint, StreamFailure, Verdict};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header, response};
use tracing::debug;

use crate::ResponseBody;

static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
static X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What speaks of the body that was dropped, or of the connection that it came on.
static OF_THE_BODY: [HeaderName; 15] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// Makes of the head of an answer one that tells of `failure`.
pub(crate) fn response<B>(
    mut head: response::Parts,
    failure: &StreamFailure,
    (content_type, text): (HeaderValue, Bytes),
) -> Response<ResponseBody<B>> {
    let class = failure.class();
    head.status = failure.status();
    OF_THE_BODY.iter().for_each(|name| {
        head.headers.remove(name);
    });
    head.headers.insert(header::CONTENT_TYPE, content_type);
    write_hint(&mut head.headers, class.hint);
    AnswerReport::of_or_new(&mut head.extensions).conclude(class);
    head.extensions.insert(class);
    debug!(
        reason = failure.word(), status = head.status.as_u16(), verdict = %class.verdict,
        "answer failed before its first content"
    );
    Response::from_parts(head, ResponseBody::from(text))
}

/// What a layer further in found before it passed on a failure in other words.
pub(crate) fn as_found(failure: StreamFailure, report: Option<&AnswerReport>) -> StreamFailure {
    // Who knows less of the format may have found no failure.
    let class = report.and_then(AnswerReport::class).filter(|class| class.verdict != Verdict::Success);
    match (class, failure.report()) {
        (Some(class), Some(said)) if class != failure.class() => StreamFailure::reported(class, said.clone()),
        _ => failure,
    }
}

/// The failure that a body's error stands for.
pub(crate) fn of_error(error: &BoxError) -> StreamFailure {
    let first: &(dyn Error + 'static) = error.as_ref();
    let mut causes = iter::successors(Some(first), |&error| error.source());
    causes.find_map(|cause| cause.downcast_ref().cloned()).unwrap_or_else(StreamFailure::broken)
}

fn write_hint(headers: &mut HeaderMap, hint: RetryHint) {
    if let Some(after) = hint.after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        let millis = after.as_nanos().div_ceil(1_000_000);
        headers.insert(&RETRY_AFTER_MS, HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)));
    }
    if let Some(word) = hint.should_retry {
        headers.insert(&X_SHOULD_RETRY, HeaderValue::from_static(if word { "true" } else { "false" }));
    }
}

/// Rounds up: a caller must not come back before the time.
const fn whole_seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add((after.subsec_nanos() > 0) as u64)
}
