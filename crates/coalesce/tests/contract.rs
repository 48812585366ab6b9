//! The contract that every layer keeps.

use buttress_coalesce::{ByFn, CoalesceLayer, OneTenant};

mod shared {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || CoalesceLayer::new(OneTenant),
        readiness: lazy,
        state: async |mut first, mut second, handle: buttress_testkit::Handle| {
            use buttress_testkit::{Reply, Script, request, send};
            handle.next(Reply::ok().body(Script::new().data("a").hangs()));
            let one = send(&mut first, request()).await.expect("it is answered");
            let two = send(&mut second, request()).await.expect("it joins");
            assert_eq!((one.status(), two.status()), (http::StatusCode::OK, http::StatusCode::OK));
            assert_eq!(handle.calls(), 1);
        },
        refusal: none,
        edge: CoalesceLayer::new(OneTenant).question(ByFn(|_: &_| Some(1_u8))),
    }
}

mod without_a_key {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || CoalesceLayer::new(ByFn(|_: &_| None::<u8>)),
        readiness: lazy,
        state: none,
        refusal: none,
        edge: none,
    }
}

mod plain {
    use super::*;

    buttress_testkit::plain_contract! {
        layer: || CoalesceLayer::new(OneTenant).question(ByFn(|number: &u64| Some(*number))).plain(),
        readiness: lazy,
        state: none,
        refusal: none,
    }
}
