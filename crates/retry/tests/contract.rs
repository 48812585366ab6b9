//! The contract that every layer keeps.

use buttress_core::{ByClone, Class, Http, Outcome, Verdict};
use buttress_retry::RetryLayer;
use buttress_testkit::ProbeError;

fn retry() -> RetryLayer {
    RetryLayer::new().seed(7)
}

fn by_clone() -> RetryLayer<Http> {
    retry().replay(Http)
}

type Numbers = fn(Result<&u64, &ProbeError>) -> Class;

fn numbers() -> RetryLayer<ByClone, Numbers> {
    retry().replay(ByClone).classify(|result| match result {
        Ok(_) => Class::SUCCESS,
        Err(_) => Class::new(Verdict::Transient, Outcome::Word("error")),
    })
}

mod http_with_any_body {
    buttress_testkit::http_contract! {
        layer: super::retry,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod http_with_a_body_that_is_cloned {
    buttress_testkit::http_contract! {
        layer: super::by_clone,
        readiness: forwarded,
        state: none,
        refusal: none,
        edge: super::retry(),
    }
}

mod http_that_is_repeated {
    buttress_testkit::http_contract! {
        layer: || super::retry().repeat_all(),
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod plain {
    buttress_testkit::plain_contract! {
        layer: super::numbers,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}
