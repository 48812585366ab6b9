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

mod http_with_every_kind_of_budget {
    use buttress_retry::{Budget, QuotaCosts, Share};

    buttress_testkit::http_contract! {
        layer: || super::retry().budgets([
            Budget::concurrency(Share::percent(20), 3),
            Budget::rate(Share::percent(20), 10, std::time::Duration::from_secs(10)),
            Budget::quota(500, QuotaCosts::AWS_2026),
            Budget::throttle(10, Share::percent(10)),
        ]),
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
