//! The contract that every layer keeps.

use buttress_served_by::ServedByLayer;

mod http {
    buttress_testkit::http_contract! {
        layer: super::ServedByLayer::new,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}
