//! What is answered once for several requests of one caller. Real sockets on loopback, no clock in the assertions.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, body::Body, extract::State, response::IntoResponse as _};
use buttress_core::Payload;
use buttress_sim::{Fault, Simulator};
use gateway::Config;
use http::{HeaderName, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use support::{Answer, CHAT, CHAT_PATH, FAR, Running, STREAM, read};

/// The simulator's models, and those of these tests, are asked without a temperature.
const EXACT: &str = "[cache]\nmode = \"exact\"\nsampled = true\n";

fn asked(running: &Running, key: &str, path: &str, body: &str, headers: &[(&'static str, &str)]) -> Request<Payload> {
    let mut request = running.request(path, body.to_owned());
    for (name, value) in headers.iter().copied().chain([("x-api-key", key)]) {
        request.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("it is a header"));
    }
    request
}

async fn ask(running: &Running, key: &str, body: &str) -> Answer {
    read(running.send(asked(running, key, CHAT_PATH, body, &[])).await).await
}

async fn status(running: &Running) -> Value {
    let request = Request::get("/status.json").body(Body::empty()).expect("it is one");
    let response = running.operator.clone().router().oneshot(request).await.expect("it answers");
    #[expect(clippy::disallowed_methods, reason = "the answers of the operators' side are short")]
    let body = response.into_body().collect().await.expect("it comes to its end").to_bytes();
    serde_json::from_slice(&body).expect("it is JSON")
}

#[tokio::test]
async fn who_asks_the_same_again_has_the_same_answer_and_no_region_is_asked() {
    let running = Running::start(&["eastus"], EXACT).await;
    for (turn, body) in (1..).zip([CHAT, STREAM.replace("Hello", "Bye").as_str()]) {
        let first = ask(&running, "sk-1", body).await;
        assert_eq!(
            (first.status.as_u16(), first.header("x-cache"), first.header("x-served-by")),
            (200, "miss", "eastus")
        );
        let second = ask(&running, "sk-1", body).await;
        assert_eq!((second.status.as_u16(), second.header("x-cache"), second.header("x-served-by")), (200, "hit", ""));
        assert_eq!(second.header("x-attempts"), "", "nothing was tried");
        assert!(second.header("cache-status").starts_with("buttress-cache; hit; ttl="), "{second:?}");
        assert_eq!(second.body, first.body);
        assert_eq!(running.seen(), [turn]);
    }
    let other_form = ask(&running, "sk-1", STREAM).await;
    assert_eq!(other_form.header("x-cache"), "hit", "a stream is made of the whole: {other_form:?}");
    assert!(other_form.text().ends_with("data: [DONE]\n\n"), "{other_form:?}");
    let status = status(&running).await;
    assert_eq!((&status["cache"]["hits"], &status["cache"]["entries"]), (&3.into(), &2.into()));
    assert!(status["coalesce"].is_null(), "it is off");
}

#[tokio::test]
async fn what_two_regions_wrote_is_no_answer_to_keep() {
    let settings = format!("{EXACT}[streams]\ncontinue_elsewhere = true\n");
    let running = Running::start(&["eastus", "westeurope"], &settings).await;
    running.break_region(0, Fault::TruncateAfter { events: 3 });
    let joined = ask(&running, "sk-1", STREAM).await;
    assert!(joined.text().contains("\n\n: continued on westeurope\n\n"), "{joined:?}");
    running.regions[0].heal();
    let again = ask(&running, "sk-1", STREAM).await;
    assert_eq!((again.header("x-cache"), again.header("x-served-by")), ("miss", "eastus"), "{again:?}");
    assert!(!again.text().contains("continued"), "{again:?}");
    assert_eq!(ask(&running, "sk-1", STREAM).await.header("x-cache"), "hit", "a whole one is kept");
}

#[tokio::test]
async fn nothing_is_shared_across_keys_or_with_who_shows_none() {
    let tenants = "[limits.default]\nrpm = 100\n[[tenants]]\nname = \"acme\"\napi_key_env = \"ONE\"\n\
                   [[tenants]]\nname = \"other\"\napi_key_env = \"TWO\"\n";
    for settings in [EXACT.to_owned(), format!("{EXACT}{tenants}")] {
        let running = Running::start(&["eastus"], &settings).await;
        // Strangers share a bucket where there are tenants, and no answer.
        let keys = ["key-of-ONE", "key-of-TWO", "sk-stranger-1", "sk-stranger-2"];
        for key in keys {
            assert_eq!(ask(&running, key, CHAT).await.header("x-cache"), "miss", "{key}");
        }
        for key in keys {
            assert_eq!(ask(&running, key, CHAT).await.header("x-cache"), "hit", "{key}");
        }
        for _ in 0..2 {
            let nobody = running.post(CHAT_PATH, CHAT).await;
            assert_eq!(nobody.header("cache-status"), "buttress-cache; fwd=bypass; detail=no-tenant");
        }
        assert_eq!(running.seen(), [6]);
    }
}

#[tokio::test]
async fn all_keys_of_a_tenant_are_one_caller() {
    // The SHA-256 of "other".
    let hash = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    let tenant = format!("[[tenants]]\nname = \"a\"\napi_key_env = \"ONE\"\napi_key_sha256 = [\"{hash}\"]\n");
    let running = Running::start(&["eastus"], &format!("{EXACT}[limits.default]\nrpm = 100\n{tenant}")).await;
    assert_eq!(ask(&running, "key-of-ONE", CHAT).await.header("x-cache"), "miss");
    assert_eq!(ask(&running, "other", CHAT).await.header("x-cache"), "hit");
    assert_eq!(ask(&running, "a", CHAT).await.header("x-cache"), "miss", "a tenant's name is no key");
}

#[tokio::test]
async fn callers_have_their_say_in_cache_control() {
    let running = Running::start(&["eastus"], EXACT).await;
    let with = async |control: &str| {
        let request = asked(&running, "sk-1", CHAT_PATH, CHAT, &[("cache-control", control)]);
        read(running.send(request).await).await
    };
    let absent = with("only-if-cached").await;
    assert_eq!((absent.status.as_u16(), absent.header("x-served-by")), (504, ""), "{absent:?}");
    for _ in 0..2 {
        assert_eq!(with("no-store").await.header("x-cache"), "bypass");
    }
    assert_eq!(ask(&running, "sk-1", CHAT).await.header("x-cache"), "miss", "it was not stored");
    assert_eq!(with("no-cache").await.header("x-cache"), "miss");
    assert_eq!(with("only-if-cached").await.header("x-cache"), "hit");
    assert_eq!(running.seen(), [4]);
}

#[tokio::test]
async fn neither_a_failure_nor_a_stream_that_breaks_is_kept() {
    let running = Running::start(&["eastus"], EXACT).await;
    for (fault, body) in [
        (Fault::TruncateAfter { events: 3 }, STREAM),
        (Fault::status(http::StatusCode::BAD_REQUEST), &CHAT.replace("Hello", "Bye")),
    ] {
        running.break_region(0, fault);
        let response = running.send(asked(&running, "sk-1", CHAT_PATH, body, &[])).await;
        assert_eq!(response.headers()["x-cache"], "miss");
        #[expect(clippy::disallowed_methods, reason = "it is short, and may not come to its end")]
        drop(response.into_body().collect().await);
        running.regions[0].heal();
        let healed = ask(&running, "sk-1", body).await;
        assert_eq!((healed.status.as_u16(), healed.header("x-cache")), (200, "miss"), "{healed:?}");
        assert_eq!(ask(&running, "sk-1", body).await.header("x-cache"), "hit");
    }
    assert_eq!(running.seen(), [4]);
}

#[tokio::test]
async fn what_is_random_is_not_kept_unless_that_is_allowed() {
    let running = Running::start(&["eastus"], "[cache]\nmode = \"exact\"\n").await;
    for _ in 0..2 {
        let answer = ask(&running, "sk-1", CHAT).await;
        assert_eq!(answer.header("cache-status"), "buttress-cache; fwd=bypass; detail=sampled");
    }
    let exact = CHAT.replace("\"messages\"", "\"temperature\":0,\"messages\"");
    assert_eq!(ask(&running, "sk-1", &exact).await.header("x-cache"), "miss");
    assert_eq!(ask(&running, "sk-1", &exact).await.header("x-cache"), "hit");
    let off = Running::start(&["eastus"], "").await;
    let answer = ask(&off, "sk-1", &exact).await;
    assert!(answer.header("x-cache").is_empty() && answer.header("cache-status").is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_hit_costs_a_request_and_no_tokens_and_tells_what_its_caller_has_left() {
    // A dollar buys a thousand tokens, and nothing is refilled within a test.
    let limits = "[limits]\ncaller = \"header:x-tenant\"\n[limits.default]\nrpm = 100\ndollars_per_day = 1\n\
                  [prices.\"*\"]\ninput = 1000\noutput = 1000\n[[tenants]]\nname = \"a\"\n";
    let running = Running::start(&["eastus"], &format!("{EXACT}{limits}")).await;
    let body = CHAT.replace("\"messages\"", "\"max_tokens\":50,\"messages\"");
    let left = || running.operator.standings(Instant::now())[0].1[1].level;
    let asked = async || {
        let request = asked(&running, "sk-1", CHAT_PATH, &body, &[("x-tenant", "a")]);
        read(running.send(request).await).await
    };
    let until = async |what: &str, holds: &dyn Fn(i128) -> bool| {
        let waiting = async {
            while !holds(left()) {
                yield_now().await;
            }
        };
        timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("{what}: {}", left()));
    };
    assert_eq!(asked().await.header("x-cache"), "miss");
    until("it is settled by what it has used", &|left| (950_000_000..1_000_000_000).contains(&left)).await;
    let paid = left();
    let hit = asked().await;
    assert_eq!((hit.header("x-cache"), hit.header("x-ratelimit-limit-requests")), ("hit", "100"));
    until("nothing was used", &|left| left >= paid).await;
    assert_eq!(hit.header("x-ratelimit-remaining-requests"), "98", "it was a request");
}

#[tokio::test]
async fn usage_that_only_the_gateway_has_asked_for_is_in_no_answer_that_is_given_again() {
    let region = Simulator::builder().target("eastus").length(5..=5).start().await.expect("a port is free");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n{EXACT}[[targets]]\nname = \"eastus\"\nurl = \"{}/v1\"\ndialect = \"openai\"\n\
         ask_for_usage = true\n",
        region.url()
    );
    let running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), vec![region]).await;
    for expected in ["miss", "hit"] {
        let answer = ask(&running, "sk-1", STREAM).await;
        assert_eq!(answer.header("x-cache"), expected);
        assert!(!answer.text().contains("total_tokens"), "{expected}: {answer:?}");
    }
    assert_eq!(running.seen(), [1]);
}

