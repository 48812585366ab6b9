//! The contract that every layer keeps.

use buttress_stream_guard::StreamGuardLayer;
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
