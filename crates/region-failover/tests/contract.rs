//! The contract that every layer keeps.

use buttress_core::{
    ByClone, Class, Classify, Http, HttpClassify, Outcome, Refusal, RefusalKind, Rewritten, Target, Verdict,
};
use buttress_region_failover::{RegionFailoverLayer, Unchanged};
use buttress_testkit::{ProbeError, Reply};
use http::Response;

/// Knows the probe's errors for what no other target can cure, so that they pass.
#[derive(Clone, Copy)]
struct ErrorsAreFinal;

impl<B> Classify<Response<B>, ProbeError> for ErrorsAreFinal {
    fn classify(&self, result: Result<&Response<B>, &ProbeError>) -> Class {
        match result {
            Ok(_) => HttpClassify.classify(result),
            Err(_) => Class::new(Verdict::CallerFault, Outcome::Word("error")),
        }
    }
}

fn failover() -> RegionFailoverLayer {
    let targets = ["east", "west"].map(|name| Target::named(name).expect("a valid name"));
    RegionFailoverLayer::try_new(targets).expect("two names").repeat_all()
}

type Numbers = fn(Result<&u64, &ProbeError>) -> Class;

fn numbers<M>(verdict_of_errors: Numbers, maker: M) -> RegionFailoverLayer<ByClone, Unchanged, Numbers, M> {
    failover().replay(ByClone).classify(verdict_of_errors).on_refusal(maker)
}

fn errors_are_final(result: Result<&u64, &ProbeError>) -> Class {
    result.map_or(Class::new(Verdict::CallerFault, Outcome::Word("error")), |_| Class::SUCCESS)
}

fn errors_may_pass(result: Result<&u64, &ProbeError>) -> Class {
    result.map_or(Class::new(Verdict::Transient, Outcome::Word("error")), |_| Class::SUCCESS)
}

mod http_with_any_body {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || failover().classify(ErrorsAreFinal),
        readiness: lazy,
        state: none,
        refusal: {
            kind: RefusalKind::Unavailable,
            admission: false,
            layer: |maker| failover().on_refusal(maker),
            prepare: async |_: &mut _, handle: &buttress_testkit::Handle| handle.always(Reply::status(503)),
        },
        edge: failover(),
    }
}

mod http_with_a_body_that_is_cloned {
    use super::*;

    fn refuse<Q>(_: Q, _: &Target) -> Result<Rewritten<Q>, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, "no such model"))
    }

    buttress_testkit::http_contract! {
        layer: || failover().replay(Http).classify(ErrorsAreFinal),
        readiness: lazy,
        state: none,
        refusal: {
            kind: RefusalKind::NotFound,
            admission: true,
            layer: |maker| failover().replay(Http).rewrite(refuse).on_refusal(maker),
            prepare: async |_: &mut _, _: &buttress_testkit::Handle| {},
        },
        edge: failover(),
    }
}

mod plain {
    use super::*;
    use buttress_testkit::ByError;

    buttress_testkit::plain_contract! {
        layer: || numbers(errors_are_final, ByError),
        readiness: lazy,
        state: none,
        refusal: {
            kind: RefusalKind::Unavailable,
            admission: false,
            layer: |maker| numbers(errors_may_pass, maker),
            prepare: async |_: &mut _, handle: &buttress_testkit::Handle<u64>| handle.always(Reply::error("down")),
        },
    }
}
