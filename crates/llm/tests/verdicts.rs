//! What each provider's errors mean: one row for each condition, named by the provider and the condition.
//!
//! The conditions are those of the providers' own documentation of errors, of the models of their SDKs, and of their sources
//! where they are open.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::SystemTime;

use buttress_core::{
    Outcome,
    Verdict::{self, *},
};
use buttress_llm::{
    Dialect::{self, *},
    classify, classify_event,
};
use http::{HeaderMap, HeaderName, StatusCode};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

struct Row {
    what: &'static str,
    dialect: Dialect,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    verdict: Verdict,
}

const fn row(what: &'static str, dialect: Dialect, status: u16, body: &'static str, verdict: Verdict) -> Row {
    Row { what, dialect, status, headers: &[], body, verdict }
}

impl Row {
    const fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    fn headers(&self) -> HeaderMap {
        self.headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }
}

fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for row in rows {
        let status = StatusCode::from_u16(row.status).unwrap();
        let class = classify(row.dialect, status, &row.headers(), row.body.as_bytes(), NOW);
        if class.verdict != row.verdict {
            wrong.push(format!("{}: {} instead of {}", row.what, class.verdict, row.verdict));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const OPENAI: &[Row] = &[
    row(
        "a parameter of the wrong kind",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"invalid_value"}}"#,
        CallerFault,
    ),
    row(
        "a parameter the model has not",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"unsupported_parameter"}}"#,
        CallerFault,
    ),
    row(
        "longer than the model holds, by code",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ContextTooLong,
    ),
    row(
        "longer than the model holds, in words",
        OpenAi,
        400,
        r#"{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","code":null}}"#,
        ContextTooLong,
    ),
    row(
        "a picture that must not be",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","code":"content_policy_violation"}}"#,
        ContentFiltered,
    ),
    row(
        "a picture held back by moderation",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"image_generation_user_error","code":"moderation_blocked"}}"#,
        ContentFiltered,
    ),
    row(
        "a prompt against the policy of reasoning models",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_prompt"}}"#,
        ContentFiltered,
    ),
    row(
        "a wrong key, as text",
        OpenAi,
        401,
        r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#,
        CredentialDead,
    )
    .with(&[("content-type", "text/plain")]),
    row(
        "a country that is not served",
        OpenAi,
        403,
        r#"{"error":{"code":"unsupported_country_region_territory","message":"m","type":"request_forbidden"}}"#,
        CredentialDead,
    ),
    row(
        "a model that is not there",
        OpenAi,
        404,
        r#"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error","code":"model_not_found"}}"#,
        ModelGone,
    ),
    row(
        "a model that this project may not use",
        OpenAi,
        403,
        r#"{"error":{"message":"Project `p` does not have access to model `x`","code":"model_not_found"}}"#,
        ModelGone,
    ),
    row(
        "a path that is not there",
        OpenAi,
        404,
        r#"{"error":{"message":"Invalid URL (POST /v1/x)","type":"invalid_request_error","code":null}}"#,
        CallerFault,
    ),
    row("a conflict", OpenAi, 409, r#"{"error":{"message":"m"}}"#, Transient),
    row("a body too large for the front", OpenAi, 413, "<html>413 Request Entity Too Large</html>", CallerFault),
    row("a body that cannot be processed", OpenAi, 422, r#"{"error":{"message":"m"}}"#, CallerFault),
    row(
        "over the rate of requests",
        OpenAi,
        429,
        r#"{"error":{"message":"Rate limit reached for x on requests per min. Please try again in 20s.","type":"requests","code":"rate_limit_exceeded"}}"#,
        RateLimited,
    ),
    row(
        "over the rate of tokens",
        OpenAi,
        429,
        r#"{"error":{"message":"Rate limit reached for x on tokens per min","type":"tokens","code":"rate_limit_exceeded"}}"#,
        RateLimited,
    ),
    row(
        "no credit, by type and code",
        OpenAi,
        429,
        r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        QuotaExhausted,
    ),
    row(
        "no credit, by type alone",
        OpenAi,
        429,
        r#"{"error":{"message":"m","type":"insufficient_quota","code":null}}"#,
        QuotaExhausted,
    ),
    row("the balance is used up", OpenAi, 429, r#"{"error":{"code":"credit_balance_exhausted"}}"#, QuotaExhausted),
    row(
        "the organization's spending",
        OpenAi,
        429,
        r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#,
        QuotaExhausted,
    ),
    row("the project's spending", OpenAi, 429, r#"{"error":{"code":"project_spend_limit_exceeded"}}"#, QuotaExhausted),
    row(
        "the organization's usage",
        OpenAi,
        429,
        r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#,
        QuotaExhausted,
    ),
    row(
        "an account that is not active",
        OpenAi,
        429,
        r#"{"error":{"message":"Your account is not active, please check your billing details on our website.","type":"billing_not_active","code":"billing_not_active"}}"#,
        CredentialDead,
    ),
    row(
        "a ramp that is too steep",
        OpenAi,
        429,
        r#"{"error":{"type":"slow_down","code":"slow_down"}}"#,
        CapacityByDesign,
    ),
    row(
        "a ramp that is too steep, as it was before",
        OpenAi,
        503,
        r#"{"error":{"type":"slow_down","code":"slow_down"}}"#,
        CapacityByDesign,
    ),
    row(
        "no room in the flex tier",
        OpenAi,
        429,
        r#"{"error":{"message":"Resource Unavailable","type":"x","code":"resource_unavailable"}}"#,
        CapacityByDesign,
    ),
    row("an error of the server", OpenAi, 500, r#"{"error":{"type":"server_error"}}"#, Transient),
    row("an overloaded engine", OpenAi, 503, r#"{"error":{"message":"overloaded","code":"overloaded"}}"#, Transient),
    row("a front without a back", OpenAi, 502, "<html><h1>502 Bad Gateway</h1></html>", Transient),
    row("a broker's 500 over spent quota", OpenAi, 500, r#"{"error":{"code":"insufficient_quota"}}"#, QuotaExhausted),
    row("a broker's 400 over a rate", OpenAi, 400, r#"{"error":{"code":"rate_limit_exceeded"}}"#, RateLimited),
    row("a wrong method", OpenAi, 405, "", CallerFault),
    row("a wrong content type", OpenAi, 415, "", CallerFault),
];

#[test]
fn openai() {
    check(OPENAI);
}

const PTU: &str = r#"{"error":{"code":"429","message":"Requests have exceeded the provisioned throughput utilization. Please retry after 1 second."}}"#;

const AZURE: &[Row] = &[
    row(
        "a filtered prompt",
        Azure,
        400,
        r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{}}}}"#,
        ContentFiltered,
    ),
    row(
        "a filtered prompt under another code",
        AzureV1,
        400,
        r#"{"error":{"code":"invalid_request_error","inner_error":{"code":"ResponsibleAIPolicyViolation","content_filter_results":{}}}}"#,
        ContentFiltered,
    ),
    row(
        "longer than the model holds",
        Azure,
        400,
        r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#,
        ContextTooLong,
    ),
    row(
        "a wrong key or address",
        Azure,
        401,
        r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#,
        CredentialDead,
    ),
    row(
        "network rules",
        Azure,
        403,
        r#"{"error":{"code":"AccessDenied","message":"Access denied due to Virtual Network/Firewall rules."}}"#,
        CredentialDead,
    ),
    row(
        "temporarily blocked",
        Azure,
        403,
        r#"{"error":{"message":"Your resource has been temporarily blocked"}}"#,
        CredentialDead,
    ),
    row(
        "no such deployment",
        Azure,
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        ModelGone,
    ),
    row("no such path", Azure, 404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, CallerFault),
    row("out of time", Azure, 408, r#"{"error":{"code":"Timeout","message":"The operation was timeout."}}"#, Transient),
    row("a retired model", Azure, 410, r#"{"error":{"code":"ModelDeprecated"}}"#, ModelGone),
    row(
        "over the rate",
        Azure,
        429,
        r#"{"error":{"code":"429","message":"Requests to the API have exceeded call rate limit of your current pricing tier. Please retry after 6 seconds."}}"#,
        RateLimited,
    ),
    row("provisioned throughput in full use, in words", Azure, 429, PTU, CapacityByDesign),
    row("provisioned throughput in full use, by header", AzureV1, 429, "", CapacityByDesign)
        .with(&[("azure-openai-deployment-utilization", "104%")]),
    row("a spill that failed", Azure, 429, "", CapacityByDesign).with(&[("x-ms-spillover-error", "429")]),
    row("the same words from somebody else", OpenAi, 429, PTU, RateLimited),
    row("an error of the server", Azure, 500, r#"{"error":{"code":"InternalServerError"}}"#, Transient),
    row("a service that is away", Azure, 503, r#"{"error":{"code":"ServiceUnavailable"}}"#, Transient),
];

#[test]
fn azure() {
    check(AZURE);
}

const ANTHROPIC: &[Row] = &[
    row(
        "a wrong request",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"},"request_id":"r"}"#,
        CallerFault,
    ),
    row(
        "no credit, as a wrong request",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
        QuotaExhausted,
    ),
    row(
        "a caller's words of credit",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.0.name: 'your credit balance is too low' is no name"}}"#,
        CallerFault,
    ),
    row(
        "a prompt that is too long",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        ContextTooLong,
    ),
    row(
        "prompt and answer together too long",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 1 + 2 > 2"}}"#,
        ContextTooLong,
    ),
    row(
        "an answer held back",
        Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
        ContentFiltered,
    ),
    row(
        "a wrong key",
        Anthropic,
        401,
        r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
        CredentialDead,
    ),
    row(
        "billing",
        Anthropic,
        402,
        r#"{"type":"error","error":{"type":"billing_error","message":"m"}}"#,
        QuotaExhausted,
    ),
    row(
        "no permission",
        Anthropic,
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"m"}}"#,
        CredentialDead,
    ),
    row(
        "no such model",
        Anthropic,
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-none"}}"#,
        ModelGone,
    ),
    row(
        "no such path",
        Anthropic,
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}"#,
        CallerFault,
    ),
    row("a conflict", Anthropic, 409, r#"{"type":"error","error":{"type":"conflict_error","message":"m"}}"#, Transient),
    row(
        "too many bytes",
        Anthropic,
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"m"}}"#,
        ContextTooLong,
    ),
    row(
        "too many bytes for its front",
        Anthropic,
        413,
        "<html><title>413 Payload Too Large</title></html>",
        ContextTooLong,
    ),
    row(
        "over the rate",
        Anthropic,
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit"}}"#,
        RateLimited,
    ),
    row(
        "over a spending limit, by type",
        Anthropic,
        429,
        r#"{"type":"error","error":{"type":"enforced_spend_limit_reached","message":"m"}}"#,
        QuotaExhausted,
    ),
    row(
        "over a spending limit, in words",
        Anthropic,
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"enforced_spend_limit_reached: m"}}"#,
        QuotaExhausted,
    ),
    row(
        "an error of the server",
        Anthropic,
        500,
        r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
        Transient,
    ),
    row("out of time", Anthropic, 504, r#"{"type":"error","error":{"type":"timeout_error","message":"m"}}"#, Transient),
    row(
        "overloaded",
        Anthropic,
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Transient,
    ),
];

#[test]
fn anthropic() {
    check(ANTHROPIC);
}

const MINUTE: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 46.3s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"46s"}]}}"#;
const DAY: &str = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProject","quotaValue":"10"},{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"50"}]},{"retryDelay":"36s"}]}}"#;

