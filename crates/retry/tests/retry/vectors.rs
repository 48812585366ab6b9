//! Published traces, from the first call to the last.

use buttress_core::{Class, GrpcClassify, Http, HttpClassify, Payload};
use buttress_retry::{Backoff, Budget, Policy, QuotaCosts, RetryLayer, Share};
use buttress_testkit::{Handle, Probe, Reply, ScriptedBody, send};
use http::{HeaderValue, Request};
use serde_json::Value;
use tower::Layer as _;

use super::{Probed, get, ms, n, over, post, retry, timed};

fn section(name: &str) -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/retry.json"));
    let mut all: Value = serde_json::from_str(text).expect("the vectors are valid JSON");
    all[name].take()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty(), "a table without rows proves nothing");
    list
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a number from 0 up")
}

/// The layer and the budget of an AWS scenario, and its two services: for the scenario, and one to spend with.
fn aws(config: &Value) -> (Probed, Handle, Budget) {
    let costs =
        QuotaCosts { throttled: number(&config["cost"]["throttling"]), other: number(&config["cost"]["other"]) };
    let budget = Budget::quota(number(&config["quota"]), costs);
    let length = |value: &Value| ms(u64::from(number(value)));
    let backoff = Backoff::exact()
        .with_base(length(&config["base_ms"]["other"]))
        .with_throttled_base(length(&config["base_ms"]["throttling"]))
        .with_cap(length(&config["max_backoff_ms"]));
    let attempts = n(number(&config["max_attempts"]));
    let layer = retry().attempts(attempts).backoff(backoff).budget(budget.clone());
    let (service, handle) = over(&layer, []);
    (service, handle, budget)
}

/// Leaves `left` of a budget by calls that fail after one retry.
async fn spend(budget: &Budget, config: &Value, left: u32) {
    let (spent, cost) = (number(&config["quota"]) - left, number(&config["cost"]["other"]));
    assert_eq!(spent % cost, 0, "a whole number of retries leads there");
    for _ in 0..spent / cost {
        let (mut service, handle) = over(&retry().attempts(n(2)).budget(budget.clone()), []);
        handle.always(Reply::status(500));
        drop(send(&mut service, get()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_aws_sdks_scenarios_run_as_published() {
    for scenario in list(&section("aws_quota")["scenarios"]) {
        let (mut service, handle, budget) = aws(&scenario["config"]);
        if let Some(start) = scenario["config"].get("quota_start") {
            spend(&budget, &scenario["config"], number(start)).await;
        }
        for attempts in ["attempts", "then"].iter().filter_map(|part| scenario[*part].as_array()) {
            for attempt in attempts {
                handle.next(Reply::status(match attempt["response"].as_str() {
                    Some("throttled") => 429,
                    status => status.expect("a status").parse().expect("a number"),
                }));
            }
            let before = handle.calls();
            let (_, took) = timed(send(&mut service, get())).await;
            assert_eq!(handle.calls() - before, attempts.len(), "{}", scenario["name"]);
            let waits = attempts.iter().filter_map(|attempt| attempt["delay_ms"].as_u64()).sum();
            assert_eq!(took, ms(waits), "{}", scenario["name"]);
        }
    }
}

type Grpc = RetryLayer<Http, GrpcClassify>;

fn grpc() -> Grpc {
    retry().repeat_all().classify(GrpcClassify)
}

fn unavailable() -> Reply {
    Reply::status(200).header("grpc-status", "14")
}

fn rpc() -> Request<Payload> {
    let mut request = post();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request
}

#[tokio::test(start_paused = true)]
async fn grpc_gos_throttling_trace_runs_as_published() {
    let trace = &section("grpc_throttling")["end_to_end"];
    let config = &trace["config"];
    let ratio = Share::percent(number(&config["token_ratio_percent"]));
    let budget = Budget::throttle(number(&config["max_tokens"]), ratio);
    let layer = grpc().attempts(n(number(&config["max_attempts"]))).budget(budget);
    let (probe, handle) = Probe::<ScriptedBody>::new();
    let (good, calls) = (list(&trace["server_ok_call_indexes"]), list(&trace["calls"]));
    for index in 0..=number(&calls[calls.len() - 1]["last_server_call_index"]) {
        handle.next(if good.contains(&index.into()) { Reply::ok() } else { unavailable() });
    }
    let mut service = layer.layer(probe);
    for call in calls {
        let response = send(&mut service, rpc()).await.unwrap();
        assert_eq!(response.headers().contains_key("grpc-status"), call["status"] == "unavailable", "{call}");
        assert_eq!(handle.calls() - 1, call["last_server_call_index"], "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_back_is_obeyed_as_published() {
    for case in list(&section("grpc_pushback")["cases"]) {
        let pushed = list(&case["values"]).iter().fold(unavailable(), |reply, value| {
            reply.header("grpc-retry-pushback-ms", value.as_str().expect("a header value").to_owned().leak())
        });
        let (probe, handle) = Probe::<ScriptedBody>::new();
        [unavailable(), pushed, unavailable()].into_iter().for_each(|reply| handle.next(reply));
        let backoff = Backoff::exact().with_base(ms(10));
        let (_, took) = timed(send(&mut grpc().attempts(n(4)).backoff(backoff).layer(probe), rpc())).await;
        match case["retry_after_ms"].as_u64() {
            // 10, then the push-back, and then the back-off from its beginning.
            Some(wait) => assert_eq!((handle.calls(), took), (4, ms(10 + wait + 10)), "{case}"),
            None => assert_eq!((handle.calls(), took), (2, ms(10)), "{case}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_lesser_of_policy_and_allowance_bounds_the_attempts() {
    for case in list(&section("grpc_max_attempts")["cases"]) {
        let policy = n(number(&case["policy_max"]));
        let layer = match case["client_max"].as_u64() {
            Some(_) => grpc().attempts(policy).allowance(n(number(&case["client_max"]))),
            None => grpc().attempts(policy),
        };
        let (probe, handle) = Probe::<ScriptedBody>::new();
        handle.always(unavailable());
        drop(send(&mut layer.layer(probe), rpc()).await);
        assert_eq!(handle.calls(), case["attempts"], "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_that_names_the_moment_is_kept_to_the_millisecond_by_any_policy() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.next(unavailable().header("grpc-retry-pushback-ms", "777"));
    let mut request = rpc();
    request.extensions_mut().insert(Policy::default().repeat_all().backoff(Backoff::decorrelated()));
    let (response, took) = timed(send(&mut grpc().layer(probe), request)).await;
    assert_eq!((response.unwrap().status().as_u16(), took), (200, ms(777)));
}

#[test]
fn http_knows_nothing_of_grpcs_codes() {
    use buttress_core::Classify as _;
    let response = http::Response::builder().header("grpc-status", "14").body(()).unwrap();
    assert_eq!(HttpClassify.classify(Ok::<_, &std::io::Error>(&response)), Class::SUCCESS);
}
