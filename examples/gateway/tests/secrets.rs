//! What must never be traced or told. A binary of its own: what is traced is captured per thread.

mod support;

use buttress_sim::{Fault, ProviderError, Simulator};
use buttress_testkit::TraceGuard;
use gateway::Config;
use http::StatusCode;

use support::{CHAT_PATH, Running, read};

const PROMPT: &str = "tell-me-about-my-diagnosis";
const KEY: &str = "key-of-PROVIDER_KEY";
const CALLER: &str = "sk-of-the-caller";

#[tokio::test]
async fn no_prompt_and_no_key_is_traced_or_told() {
    let trace = TraceGuard::new();
    let region = Simulator::builder().target("eastus").api_key(KEY).start().await.unwrap();
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[[targets]]\nname = \"eastus\"\nurl = \"{}/v1\"\ndialect = \"openai\"\n\
         api_key_env = \"PROVIDER_KEY\"\n",
        region.url()
    );
    let running = Running::from_config(&Config::parse(&text, "test.toml").unwrap(), vec![region]).await;

    let echo =
        serde_json::json!({"error": {"message": format!("wrong key {KEY} for {PROMPT}"), "code": "invalid_api_key"}});
    let faults = [
        None,
        Some(Fault::from(buttress_sim::StatusFault::new(StatusCode::UNAUTHORIZED).body(echo))),
        Some(Fault::provider(ProviderError::ContextLengthExceeded)),
        Some(Fault::status(StatusCode::INTERNAL_SERVER_ERROR)),
        Some(Fault::Refuse),
    ];
    for (body, fault) in faults.into_iter().flat_map(|fault| {
        let whole = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
        let broken = format!(r#"{{"model":7,"messages":["{PROMPT}"#);
        [(whole, fault.clone()), (broken, fault)]
    }) {
        running.regions[0].set_fault(fault.clone());
        let mut request = running.request(CHAT_PATH, body);
        request.headers_mut().insert("authorization", format!("Bearer {CALLER}").parse().unwrap());
        let answer = read(running.send(request).await).await;
        let headers = format!("{:?}", answer.headers);
        for secret in [PROMPT, KEY, CALLER] {
            assert!(!headers.contains(secret), "{fault:?}: {headers}");
        }
    }
    trace.assert_hides(&[PROMPT, KEY, CALLER]);
}

#[tokio::test]
async fn neither_a_tenants_key_nor_a_strangers_is_traced_or_told() {
    let trace = TraceGuard::new();
    let limits = "[limits.default]\nrpm = 1\n[[tenants]]\nname = \"acme\"\napi_key_env = \"TENANT_KEY\"\n";
    let running = Running::start(&["eastus"], limits).await;
    for (key, status) in [("key-of-TENANT_KEY", 200), ("key-of-TENANT_KEY", 429), (CALLER, 200), (CALLER, 429)] {
        let mut request = running.request(CHAT_PATH, support::CHAT);
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        let answer = read(running.send(request).await).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let told = format!("{:?} {}", answer.headers, answer.text());
        assert!(!told.contains(CALLER) && !told.contains("TENANT_KEY") && !told.contains("acme"), "{told}");
    }
    trace.assert_hides(&["TENANT_KEY", CALLER]);
}

#[tokio::test]
async fn of_several_keys_none_is_traced_or_told_whichever_is_dead() {
    let trace = TraceGuard::new();
    let region = Simulator::builder().target("eastus").api_key("key-of-SECOND").start().await.unwrap();
    let credential = |name: &str| format!("[[targets.credentials]]\nname = \"{name}\"\napi_key_env = \"{name}\"\n");
    let target = format!("[[targets]]\nname = \"eastus\"\nurl = \"{}/v1\"\ndialect = \"openai\"\n", region.url());
    for (keys, status) in [(["FIRST", "SECOND"], 200), (["THIRD", "FOURTH"], 503)] {
        let text = format!("listen = \"127.0.0.1:0\"\n{target}{}", keys.map(credential).concat());
        let running = Running::from_config(&Config::parse(&text, "test.toml").unwrap(), Vec::new()).await;
        for body in [support::CHAT, support::STREAM] {
            let answer = running.post(CHAT_PATH, body).await;
            let told = format!("{:?} {}", answer.headers, answer.text());
            // A provider that refuses a key tells some of its letters, and callers have no key there that they could mend.
            assert!(answer.status == status && !told.contains("key-of-"), "{} {told}", answer.status);
        }
    }
    trace.assert_hides(&["key-of-"]);
}

#[tokio::test]
async fn neither_a_question_that_is_kept_nor_whose_it_is_is_traced() {
    let trace = TraceGuard::new();
    let running = Running::start(&["eastus"], "[coalesce]\n[cache]\nmode = \"exact\"\nsampled = true\n").await;
    let body = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    for expected in ["miss", "hit"] {
        let mut request = running.request(CHAT_PATH, body.clone());
        request.headers_mut().insert("authorization", format!("Bearer {CALLER}").parse().unwrap());
        let answer = read(running.send(request).await).await;
        assert_eq!(answer.header("x-cache"), expected);
        let headers = format!("{:?}", answer.headers);
        assert!(!headers.contains(PROMPT) && !headers.contains(CALLER), "{headers}");
    }
    trace.assert_hides(&[PROMPT, CALLER]);
}
