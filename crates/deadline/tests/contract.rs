//! The contract that every layer keeps.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{CallContext, Payload, RefusalKind};
use buttress_deadline::{DeadlineLayer, ForwardDeadlineLayer};
use buttress_testkit::{Handle, Reply};
use http::Request;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

mod to_the_end_of_the_body {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || DeadlineLayer::new(MINUTE),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::DeadlineExceeded,
            admission: false,
            layer: |maker| DeadlineLayer::new(SECOND).on_refusal(maker),
            prepare: async |_: &mut _, handle: &Handle| handle.always(Reply::ok().hanging()),
        },
    }
}

mod to_the_head_of_the_answer {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || DeadlineLayer::headers_only(MINUTE),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::DeadlineExceeded,
            admission: true,
            layer: |maker| DeadlineLayer::headers_only(Duration::ZERO).on_refusal(maker),
            prepare: async |_: &mut _, _: &Handle| {},
        },
    }
}

mod passed_on {
    use super::*;

    fn due_in_a_minute() -> Request<Payload> {
        let context = CallContext::new(NonZeroU32::MIN);
        context.limit_deadline(Instant::now() + MINUTE);
        let mut request = buttress_testkit::request();
        request.extensions_mut().insert(context);
        request
    }

    buttress_testkit::http_contract! {
        layer: ForwardDeadlineLayer::new,
        request: due_in_a_minute,
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::DeadlineExceeded,
            admission: true,
            layer: |maker| ForwardDeadlineLayer::new().floor(MINUTE).on_refusal(maker),
            prepare: async |_: &mut _, _: &Handle| {},
        },
    }
}

mod plain {
    use super::*;
    use buttress_testkit::ByError;

    buttress_testkit::plain_contract! {
        layer: || DeadlineLayer::plain(MINUTE, ByError),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::DeadlineExceeded,
            admission: false,
            layer: |maker| DeadlineLayer::plain(SECOND, maker),
            prepare: async |_: &mut _, handle: &Handle<u64>| handle.always(Reply::ok().hanging()),
        },
    }
}
