//! The contract that every layer keeps.

use buttress_stream_guard::{Continue, ContinueLayer, StreamGuardLayer, Thread};
use buttress_testkit::LineStreams;

mod bytewise {
    use super::*;

    buttress_testkit::http_contract! {
        layer: StreamGuardLayer::bytewise,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod by_its_format {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || StreamGuardLayer::new(LineStreams::default()),
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

/// Goes on with nothing.
#[derive(Clone, Copy, Debug)]
struct Never;

impl<B> Continue<B> for Never {
    type Thread = Self;

    fn begin(&self, _: &http::Request<B>, _: &http::response::Parts) -> Option<Self> {
        Some(Self)
    }
}

impl<B> Thread<B> for Never {
    fn keep(&mut self, _: &[u8]) {}

    fn kept(&self) -> usize {
        0
    }

    fn follow_up(&self, _: &http::Request<B>) -> Option<http::Request<B>> {
        None
    }

    fn mark(&self, _: Option<&buttress_core::Target>) -> bytes::Bytes {
        bytes::Bytes::new()
    }

    fn splice(&mut self, data: bytes::Bytes) -> bytes::Bytes {
        data
    }
}

mod going_on {
    use super::*;

    // axum's request bodies cannot be kept for a second call, so it does not stand there by itself.
    buttress_testkit::http_contract! {
        layer: || ContinueLayer::new(LineStreams::default(), Never),
        readiness: forwarded,
        state: none,
        refusal: none,
        edge: none,
    }
}
