//! What callers may take, each for itself. Real sockets on loopback; limits that are not refilled within a test.

mod support;

use buttress_core::Payload;
use buttress_sim::{Fault, ProviderError, Simulator};
use gateway::{Config, reload::Reload};
use http::{HeaderName, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use support::{Answer, CHAT, CHAT_PATH, FAR, Running, STREAM, read};

const BY_HEADER: &str = "[limits]\ncaller = \"header:x-tenant\"\nassumed_output = 600\n";
const TENANTS: &str = "[[tenants]]\nname = \"a\"\n[[tenants]]\nname = \"b\"\ntier = \"gold\"\n";

/// A dollar buys a thousand tokens. Tokens of a minute would be refilled within a test.
const DOLLAR: &str = "dollars_per_day = 1";
const PRICES: &str = "[prices.\"*\"]\ninput = 1000\noutput = 1000\n";

fn as_caller(running: &Running, header: &'static str, value: &str, path: &str, body: &str) -> Request<Payload> {
    let mut request = running.request(path, body.to_owned());
    request.headers_mut().insert(HeaderName::from_static(header), value.parse().expect("it is a header"));
    request
}

async fn chat(running: &Running, tenant: &str, body: &str) -> Answer {
    read(running.send(as_caller(running, "x-tenant", tenant, CHAT_PATH, body)).await).await
}

/// How much of its limits a tenant has left.
fn left(running: &Running, tenant: &str) -> Vec<i128> {
    let standings = running.operator.standings(Instant::now());
    let (_, limits) = standings.into_iter().find(|(name, _)| name.as_str() == tenant).expect("it is a tenant");
    limits.iter().map(|standing| standing.level).collect()
}

/// How many tokens a tenant can pay for.
fn tokens_left(running: &Running, tenant: &str) -> i128 {
    left(running, tenant)[0] / 1_000_000
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            yield_now().await;
        }
    };
    timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn two_tenants(default: &str, gold: &str) -> Running {
    let settings = format!("{BY_HEADER}[limits.default]\n{default}\n[limits.tiers.gold]\n{gold}\n{TENANTS}");
    Running::start(&["eastus", "westeurope"], &settings).await
}

#[tokio::test]
async fn who_has_used_up_its_share_is_refused_and_nobody_else() {
    let running = two_tenants("rpm = 3", "rpm = 5").await;
    for remaining in ["2", "1", "0"] {
        let answer = chat(&running, "a", CHAT).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining-requests")), (200, remaining));
    }
    let refused = chat(&running, "a", CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.error_code().as_str()), (429, "rate_limit_exceeded"));
    assert!(refused.text().contains("requests-per-minute of 3 requests"), "{refused:?}");
    for number in 0..5 {
        assert_eq!(chat(&running, "b", CHAT).await.status, 200, "{number}");
    }
    assert_eq!(chat(&running, "b", CHAT).await.status, 429);
    assert_eq!(running.seen(), [8, 0], "what is refused reaches no region");
}

