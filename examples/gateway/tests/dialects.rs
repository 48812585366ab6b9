//! Regions that speak every dialect, and callers who speak one.

mod support;

use buttress_sim::{Fault, Simulator};
use gateway::{Config, demo::Demo};

use support::{CHAT, CHAT_PATH, Running};

const GEMINI: &str = r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#;
const MESSAGES: &str = r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A path, what is sent there, and where the answer has its words.
const ASKED: [(&str, &str, &str); 5] = [
    (CHAT_PATH, CHAT, "/choices/0/message/content"),
    ("/v1/responses", r#"{"model":"gpt-4o-mini","input":"Hello"}"#, "/output/0/content/0/text"),
    ("/v1/messages", MESSAGES, "/content/0/text"),
    ("/v1beta/models/gemini-2.5-flash:generateContent", GEMINI, "/candidates/0/content/parts/0/text"),
    (
        "/api/chat",
        r#"{"model":"llama3.2","stream":false,"messages":[{"role":"user","content":"Hello"}]}"#,
        "/message/content",
    ),
];

async fn running(names: &[&str]) -> Running {
    let mut text = "listen = \"127.0.0.1:0\"\n".to_owned();
    let mut regions = Vec::new();
    for name in names {
        let region = Simulator::builder().target(*name).length(5..=5).start().await.expect("a port is free");
        let url = region.url();
        text += &format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n");
        for (dialect, path) in [("anthropic", ""), ("gemini", "/v1beta"), ("ollama", "")] {
            text += &format!("[[targets.endpoints]]\nurl = \"{url}{path}\"\ndialect = \"{dialect}\"\n");
        }
        regions.push(region);
    }
    Running::from_config(&Config::parse(&text, "test.toml").expect("the test's configuration is good"), regions).await
}

#[tokio::test]
async fn each_caller_is_answered_in_its_own_dialect_and_from_elsewhere_when_a_region_fails() {
    let running = running(&["eastus", "westeurope"]).await;
    for (path, body, words) in ASKED {
        let answer = running.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "eastus"), "{path}: {answer:?}");
        assert!(answer.json().pointer(words).is_some_and(serde_json::Value::is_string), "{path}: {answer:?}");
    }
    running.break_region(0, Fault::Refuse);
    for (path, body, _) in ASKED {
        let answer = running.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "westeurope"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_region_that_fails_in_one_dialect_is_known_to_fail_in_the_others() {
    let running = running(&["eastus", "westeurope"]).await;
    running.break_region(0, Fault::Refuse);
    for _ in 0..5 {
        assert_eq!(running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "westeurope");
    }
    let answer = running.post("/v1/messages", MESSAGES).await;
    assert_eq!(answer.header("x-attempts"), "1", "it is one region, however it is spoken to");
}

#[tokio::test]
async fn told_nothing_it_serves_every_dialect() {
    let demo = Demo::start().await.expect("ports are free");
    let mut config = Config::default();
    config.listen.set_port(0);
    demo.adapt(&mut config);
    let running = Running::to(&config, demo.upstreams(), Vec::new()).await;
    for (path, body, words) in ASKED {
        let answer = running.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "eastus"), "{path}: {answer:?}");
        assert!(answer.json().pointer(words).is_some_and(serde_json::Value::is_string), "{path}: {answer:?}");
    }
}
