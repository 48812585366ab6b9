//! The contract that every layer keeps.

use buttress_commit_gate::CommitGateLayer;
use buttress_testkit::{Handle, LineStreams, Reply, send};
use std::time::Duration;

mod first_byte {
    use super::*;

    buttress_testkit::http_contract! {
        layer: CommitGateLayer::first_byte,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod first_content {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || CommitGateLayer::new(LineStreams::default()),
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

/// The counters are all the state there is.
#[test]
fn all_services_of_a_layer_share_its_counters() {
    use tower::Layer as _;
    buttress_testkit::run(async {
        let (probe, handle): (buttress_testkit::Probe, Handle) = buttress_testkit::Probe::new();
        handle.always(Reply::ok().hanging());
        let layer = CommitGateLayer::first_byte().first_content(Duration::ZERO);
        let mut services = [layer.layer(probe.clone()), layer.clone().layer(probe)];
        for service in &mut services {
            assert_eq!(send(service, buttress_testkit::request()).await.unwrap().status(), 504);
        }
        assert_eq!((layer.counts().late, layer.counts().failed), (2, 2));
    });
}