#[tokio::test]
async fn a_refusal_tells_sdks_what_they_look_for_in_every_dialect() {
    let running = two_tenants("rpm = 1", "rpm = 1").await;
    assert_eq!(chat(&running, "a", CHAT).await.status, 200);
    let messages = r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;
    let contents = r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#;
    for (path, body, kind) in [
        (CHAT_PATH, CHAT, r#""code":"rate_limit_exceeded""#),
        ("/v1/messages", messages, r#""type":"rate_limit_error""#),
        ("/v1beta/models/gemini:generateContent", contents, r#""status":"RESOURCE_EXHAUSTED""#),
        ("/api/chat", CHAT, r#"{"error":""#),
    ] {
        let answer = read(running.send(as_caller(&running, "x-tenant", "a", path, body)).await).await;
        let text = answer.text().replace(": ", ":");
        assert!(answer.status == 429 && text.contains(kind) && text.contains("requests-per-minute"), "{answer:?}");
        let wait = answer.header("retry-after").parse::<u64>().expect("it is in seconds");
        assert!((1..=60).contains(&wait), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), "true", "it may come back: {answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), "\"requests-per-minute\";q=1;w=60");
        assert!(answer.header("ratelimit").starts_with("\"requests-per-minute\";r=0;t="), "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "1");
        assert_ne!(answer.header("x-ratelimit-reset-requests"), "");
        assert_eq!(answer.header("x-served-by"), "", "no region answered");
    }
}

#[tokio::test]
async fn money_is_a_quota_that_is_spent_by_what_models_cost() {
    let prices = "[prices.\"gpt-4o*\"]\ninput = 1000\noutput = 1000\n[prices.free]\ninput = 0\noutput = 0\n";
    let running = two_tenants("dollars_per_day = 0.05", &format!("rpm = 9\n{prices}")).await;
    let body = CHAT.replace("\"messages\"", "\"max_tokens\":5,\"messages\"");
    let mut served = 0;
    let refused = loop {
        let answer = chat(&running, "a", &body).await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
    };
    assert!((2..=5).contains(&served), "each costs about a cent: {served}");
    assert_eq!((refused.status.as_u16(), refused.error_code().as_str()), (403, "insufficient_quota"));
    assert!(refused.text().contains("dollars-per-day"), "{refused:?}");
    assert_eq!(refused.header("x-should-retry"), "false", "it is not worth asking again soon");
    assert_eq!(chat(&running, "a", &body.replace("gpt-4o-mini", "free")).await.status, 200);
    assert_eq!(chat(&running, "a", &body.replace("gpt-4o-mini", "unheard-of")).await.status, 403, "as the dearest");
    assert_eq!(chat(&running, "b", &body).await.status, 200);
}

#[tokio::test]
async fn a_stream_is_charged_at_its_end_by_what_it_has_used() {
    let running = two_tenants(DOLLAR, &format!("{DOLLAR}\n{PRICES}")).await;
    let usage = STREAM.replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    running.break_region(0, Fault::StallAfter { events: 3 });
    let stalled = running.send(as_caller(&running, "x-tenant", "a", CHAT_PATH, &usage)).await;
    assert!(tokens_left(&running, "a") < 400, "600 are reserved");
    let refused = chat(&running, "a", &usage).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("dollars-per-day of 1000000000 nano-dollars"), "{refused:?}");
    running.regions[0].heal();
    drop(stalled);
    until("what was not used comes back from a stream that is given up", || tokens_left(&running, "a") > 500).await;

    let before = tokens_left(&running, "b");
    let answer = chat(&running, "b", &usage).await;
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{answer:?}");
    until("a stream that told its usage costs that", || tokens_left(&running, "b") > before - 60).await;
    assert!(tokens_left(&running, "b") < before, "and not nothing");
}

#[tokio::test]
async fn a_stream_that_breaks_costs_what_had_come_of_it_and_not_what_was_reserved() {
    let running = two_tenants(DOLLAR, &format!("{DOLLAR}\n{PRICES}")).await;
    running.break_region(0, Fault::TruncateAfter { events: 3 });
    let answer = chat(&running, "a", STREAM).await;
    assert!(answer.status == 200 && answer.text().contains("\"error\""), "it ends with an error: {answer:?}");
    until("what had not come of it comes back", || tokens_left(&running, "a") > 600).await;
    assert!(tokens_left(&running, "a") < 1_000, "and not all");
}

#[tokio::test]
async fn what_answers_have_needed_is_reserved_for_the_next_one_and_not_all_it_may_need() {
    let running = two_tenants(DOLLAR, &format!("dollars_per_day = 100\n{PRICES}")).await;
    let eager = CHAT.replace("\"messages\"", "\"max_tokens\":900,\"messages\"");
    for _ in 0..20 {
        assert_eq!(chat(&running, "b", &eager).await.status, 200);
    }
    running.break_region(0, Fault::Hang);
    let client = running.client();
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let request = as_caller(&running, "x-tenant", "a", CHAT_PATH, &eager);
        let client = client.clone();
        waiting.spawn(async move { client.oneshot(request).await.is_ok() });
    }
    let both = running.regions[0].wait_for(|stats| stats.in_flight == 2);
    timeout(FAR, both).await.expect("both are let in, although both may need 900 of 1000");
    let left = tokens_left(&running, "a");
    assert!((900..1000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_target_can_be_asked_for_usage_without_the_caller_noticing() {
    let region = Simulator::builder().target("eastus").length(5..=5).start().await.expect("a port is free");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n{BY_HEADER}[limits.default]\n{DOLLAR}\n[limits.tiers.gold]\nrpm = 1\n{PRICES}{TENANTS}\
         [[targets]]\nname = \"eastus\"\nurl = \"{}/v1\"\ndialect = \"openai\"\nask_for_usage = true\n",
        region.url()
    );
    let running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), vec![region]).await;
    let answer = chat(&running, "a", STREAM).await;
    let text = answer.text();
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("\"finish_reason\":\"stop\""), "{text}");
    assert!(!text.contains("total_tokens"), "the caller has not asked: {text}");
    until("it is charged by what it has used", || (940..1000).contains(&tokens_left(&running, "a"))).await;

    let asked = STREAM.replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let text = chat(&running, "a", &asked).await.text();
    assert!(text.contains("total_tokens"), "whoever asks is told: {text}");
}

#[tokio::test]
async fn a_failed_answer_costs_a_request_and_no_tokens_however_often_it_was_tried() {
    let running = two_tenants("rpm = 1\ntpm = 1000", "rpm = 1").await;
    for region in 0..2 {
        running.break_region(region, Fault::provider(ProviderError::ServerError));
    }
    let answer = chat(&running, "a", CHAT).await;
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.header("x-attempts") == "5", "{answer:?}");
    until("it is settled", || left(&running, "a") == [0, 1000]).await;
}

