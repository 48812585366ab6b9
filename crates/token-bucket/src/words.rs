//! What is said of limits: the same for all keys that are under them, and so written once.

use std::sync::OnceLock;

use bytes::BytesMut;
use http::HeaderValue;

use crate::{Dimension, Limit, Limits, headers};

/// Is written when somebody asks for it first.
#[derive(Debug, Default)]
pub(crate) struct Words {
    policy: OnceLock<Option<HeaderValue>>,
    phrases: OnceLock<Box<[Box<str>]>>,
}

// === impl Words ===

impl Words {
    /// Returns the value of `RateLimit-Policy`.
    pub(crate) fn policy(&self, limits: &Limits) -> Option<HeaderValue> {
        self.policy.get_or_init(|| policy(limits)).clone()
    }

    /// Returns what a refusal says of the limit at this place.
    pub(crate) fn phrase(&self, limits: &Limits, at: usize) -> &str {
        &self.phrases.get_or_init(|| limits.iter().map(phrase).collect())[at]
    }
}

fn policy(limits: &Limits) -> Option<HeaderValue> {
    let mut text = BytesMut::new();
    for (at, limit) in limits.iter().enumerate() {
        headers::name(&mut text, at, limit);
        headers::put(&mut text, ";q=");
        headers::integer(&mut text, limit.refill());
        if limit.dimension() != Dimension::REQUESTS {
            headers::put(&mut text, ";qu=\"");
            headers::put(&mut text, limit.dimension().unit());
            headers::put(&mut text, "\"");
        }
        headers::put(&mut text, ";w=");
        let period = limit.period();
        headers::integer(&mut text, period.as_secs() + u64::from(period.subsec_nanos() > 0));
    }
    headers::value(&mut text)
}

fn phrase(limit: &Limit) -> Box<str> {
    let (name, unit) = (limit.name().as_str(), limit.dimension().unit());
    format!("{name} of {} {unit} in {:?}", limit.refill(), limit.period()).into()
}