const GEMINI: &[Row] = &[
    row(
        "a wrong key",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#,
        CredentialDead,
    ),
    row(
        "a wrong key, through its address that follows OpenAI",
        OpenAi,
        400,
        r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
        CredentialDead,
    ),
    row(
        "a wrong argument",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#,
        CallerFault,
    ),
    row(
        "longer than the model holds",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        ContextTooLong,
    ),
    row(
        "billing or region",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"Gemini API free tier is not available in your country. Please enable billing on your project.","status":"FAILED_PRECONDITION"}}"#,
        CredentialDead,
    ),
    row(
        "region",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
        CredentialDead,
    ),
    row(
        "a file that is not ready",
        Gemini,
        400,
        r#"{"error":{"code":400,"message":"The File x is not in an ACTIVE state","status":"FAILED_PRECONDITION"}}"#,
        CallerFault,
    ),
    row("billing", Gemini, 402, r#"{"error":{"code":402,"status":"X"}}"#, QuotaExhausted),
    row(
        "no permission",
        Gemini,
        403,
        r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
        CredentialDead,
    ),
    row(
        "no such model",
        Gemini,
        404,
        r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
        ModelGone,
    ),
    row("over the rate of a minute, with words of billing", Gemini, 429, MINUTE, RateLimited),
    row("over the quota of a day", Gemini, 429, DAY, QuotaExhausted),
    row(
        "no quota at all, by value",
        Gemini,
        429,
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"X-PerMinute","quotaValue":"0"}]}]}}"#,
        QuotaExhausted,
    ),
    row(
        "no quota at all, in words",
        Gemini,
        429,
        r#"{"error":{"code":429,"message":"* Quota exceeded for metric: x/free_tier_requests, limit: 0, model: y\nPlease retry in 20s.","status":"RESOURCE_EXHAUSTED"}}"#,
        QuotaExhausted,
    ),
    row(
        "a small limit",
        Gemini,
        429,
        r#"{"error":{"code":429,"message":"* Quota exceeded for metric: x, limit: 05","status":"RESOURCE_EXHAUSTED"}}"#,
        RateLimited,
    ),
    row(
        "spending",
        Gemini,
        429,
        r#"{"error":{"code":429,"message":"Your project has exceeded its monthly spending cap.","status":"RESOURCE_EXHAUSTED"}}"#,
        QuotaExhausted,
    ),
    row(
        "credits",
        Gemini,
        429,
        r#"{"error":{"code":429,"message":"Your prepayment credits are depleted.","status":"RESOURCE_EXHAUSTED"}}"#,
        QuotaExhausted,
    ),
    row(
        "Vertex, without details",
        Gemini,
        429,
        r#"[{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}]"#,
        RateLimited,
    ),
    row("the caller went away", Gemini, 499, r#"{"error":{"code":499,"status":"CANCELLED"}}"#, Cancelled),
    row(
        "an error within",
        Gemini,
        500,
        r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#,
        Transient,
    ),
    row(
        "an error within, that says what",
        Gemini,
        500,
        r#"{"error":{"code":500,"message":"Your input context is too long.","status":"INTERNAL"}}"#,
        ContextTooLong,
    ),
    row(
        "overloaded",
        Gemini,
        503,
        r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
        Transient,
    ),
    row(
        "out of time",
        Gemini,
        504,
        r#"{"error":{"code":504,"message":"It took too long to process the input.","status":"DEADLINE_EXCEEDED"}}"#,
        Transient,
    ),
];

