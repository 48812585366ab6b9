//! The status of an error that came without one: in the midst of an answer.

use http::StatusCode;

use crate::error_body::ErrorBody;

/// What errors are called, in any case of letters, and the status that they have when they come in time.
const STATUSES: &[(u16, &[&str])] = &[
    (
        400,
        &[
            "invalid_request_error",
            "BadRequestError",
            "INVALID_ARGUMENT",
            "FAILED_PRECONDITION",
            "validationException",
            "context_length_exceeded",
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
            "bio_policy",
            "data_residency_mismatch",
            "bad_request",
            "invalid_value",
            "unsupported_parameter",
        ],
    ),
    (
        401,
        &[
            "authentication_error",
            "invalid_api_key",
            "AuthenticationError",
            "UNAUTHENTICATED",
            "unauthorized",
            "api_key_invalid",
        ],
    ),
    (402, &["billing_error", "insufficient_balance", "payment_required"]),
    (
        403,
        &[
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "permission_error",
            "PERMISSION_DENIED",
            "accessDeniedException",
            "unsupported_country_region_territory",
            "forbidden",
        ],
    ),
    (
        404,
        &[
            "not_found_error",
            "NotFoundError",
            "NOT_FOUND",
            "model_not_found",
            "resourceNotFoundException",
            "deploymentnotfound",
            "not found",
        ],
    ),
    (408, &["modelTimeoutException"]),
    (409, &["conflict_error"]),
    (410, &["model_decommissioned"]),
    (413, &["request_too_large"]),
    (424, &["modelStreamErrorException", "modelErrorException"]),
    (
        429,
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
            "slow_down",
            "throttlingException",
            "RESOURCE_EXHAUSTED",
            "too_many_requests",
            "requests",
            "tokens",
        ],
    ),
    (499, &["CANCELLED"]),
    (502, &["provider_error", "upstream_error", "bad_gateway"]),
    (
        503,
        &[
            "overloaded",
            "UNAVAILABLE",
            "serviceUnavailableException",
            "service_unavailable",
            "serviceunavailable",
            "insufficient_system_resource",
        ],
    ),
    (504, &["timeout_error", "vector_store_timeout", "DEADLINE_EXCEEDED", "timeout"]),
    (529, &["overloaded_error"]),
];

/// Returns the status that an error says by a number; or else that of the first name which has one; or 500, as nothing said
/// is a fault of the server.
pub(crate) fn of(body: &ErrorBody) -> StatusCode {
    let code = body.status().or_else(|| body.names().find_map(by_name));
    code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn by_name(name: &str) -> Option<u16> {
    let fits = |(_, names): &&(u16, &[&str])| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    STATUSES.iter().find(fits).map(|(status, _)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_statuses() {
        let mut names: Vec<_> = STATUSES.iter().flat_map(|(_, names)| *names).map(|name| name.to_lowercase()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_number_comes_before_a_name_and_the_first_name_before_others() {
        for (body, status) in [
            (r#"{"error":{"code":"rate_limit_exceeded","type":"overloaded_error"}}"#, 429),
            (r#"{"error":{"code":"rate_limit_exceeded","status_code":"503"}}"#, 503),
            (r#"{"error":{"code":"strange","type":"Overloaded_Error"}}"#, 529),
            (r#"{"error":{"code":200}}"#, 500),
            (r#"{"error":"unexpected"}"#, 500),
        ] {
            assert_eq!(of(&ErrorBody::read(body.as_bytes())), status, "{body}");
        }
    }
}