#[tokio::test]
async fn what_can_never_be_let_in_is_told_so_at_once() {
    let running = two_tenants("tpm = 1000", "rpm = 1").await;
    let answer = chat(&running, "a", &CHAT.replace("\"messages\"", "\"max_tokens\":5000,\"messages\"")).await;
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (413, "request_too_large"));
    assert!(answer.text().contains("tokens-per-minute"), "{answer:?}");
    assert_eq!((left(&running, "a"), left(&running, "b")), (vec![1000], vec![1]), "each under its own tier");
}

#[tokio::test]
async fn tenants_are_known_by_their_keys_and_strangers_share_what_is_left() {
    // The SHA-256 of "other".
    let hash = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    let settings = format!(
        "[limits.default]\nrpm = 2\n[[tenants]]\nname = \"a\"\napi_key_env = \"A_KEY\"\napi_key_sha256 = [\"{hash}\"]\n"
    );
    let running = Running::start(&["eastus"], &settings).await;
    let ask = async |header, key: &str| {
        let request = as_caller(&running, header, key, CHAT_PATH, CHAT);
        read(running.send(request).await).await.status.as_u16()
    };
    assert_eq!(ask("authorization", "Bearer key-of-A_KEY").await, 200);
    assert_eq!(ask("x-api-key", "other").await, 200);
    assert_eq!(ask("api-key", "key-of-A_KEY").await, 429, "both are keys of one tenant");
    assert_eq!(ask("authorization", "Bearer made-up-1").await, 200);
    assert_eq!(ask("authorization", "Bearer made-up-2").await, 200);
    assert_eq!(ask("authorization", "Bearer made-up-3").await, 429, "a new key is no new bucket");
    assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 429, "nor is none");
    assert_eq!(ask("authorization", "Bearer a").await, 429, "a tenant's name is no key");
}

#[tokio::test]
async fn the_header_that_names_a_tenant_does_not_reach_a_target() {
    // It answers with the names of the headers that it has seen.
    let app = axum::Router::new().fallback(async |headers: http::HeaderMap| {
        let names = headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        axum::Json(serde_json::json!({ "choices": [{ "message": { "content": "x" } }], "names": names }))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut servers = JoinSet::new();
    servers.spawn(async move { axum::serve(listener, app).await });
    let text = format!(
        "listen = \"127.0.0.1:0\"\n{BY_HEADER}[limits.default]\nrpm = 9\n\
         [[targets]]\nname = \"x\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n"
    );
    let running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), Vec::new()).await;
    let answer = chat(&running, "acme", CHAT).await;
    let names = answer.text();
    assert!(answer.status == 200 && names.contains("content-type") && !names.contains("x-tenant"), "{answer:?}");
}