#[test]
fn gemini() {
    check(GEMINI);
}

const PLAIN: &str = r#"{"message":"m"}"#;

const BEDROCK: &[Row] = &[
    row("throttled", Anthropic, 429, PLAIN, RateLimited)
        .with(&[("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/")]),
    row("throttled, with the status of older services", Anthropic, 400, PLAIN, RateLimited)
        .with(&[("x-amzn-errortype", "ThrottlingException")]),
    row("away", Anthropic, 503, PLAIN, Transient).with(&[("x-amzn-errortype", "ServiceUnavailableException")]),
    row("an error within", Anthropic, 500, PLAIN, Transient).with(&[("x-amzn-errortype", "InternalServerException")]),
    row("a model out of time", Anthropic, 408, PLAIN, Transient).with(&[("x-amzn-errortype", "ModelTimeoutException")]),
    row("a model whose stream failed", Anthropic, 424, PLAIN, Transient)
        .with(&[("x-amzn-errortype", "ModelStreamErrorException")]),
    row("a model that failed", Anthropic, 424, PLAIN, Transient).with(&[("x-amzn-errortype", "ModelErrorException")]),
    row("a model that is not ready", Anthropic, 429, PLAIN, RateLimited)
        .with(&[("x-amzn-errortype", "ModelNotReadyException")]),
    row("a wrong request", Anthropic, 400, PLAIN, CallerFault).with(&[("x-amzn-errortype", "ValidationException")]),
    row(
        "longer than the model holds",
        Anthropic,
        400,
        r#"{"message":"Input is too long for requested model."}"#,
        ContextTooLong,
    )
    .with(&[("x-amzn-errortype", "ValidationException")]),
    row("a quota of the account", Anthropic, 400, PLAIN, QuotaExhausted)
        .with(&[("x-amzn-errortype", "ServiceQuotaExceededException")]),
    row("a conflict", Anthropic, 400, PLAIN, Transient).with(&[("x-amzn-errortype", "ConflictException")]),
    row("no access", Anthropic, 403, PLAIN, CredentialDead).with(&[("x-amzn-errortype", "AccessDeniedException")]),
    row(
        "no access to one model",
        Anthropic,
        403,
        r#"{"message":"You don't have access to the model with the specified model ID."}"#,
        ModelGone,
    )
    .with(&[("x-amzn-errortype", "AccessDeniedException")]),
    row("no such model", Anthropic, 404, PLAIN, ModelGone).with(&[("x-amzn-errortype", "ResourceNotFoundException")]),
    row("a key that is not known", Anthropic, 403, PLAIN, CredentialDead)
        .with(&[("x-amzn-errortype", "UnrecognizedClientException")]),
    row("a key that has run out", Anthropic, 400, PLAIN, CredentialDead)
        .with(&[("x-amzn-errortype", "ExpiredTokenException")]),
    row(
        "named in the body",
        Anthropic,
        400,
        r#"{"message":"m","__type":"com.amazon.coral.service#ThrottlingException"}"#,
        RateLimited,
    ),
];

