//! An answer as it is kept.

use std::{fmt, time::Duration};

use buttress_core::Usage;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::Shape;

/// An answer as it is kept: whole, and with where and when its parts came.
pub struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) shape: Shape,
    pub(crate) body: Bytes,
    pub(crate) parts: Box<[Part]>,
    pub(crate) usage: Option<Usage>,
}

/// A part of a body: up to where it reaches, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) end: usize,
    /// Since the head of the answer.
    pub(crate) after: Duration,
}

// === impl Stored ===

impl Stored {
    /// Returns its body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the form it has.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns what it once cost, where it told.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns what it takes to keep it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        self.body.len() + size_of_val(&*self.parts) + headers + size_of::<Self>()
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("Stored").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Returns the headers of an answer that may be given again: not those of one connection, of one exchange, or of one caller.
pub(crate) fn lasting(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<&str> = named.flat_map(|value| value.split(',').map(str::trim)).collect();
    let lasts = |name: &HeaderName| {
        !is_of_its_time(name) && !named.iter().any(|other| name.as_str().eq_ignore_ascii_case(other))
    };
    headers.iter().filter(|(name, _)| lasts(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_of_its_time(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 17] = [
        header::AGE,
        header::ALT_SVC,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::DATE,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VIA,
        header::WARNING,
        header::WWW_AUTHENTICATE,
    ];
    const OTHERS: [&str; 12] = [
        "cache-status",
        "cf-ray",
        "keep-alive",
        "openai-processing-ms",
        "proxy-connection",
        "ratelimit",
        "ratelimit-policy",
        "request-id",
        "retry-after-ms",
        "server-timing",
        "x-cache",
        "x-should-retry",
    ];
    let text = name.as_str();
    NAMES.contains(name)
        || OTHERS.contains(&text)
        || ["x-ratelimit-", "anthropic-ratelimit-", "x-served-", "x-envoy-"].iter().any(|start| text.starts_with(start))
        || text.ends_with("request-id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_exchange_are_not_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("x-model-version", "7"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("set-cookie", "a=b"),
            ("x-request-id", "1"),
            ("apim-request-id", "1"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("cache-status", "other; hit"),
            ("x-served-by", "east"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let kept = lasting(&headers);
        let names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(kept.contains_key("content-type") && kept.contains_key("x-model-version"));
    }
}
