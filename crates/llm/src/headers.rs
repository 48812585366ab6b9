//! Which of a caller's headers go on to a target.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Removes what belongs to the caller's connection, to the caller's account, or to this gateway.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let gone: Vec<_> = headers.keys().filter(|name| is_framing(name) || is_callers(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    // What is compressed has to be decoded to be judged, and is, but an answer that fails within can then be closed nowhere.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Returns whether `name` is about one connection or the shape of one message (RFC 9110, section 7.6.1).
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    const NAMES: [&str; 13] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name.as_str())
}

/// Returns whether `name` says who the caller is, or is a word of this gateway that a caller must not put in its mouth.
fn is_callers(name: &HeaderName) -> bool {
    const NAMES: [&str; 14] = [
        "api-key",
        "authorization",
        "cookie",
        "cookie2",
        "ocp-apim-subscription-key",
        "openai-organization",
        "openai-project",
        "proxy-authorization",
        "x-amz-security-token",
        "x-api-key",
        "x-goog-api-key",
        "x-goog-iam-authorization-token",
        "x-goog-user-project",
        "x-ms-spillover-deployment",
    ];
    NAMES.contains(&name.as_str()) || name.as_str().starts_with("x-served-")
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| name.trim_ascii().try_into().ok())
        .collect()
}