#[test]
fn bedrock() {
    check(BEDROCK);
}

const OTHER_HOSTED_PROVIDERS: &[Row] = &[
    row(
        "Groq: one request over the tokens of a minute",
        OpenAi,
        413,
        r#"{"error":{"message":"Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}"#,
        RateLimited,
    ),
    row(
        "Groq: flex in full use",
        OpenAi,
        498,
        r#"{"error":{"message":"m","type":"capacity_exceeded"}}"#,
        CapacityByDesign,
    ),
    row(
        "Groq: over the rate",
        OpenAi,
        429,
        r#"{"error":{"message":"Rate limit reached. Please try again in 7.66s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        RateLimited,
    ),
    row("Groq: the caller went away", OpenAi, 499, "", Cancelled),
    row("Groq: a tool's server failed", OpenAi, 424, r#"{"error":{"message":"m"}}"#, CallerFault),
    row(
        "Groq: a retired model",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_decommissioned"}}"#,
        ModelGone,
    ),
    row(
        "DeepSeek: no balance",
        OpenAi,
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        QuotaExhausted,
    ),
    row("DeepSeek: no key", OpenAi, 401, "Authentication Fails (governor)", CredentialDead),
    row(
        "DeepSeek: a wrong key, with code and type swapped",
        OpenAi,
        401,
        r#"{"error":{"message":"m","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#,
        CredentialDead,
    ),
    row("DeepSeek: too many at once", OpenAi, 429, r#"{"error":{"message":"m","type":"x","code":"y"}}"#, RateLimited),
    row(
        "DeepSeek: what must not be said",
        OpenAi,
        400,
        r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","code":"invalid_request_error"}}"#,
        ContentFiltered,
    ),
    row(
        "OpenRouter: too much in flight",
        OpenAi,
        402,
        r#"{"error":{"code":402,"message":"m","metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#,
        RateLimited,
    ),
    row(
        "OpenRouter: no credits",
        OpenAi,
        402,
        r#"{"error":{"code":402,"message":"m","metadata":{"limit_source":"openrouter_credits"}}}"#,
        QuotaExhausted,
    ),
    row(
        "OpenRouter: the limit of the key",
        OpenAi,
        402,
        r#"{"error":{"code":402,"message":"m","metadata":{"limit_source":"openrouter_key_limit"}}}"#,
        QuotaExhausted,
    ),
    row(
        "OpenRouter: the limit of the key, in words",
        OpenAi,
        403,
        r#"{"error":{"code":403,"message":"Key limit exceeded (total limit)."}}"#,
        QuotaExhausted,
    ),
    row(
        "OpenRouter: moderation",
        OpenAi,
        403,
        r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
        ContentFiltered,
    ),
    row(
        "OpenRouter: an error that the model's provider named",
        OpenAi,
        502,
        r#"{"error":{"code":502,"message":"m","metadata":{"provider_code":"rate_limit_exceeded"}}}"#,
        RateLimited,
    ),
    row("OpenRouter: an invalid answer", OpenAi, 502, r#"{"error":{"code":502,"message":"m"}}"#, Transient),
    row(
        "OpenRouter: nobody has the model",
        OpenAi,
        404,
        r#"{"error":{"code":404,"message":"No endpoints found for x/y."}}"#,
        ModelGone,
    ),
    row("Mistral: a wrong key", OpenAi, 401, r#"{"detail":"Unauthorized"}"#, CredentialDead),
    row(
        "Mistral: a wrong request",
        OpenAi,
        422,
        r#"{"detail":[{"loc":["body","messages"],"msg":"Field required","type":"missing"}]}"#,
        CallerFault,
    ),
    row(
        "Mistral: over the rate",
        OpenAi,
        429,
        r#"{"object":"error","message":"Requests rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
        RateLimited,
    ),
    row(
        "Mistral: over the month",
        OpenAi,
        429,
        r#"{"object":"error","message":"You have reached your monthly limit","type":"x","code":null}"#,
        QuotaExhausted,
    ),
    row(
        "Mistral: no such model",
        OpenAi,
        400,
        r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
        ModelGone,
    ),
    row(
        "Mistral: longer than the model holds",
        OpenAi,
        400,
        r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":"3051"}"#,
        ContextTooLong,
    ),
    row("Cohere: a wrong key", OpenAi, 401, r#"{"id":"i","message":"invalid api token"}"#, CredentialDead),
    row(
        "Cohere: no such model",
        OpenAi,
        404,
        r#"{"id":"i","message":"model 'x' not found, make sure the correct model ID was used"}"#,
        ModelGone,
    ),
    row(
        "Cohere: over the rate of a minute",
        OpenAi,
        429,
        r#"{"id":"i","message":"You are using a Trial key, which is limited to 40 API calls / minute."}"#,
        RateLimited,
    ),
    row(
        "Cohere: over the month",
        OpenAi,
        429,
        r#"{"id":"i","message":"You are using a Trial key, which is limited to 1000 API calls / month."}"#,
        QuotaExhausted,
    ),
    row(
        "Cohere: blocked words",
        OpenAi,
        498,
        r#"{"id":"i","message":"blocked input: contains a deny-listed token"}"#,
        ContentFiltered,
    ),
    row("Cohere: the caller went away", OpenAi, 499, r#"{"id":"i","message":"request cancelled"}"#, Cancelled),
    row(
        "Cohere: too many tokens",
        OpenAi,
        400,
        r#"{"id":"i","message":"too many tokens: total number of tokens in the prompt exceeds the limit"}"#,
        ContextTooLong,
    ),
    row(
        "Together: over the rate",
        OpenAi,
        429,
        r#"{"id":"i","error":{"message":"m","type":"rate_limit","param":null,"code":null}}"#,
        RateLimited,
    ),
    row("Together: its front lost it", OpenAi, 524, "<html><title>A timeout occurred</title></html>", Transient),
    row(
        "Together: longer than the model holds",
        OpenAi,
        422,
        r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.","type":"invalid_request_error"}}"#,
        ContextTooLong,
    ),
    row(
        "xAI: what must not be said",
        OpenAi,
        403,
        r#"{"code":"permission","error":"Content violates usage guidelines."}"#,
        ContentFiltered,
    ),
];

#[test]
fn other_hosted_providers() {
    check(OTHER_HOSTED_PROVIDERS);
}

const SERVERS_OF_ONES_OWN: &[Row] = &[
    row(
        "Ollama: busy",
        Ollama,
        503,
        r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
        Transient,
    ),
    row("Ollama: no such model", Ollama, 404, r#"{"error":"model 'x' not found, try pulling it first"}"#, ModelGone),
    row("Ollama: a wrong request", Ollama, 400, r#"{"error":"invalid options"}"#, CallerFault),
    row(
        "Ollama: no such model, as OpenAI says it",
        OpenAi,
        404,
        r#"{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}"#,
        ModelGone,
    ),
    row("Ollama: a runner that died", Ollama, 500, r#"{"error":"llama runner process has terminated"}"#, Transient),
    row(
        "vLLM: a wrong request",
        OpenAi,
        400,
        r#"{"error":{"message":"m","type":"BadRequestError","param":null,"code":400}}"#,
        CallerFault,
    ),
    row(
        "vLLM: longer than the model holds",
        OpenAi,
        400,
        r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}}"#,
        ContextTooLong,
    ),
    row(
        "vLLM: longer than the model holds, in the decoder's words",
        OpenAi,
        400,
        r#"{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}"#,
        ContextTooLong,
    ),
    row(
        "vLLM: no such model",
        OpenAi,
        404,
        r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}}"#,
        ModelGone,
    ),
    row(
        "vLLM: no such path",
        OpenAi,
        404,
        r#"{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}"#,
        CallerFault,
    ),
    row("vLLM: no key", OpenAi, 401, r#"{"error":"Unauthorized"}"#, CredentialDead),
    row(
        "FastAPI: a list of faults",
        OpenAi,
        422,
        r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":"a prompt: spend limit"}]}"#,
        CallerFault,
    ),
    row(
        "FastAPI: an object",
        OpenAi,
        429,
        r#"{"detail":{"error":{"code":"insufficient_quota","message":"m"}}}"#,
        QuotaExhausted,
    ),
    row("nginx: the upstream is away", OpenAi, 504, "<html>504 Gateway Time-out</html>", Transient),
    row(
        "a proxy: events with a status",
        OpenAi,
        429,
        "event: error\ndata: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n",
        QuotaExhausted,
    ),
    row("a proxy: two values", OpenAi, 429, "{\"error\":{\"code\":\"insufficient_quota\"}}\n{\"x\":1}", QuotaExhausted),
    row("a proxy: a text in quotes", OpenAi, 429, "\"Your credit balance is too low\"", QuotaExhausted),
    row(
        "a proxy: a mark of the byte order, and blank lines",
        OpenAi,
        429,
        "\u{feff}\n\n {\"error\":{\"code\":\"insufficient_quota\"}}",
        QuotaExhausted,
    ),
];

#[test]
fn servers_of_ones_own() {
    check(SERVERS_OF_ONES_OWN);
}

const EVENTS: &[(&str, Dialect, &str, u16, Verdict)] = &[
    (
        "OpenAI: a server's error",
        OpenAi,
        r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
        500,
        Transient,
    ),
    (
        "OpenAI: a rate",
        OpenAi,
        r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
        429,
        RateLimited,
    ),
    (
        "OpenAI: spent quota",
        OpenAi,
        r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        429,
        QuotaExhausted,
    ),
    (
        "Responses: failed",
        OpenAi,
        r#"{"type":"response.failed","sequence_number":9,"response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}}"#,
        429,
        RateLimited,
    ),
    (
        "Responses: failed, without why",
        OpenAi,
        r#"{"type":"response.failed","response":{"status":"failed","error":null}}"#,
        500,
        Transient,
    ),
    (
        "Responses: an error at the top",
        OpenAi,
        r#"{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":1}"#,
        500,
        Transient,
    ),
    (
        "Responses: a whole answer that failed",
        OpenAi,
        r#"{"id":"r","object":"response","status":"failed","error":{"code":"invalid_prompt","message":"m"}}"#,
        400,
        ContentFiltered,
    ),
    (
        "Responses: a store out of time",
        OpenAi,
        r#"{"type":"response.failed","response":{"error":{"code":"vector_store_timeout","message":"m"}}}"#,
        504,
        Transient,
    ),
    (
        "Anthropic: overloaded",
        Anthropic,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        529,
        Transient,
    ),
    (
        "Anthropic: a rate",
        Anthropic,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
        429,
        RateLimited,
    ),
    (
        "Anthropic: a server's error",
        Anthropic,
        r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
        500,
        Transient,
    ),
    (
        "Anthropic: a wrong request",
        Anthropic,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"m"}}"#,
        400,
        CallerFault,
    ),
    (
        "Anthropic: a type that is new",
        Anthropic,
        r#"{"type":"error","error":{"type":"brand_new_error","message":"m"}}"#,
        500,
        Transient,
    ),
    ("Gemini: overloaded", Gemini, r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, 503, Transient),
    (
        "Gemini: a rate, in an array",
        Gemini,
        r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
        429,
        RateLimited,
    ),
    (
        "Gemini: interactions",
        Gemini,
        r#"{"event_type":"error","error":{"code":"RESOURCE_EXHAUSTED","message":"m"}}"#,
        429,
        RateLimited,
    ),
    (
        "OpenRouter: in a chunk",
        OpenAi,
        r#"{"id":"g","error":{"code":502,"message":"m"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#,
        502,
        Transient,
    ),
    (
        "OpenRouter: in a choice",
        OpenAi,
        r#"{"choices":[{"error":{"code":429,"message":"m"},"message":{}}]}"#,
        429,
        RateLimited,
    ),
    (
        "vLLM: a wrong request",
        OpenAi,
        r#"{"error":{"message":"m","type":"BadRequestError","param":null,"code":400}}"#,
        400,
        CallerFault,
    ),
    (
        "vLLM of old: flat",
        OpenAi,
        r#"{"object":"error","message":"m","type":"InternalServerError","param":null,"code":500}"#,
        500,
        Transient,
    ),
    ("Ollama: a line", Ollama, r#"{"error":"an error was encountered while running the model"}"#, 500, Transient),
    ("Bedrock: throttled", Anthropic, r#"{"error":{"type":"throttlingException","message":"m"}}"#, 429, RateLimited),
    (
        "Bedrock: a model that failed",
        Anthropic,
        r#"{"error":{"type":"modelStreamErrorException","message":"m"}}"#,
        424,
        Transient,
    ),
];

#[test]
fn an_error_within_a_200_has_the_status_it_would_have_had() {
    for &(what, dialect, data, status, verdict) in EVENTS {
        let class = classify_event(dialect, data.as_bytes(), NOW).expect(what);
        let expected = Outcome::Status(StatusCode::from_u16(status).unwrap());
        assert_eq!((class.verdict, class.outcome), (verdict, expected), "{what}");
    }
}

#[test]
fn an_event_without_an_error_is_none() {
    for data in [
        "",
        "[DONE]",
        "null",
        "[]",
        r#"{"choices":[{"delta":{"content":"error"}}]}"#,
        r#"{"error":null,"choices":[]}"#,
        r#"{"type":"response.completed","response":{"status":"completed","error":null}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"message_start","message":{"error":1}}"#,
        r#"{"done":true}"#,
        "{\"error\":",
    ] {
        assert_eq!(classify_event(OpenAi, data.as_bytes(), NOW), None, "{data}");
    }
}

#[test]
fn a_broken_off_error_event_is_none_and_its_bytes_stop_nothing() {
    let whole =
        br#"[{"error":{"message":"Really","code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"PerDay"}]}]}}]"#;
    for end in 0..whole.len() {
        assert_eq!(classify_event(Gemini, &whole[..end], NOW), None, "{end}");
    }
    let mut invalid = whole.to_vec();
    let within = whole.iter().position(|&byte| byte == b'R').unwrap();
    invalid[within] = 0xff;
    assert!(classify_event(Gemini, &invalid, NOW).is_some(), "text that is not UTF-8 hides no error");
}
