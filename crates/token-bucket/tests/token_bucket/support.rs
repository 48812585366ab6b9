//! What the tests share.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{AnswerReport, Payload, Usage};
use buttress_testkit::{Handle, Probe, Reply, Script, ScriptedBody};
use buttress_token_bucket::{
    Caller, Costs, Dimension, Estimate, Limit, Limits, LimitsHandle, ResponseBody, TokenBucket, TokenBucketLayer,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

pub(crate) fn requests(amount: u64) -> Limit {
    Limit::try_new("requests", Dimension::REQUESTS, amount, MINUTE).expect("it makes sense")
}

pub(crate) fn tokens(amount: u64) -> Limit {
    Limit::try_new("tokens", Dimension::TOKENS, amount, MINUTE).expect("it makes sense")
}

pub(crate) fn both(requests: u64, tokens: u64) -> Limits {
    Limits::try_new([self::requests(requests), self::tokens(tokens)]).expect("two limits")
}

/// Estimates by two headers.
pub(crate) fn estimate(request: &Request<Payload>) -> Costs {
    let number = |name| request.headers().get(name).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    Costs::tokens(number("x-input"), number("x-output"))
}

pub(crate) fn ask(input: u64, output: u64) -> Request<Payload> {
    let request = Request::builder().header("x-input", input).header("x-output", output);
    request.body(Payload::default()).expect("a request")
}

pub(crate) fn from(key: &str, input: u64, output: u64) -> Request<Payload> {
    let mut request = ask(input, output);
    request.headers_mut().insert("x-api-key", key.parse().expect("a value"));
    request
}

pub(crate) type Service<C, E> =
    TokenBucket<Probe<ScriptedBody>, buttress_core::HttpRefusal, buttress_token_bucket::HttpProtocol, C, E>;
pub(crate) type Answer = Response<ResponseBody<ScriptedBody>>;

pub(crate) fn over_probe<C, E>(
    layer: &TokenBucketLayer<buttress_core::HttpRefusal, buttress_token_bucket::HttpProtocol, C, E>,
) -> (Service<C, E>, Handle)
where
    C: Clone,
    E: Clone,
{
    let (probe, handle) = Probe::new();
    (layer.layer(probe), handle)
}

pub(crate) async fn send<C, E>(service: &Service<C, E>, request: Request<Payload>) -> Answer
where
    C: Caller<Request<Payload>> + Clone,
    E: Estimate<Request<Payload>> + Clone,
{
    service.clone().oneshot(request).await.expect("a refusal is a response")
}

/// An answer that tells of `usage` and streams on until it is dropped.
pub(crate) fn streams(usage: Option<Usage>) -> Reply {
    told(usage, Script::new().data("x".repeat(400)).hangs())
}

/// An answer that tells of `usage` and comes to its end.
pub(crate) fn ends(usage: Option<Usage>) -> Reply {
    told(usage, Script::new().data("x".repeat(400)))
}

fn told(usage: Option<Usage>, body: Script) -> Reply {
    let report = AnswerReport::default();
    usage.into_iter().for_each(|usage| report.count(usage));
    Reply::ok().extension(report).body(body)
}

/// Reads an answer to its end.
pub(crate) async fn read(answer: Answer) -> String {
    #[expect(clippy::disallowed_methods, reason = "it is bounded")]
    let whole = Limited::new(answer.into_body(), 10_000).collect().await.expect("the body is whole");
    String::from_utf8(whole.to_bytes().into()).expect("it is text")
}

/// Returns how much is left for all, limit by limit.
pub(crate) fn left(handle: &LimitsHandle) -> Vec<i128> {
    left_of(handle, buttress_token_bucket::Fingerprint::SHARED)
}

pub(crate) fn left_of(handle: &LimitsHandle, key: buttress_token_bucket::Fingerprint) -> Vec<i128> {
    handle.standings(key, Instant::now()).iter().map(|standing| standing.level).collect()
}