#[tokio::test]
async fn what_a_target_grants_the_gateway_is_not_told_to_callers_who_have_limits_of_their_own() {
    let told = |answer: &Answer| {
        let names = answer.headers.keys().map(HeaderName::as_str).filter(|name| name.contains("ratelimit"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let messages = r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;
    for (announce, own) in [(true, 5), (false, 0)] {
        let region = Simulator::builder().target("eastus").start().await.expect("a port is free");
        let url = region.url();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n{BY_HEADER}announce = {announce}\n[limits.default]\ntpm = 100_000\n\
             [[targets]]\nname = \"eastus\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n\
             [[targets.endpoints]]\nurl = \"{url}\"\ndialect = \"anthropic\"\n"
        );
        let running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), vec![region]).await;
        for (path, body) in [(CHAT_PATH, CHAT), (CHAT_PATH, STREAM), ("/v1/messages", messages)] {
            let answer = read(running.send(as_caller(&running, "x-tenant", "a", path, body)).await).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(told(&answer).len(), own, "{path}: {answer:?}");
            let limit = if announce { "100000" } else { "" };
            assert_eq!(answer.header("x-ratelimit-limit-tokens"), limit, "{answer:?}");
        }
    }
    let open = Running::start(&["eastus"], "").await;
    let answer = open.post(CHAT_PATH, CHAT).await;
    assert!(!told(&answer).is_empty(), "where nobody has a limit here, the target's own are all there is: {answer:?}");
}

#[tokio::test]
async fn without_tenants_each_key_has_its_own_share() {
    let running = Running::start(&["eastus"], "[limits.default]\nrpm = 1\n").await;
    for key in ["sk-1", "sk-2"] {
        for status in [200, 429] {
            let request = as_caller(&running, "x-api-key", key, CHAT_PATH, CHAT);
            assert_eq!(read(running.send(request).await).await.status, status, "{key}");
        }
    }
}

#[tokio::test]
async fn without_a_word_in_the_configuration_nobody_is_limited() {
    let running = Running::start(&["eastus"], "").await;
    let answer = running.post(CHAT_PATH, CHAT).await;
    assert!(answer.status == 200 && answer.header("ratelimit").is_empty(), "{answer:?}");
    assert!(running.operator.standings(Instant::now()).is_empty());
}

#[tokio::test]
async fn a_tier_can_change_while_it_runs_and_what_was_used_stays_used() {
    let running = two_tenants("rpm = 2", "rpm = 9").await;
    let text = |default: &str, gold: &str| {
        let target =
            format!("[[targets]]\nname = \"x\"\nurl = \"{}/v1\"\ndialect = \"openai\"", running.regions[0].url());
        format!("{BY_HEADER}[limits.default]\n{default}\n[limits.tiers.gold]\n{gold}\n{TENANTS}{target}\n")
    };
    let config = Config::parse(&text("rpm = 2", "rpm = 9"), "test.toml").expect("it is good");
    let mut reload = Reload::new("test.toml".as_ref(), String::new(), config, running.operator.clone(), |name| {
        Some(name.to_owned())
    });
    assert_eq!(chat(&running, "a", CHAT).await.status, 200);
    assert_eq!(chat(&running, "a", CHAT).await.status, 200);
    assert_eq!(chat(&running, "a", CHAT).await.status, 429);

    let applied = reload.apply(&text("rpm = 4", "rpm = 9")).expect("it is good");
    assert!(applied.needs_restart.is_empty(), "{applied:?}");
    assert_eq!(
        chat(&running, "a", CHAT).await.header("x-ratelimit-remaining-requests"),
        "1",
        "2 of 4 were used before"
    );

    let moved = text("rpm = 4", "rpm = 9").replace("name = \"a\"", "name = \"a\"\ntier = \"gold\"");
    reload.apply(&moved).expect("it is good");
    assert_eq!(chat(&running, "a", CHAT).await.header("x-ratelimit-limit-requests"), "9");

    let further = text("rpm = 1", "rpm = 9\n[limits.tiers.silver]\nrpm = 3");
    assert_eq!(reload.apply(&further).expect("it is good").needs_restart, ["limits"], "buckets are not made anew");
    assert_eq!(chat(&running, "b", CHAT).await.status, 200);
}

#[tokio::test]
async fn an_open_stream_of_one_tenant_is_no_matter_to_another() {
    let running = two_tenants("tpm = 1000", "tpm = 1000").await;
    running.break_region(0, Fault::StallAfter { events: 3 });
    let mut open = running.send(as_caller(&running, "x-tenant", "a", CHAT_PATH, STREAM)).await.into_body();
    assert!(timeout(FAR, open.frame()).await.expect("it begins").is_some());
    running.regions[0].heal();
    assert_eq!(chat(&running, "a", STREAM).await.status, 429);
    assert_eq!(chat(&running, "b", STREAM).await.status, 200);
}