/// A provider that streams when it is allowed to.
#[derive(Clone)]
struct Held {
    calls: Arc<AtomicU64>,
    may: Arc<Semaphore>,
}

async fn stream(State(held): State<Held>) -> axum::response::Response {
    held.calls.fetch_add(1, Ordering::Relaxed);
    held.may.acquire().await.expect("it is never closed").forget();
    let chunk = |delta: &str, finish: &str| {
        format!("data: {{\"id\":\"x\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
    };
    let text = chunk("{\"content\":\"one\"}", "null")
        + &chunk("{}", "\"stop\"")
        + "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":100,\"total_tokens\":200}}\n\n"
        + "data: [DONE]\n\n";
    ([("content-type", "text/event-stream")], text).into_response()
}

#[tokio::test]
async fn twenty_identical_streams_at_the_same_time_cost_one_call() {
    const CALLERS: u64 = 20;
    let held = Held { calls: Arc::default(), may: Arc::new(Semaphore::new(0)) };
    let app = Router::new().fallback(stream).with_state(held.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut servers = JoinSet::new();
    servers.spawn(async move { drop(axum::serve(listener, app).await) });
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[coalesce]\n[limits.default]\ndollars_per_day = 100\n[prices.\"*\"]\ninput = 1000\n\
         output = 1000\n[[tenants]]\nname = \"a\"\napi_key_env = \"ONE\"\n[[targets]]\nname = \"x\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n"
    );
    let running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), Vec::new()).await;
    let mut callers = JoinSet::new();
    let keys = (0..CALLERS).map(|_| "key-of-ONE").chain(["sk-2"]);
    for key in keys {
        let (client, request) = (running.client(), asked(&running, key, CHAT_PATH, STREAM, &[]));
        callers.spawn(async move { (key, read(client.oneshot(request).await.expect("the gateway answers")).await) });
    }
    let joined = async {
        while status(&running).await["coalesce"]["joined"] != CALLERS - 1 || held.calls.load(Ordering::Relaxed) < 2 {
            yield_now().await;
        }
    };
    timeout(FAR, joined).await.expect("all but the first of each key have joined");
    held.may.add_permits(2);
    let answers = timeout(FAR, callers.join_all()).await.expect("all are answered");
    for (key, answer) in &answers {
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "x"), "{answer:?}");
        assert!(answer.text().contains("one") && answer.text().ends_with("data: [DONE]\n\n"), "{answer:?}");
        assert!(*key == "key-of-ONE" || answer.header("cache-status").is_empty(), "another key: {answer:?}");
    }
    let collapsed = answers.iter().filter(|(_, answer)| answer.header("cache-status").ends_with("collapsed")).count();
    assert_eq!((collapsed as u64, held.calls.load(Ordering::Relaxed)), (CALLERS - 1, 2), "one for each key");
    let milli_dollars = || running.operator.standings(Instant::now())[0].1[0].level / 1_000_000;
    let paid_once = async {
        while !(99_750..99_850).contains(&milli_dollars()) {
            yield_now().await;
        }
    };
    timeout(FAR, paid_once).await.unwrap_or_else(|_| panic!("200 tokens are paid for once: {}", milli_dollars()));
}
