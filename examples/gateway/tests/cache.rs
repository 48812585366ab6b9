//! The cache, told what to keep by rules, by meaning and by operators. Real sockets on loopback, no clock in the assertions.

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{Json, Router, body::Body, extract::State};
use gateway::Config;
use http::{HeaderName, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    task::{JoinSet, yield_now},
    time::timeout,
};
use tower::ServiceExt as _;

use support::{Answer, CHAT_PATH, FAR, Running, read};

/// A provider whose answers are the same where questions come to the same, and tell what they cost.
#[derive(Clone, Default)]
struct Provider {
    calls: Arc<AtomicU64>,
    /// What it says to whoever asks with this in the question.
    says: Arc<Mutex<Option<(String, String)>>>,
}

async fn chat(State(provider): State<Provider>, Json(asked): Json<Value>) -> Json<Value> {
    let call = provider.calls.fetch_add(1, Ordering::Relaxed);
    let text = asked["messages"][0]["content"].as_str().unwrap_or_default().to_lowercase();
    let text = text.trim_start_matches("please tell me: ").trim_end_matches(['?', '!', '.', ' ']).to_owned();
    let special = provider.says.lock().expect("no test panics with it").clone();
    let content = match special {
        Some((of, says)) if text.contains(&of) => says,
        _ => format!("An answer to {text}"),
    };
    let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}});
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
    Json(
        json!({"id": format!("c{call}"), "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}),
    )
}

/// A gateway in front of one provider, and what is kept running for it.
struct Bench {
    running: Running,
    provider: Provider,
    _servers: JoinSet<()>,
}

impl Bench {
    async fn start(settings: &str) -> Self {
        let provider = Provider::default();
        let app = Router::new().fallback(chat).with_state(provider.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut servers = JoinSet::new();
        servers.spawn(async move { drop(axum::serve(listener, app).await) });
        let target = format!("[[targets]]\nname = \"x\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n");
        let config = Config::parse(&format!("listen = \"127.0.0.1:0\"\n{settings}{target}"), "test.toml");
        let config =
            config.expect("it is good").keyed(|name| Some(format!("key-of-{name}"))).expect("the key is there");
        Self { running: Running::from_config(&config, Vec::new()).await, provider, _servers: servers }
    }

    fn calls(&self) -> u64 {
        self.provider.calls.load(Ordering::Relaxed)
    }

    async fn ask(&self, text: &str) -> Answer {
        self.ask_as("sk-1", "gpt-4o", text, &[]).await
    }

    async fn ask_as(&self, key: &str, model: &str, text: &str, headers: &[(&'static str, &str)]) -> Answer {
        let body = json!({"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0});
        let mut request = self.running.request(CHAT_PATH, body.to_string());
        for (name, value) in headers.iter().copied().chain([("x-api-key", key)]) {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("it is a header"));
        }
        let answer = read(self.running.send(request).await).await;
        assert!(matches!(answer.status.as_u16(), 200 | 504), "{answer:?}");
        // What is learned is learned behind the caller's back.
        let learned = async {
            while self.running.operator.in_background() > 0 {
                yield_now().await;
            }
        };
        timeout(FAR, learned).await.expect("it comes to an end");
        answer
    }

    async fn tell(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("it is one");
        let response = self.running.operator.clone().router().oneshot(request).await.expect("it answers");
        let status = response.status().as_u16();
        #[expect(clippy::disallowed_methods, reason = "the answers of the operators' side are short")]
        let body = response.into_body().collect().await.expect("it comes to its end").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("it is text"))
    }

    async fn forget(&self, what: Value) -> (u16, String) {
        self.tell("POST", "/cache/forget", &what.to_string()).await
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.tell("GET", "/status.json", "").await.1).expect("it is JSON")
    }

    /// The value of a figure, with its labels.
    async fn figure(&self, name: &str) -> f64 {
        let (_, page) = self.tell("GET", "/metrics", "").await;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("{name} is not in {page}"));
        value.parse().expect("it is a number")
    }
}

const BY_THRESHOLD: &str = "[cache]\nmode = \"semantic\"\nexplain_to = [\"*\"]\n\
                            [cache.semantic]\npolicy = \"threshold\"\nthreshold = 0.85\n";

#[tokio::test]
async fn a_near_duplicate_is_answered_by_meaning_and_numbers_and_names_never() {
    let bench = Bench::start(BY_THRESHOLD).await;
    let asked = "How do I reset the password of my account in Oslo after 30 days?";
    assert_eq!(bench.ask(asked).await.header("x-cache"), "miss");
    let like = bench.ask(&format!("Please tell me: {asked}")).await;
    assert_eq!(like.header("x-cache"), "semantic-hit", "{like:?}");
    assert!(like.text().contains("in oslo after 30 days"), "{like:?}");
    assert_eq!(like.header("x-cache-detail"), "", "nobody has asked for it");
    for other in [
        asked.replace("30", "31"),
        asked.replace("Oslo", "Rome"),
        asked.replace("How do I", "How do I not"),
        asked.replace("after 30 days", "before 30 days"),
    ] {
        assert_eq!(bench.ask(&format!("Please tell me: {other}")).await.header("x-cache"), "miss", "{other}");
    }
    assert_eq!(bench.ask_as("sk-2", "gpt-4o", asked, &[]).await.header("x-cache"), "miss", "another caller");
    assert_eq!(bench.ask_as("sk-1", "gpt-4", asked, &[]).await.header("x-cache"), "miss", "another model");
    let detail = [("x-cache-detail", "1")];
    let told = bench.ask_as("sk-1", "gpt-4o", &format!("{asked} Thanks."), &detail).await;
    let detail = told.header("x-cache-detail");
    assert!(detail.contains("; rule=default; ") && detail.contains("; reason="), "{detail}");
    assert!(detail.contains("; similarity=") && detail.contains("; key="), "{detail}");
}

#[tokio::test]
async fn each_request_is_counted_by_what_became_of_it() {
    let prices = "[prices.\"gpt-4o\"]\ninput = 1000\noutput = 2000\n[coalesce]\n";
    let bench = Bench::start(&format!("{BY_THRESHOLD}{prices}")).await;
    let asked = "How do I reset the password of my account?";
    for text in [asked, asked, &format!("{asked}!"), "What is the tallest mountain of Europe?", "And then?"] {
        bench.ask(text).await;
    }
    bench.ask_as("sk-1", "other", asked, &[]).await;
    bench.ask_as("sk-1", "other", asked, &[]).await;
    bench.ask_as("sk-1", "gpt-4o", asked, &[("cache-control", "no-store")]).await;
    bench.ask_as("sk-1", "gpt-4o", asked, &[("cache-control", "no-cache")]).await;
    let absent = [("cache-control", "only-if-cached")];
    assert_eq!(bench.ask_as("sk-1", "gpt-4o", "Is it there?", &absent).await.status.as_u16(), 504);
    bench.ask_as("sk-1", "gpt-4o", asked, &[("x-cache-mode", "off")]).await;
    for (name, value) in [
        ("gateway_cache_lookups_total{outcome=\"hit\",reason=\"exact\"}", 2.0),
        ("gateway_cache_lookups_total{outcome=\"hit\",reason=\"meaning\"}", 1.0),
        ("gateway_cache_lookups_total{outcome=\"miss\",reason=\"absent\"}", 4.0),
        ("gateway_cache_lookups_total{outcome=\"miss\",reason=\"unwanted\"}", 1.0),
        ("gateway_cache_lookups_total{outcome=\"bypass\",reason=\"no-store\"}", 1.0),
        ("gateway_cache_lookups_total{outcome=\"bypass\",reason=\"off\"}", 1.0),
        ("gateway_cache_lookups_total{outcome=\"refused\",reason=\"only-if-cached\"}", 1.0),
        ("gateway_cache_requests_total{rule=\"default\",outcome=\"semantic-hit\"}", 1.0),
        ("gateway_cache_requests_total{rule=\"default\",outcome=\"refused\"}", 1.0),
        ("gateway_cache_decisions_total{reason=\"similar\"}", 1.0),
        ("gateway_cache_decisions_total{reason=\"too-short\"}", 1.0),
        ("gateway_cache_stored_total", 5.0),
        ("gateway_cache_gone_total{cause=\"replaced\"}", 1.0),
        ("gateway_cache_entries", 4.0),
        ("gateway_cache_saved_tokens_total{kind=\"input\"}", 300.0),
        ("gateway_cache_saved_tokens_total{kind=\"output\"}", 60.0),
        // Two of the three have a price: 100 tokens of a tenth of a cent, and 20 of two.
        ("gateway_cache_saved_dollars_total", 0.28),
        ("gateway_cache_saved_unknown_total{missing=\"price\"}", 1.0),
        ("gateway_coalesce_requests_total{part=\"leader\"}", 10.0),
        ("gateway_coalesce_requests_total{part=\"alone\"}", 1.0),
        ("gateway_coalesce_requests_total{part=\"follower\"}", 0.0),
    ] {
        assert_eq!(bench.figure(name).await, value, "{name} in {}", bench.tell("GET", "/metrics", "").await.1);
    }
    let cache = &bench.status().await["cache"];
    assert_eq!(
        (&cache["hits"], &cache["semantic_hits"], &cache["misses"]),
        (&json!(2), &json!(1), &json!(5)),
        "{cache}"
    );
    assert_eq!(
        (&cache["saved"]["output_tokens"], &cache["rules"]["default"]["hit"]),
        (&json!(60), &json!(2)),
        "{cache}"
    );
    assert_eq!((&cache["meaning"]["decided"]["similar"], bench.calls()), (&json!(1), 7), "{cache}");
}

const RULES: &str = "[cache]\nexplain_to = [\"ops\"]\n[cache.semantic]\npolicy = \"threshold\"\nthreshold = 0.85\nmin_principals = 1\n\
    [[cache.rules]]\nname = \"private\"\nmode = \"off\"\ntenants = [\"ops\"]\nmodels = [\"secret\"]\n\
    [[cache.rules]]\nname = \"faq\"\nmode = \"semantic\"\nmodels = [\"faq-*\"]\nshared = true\nttl = \"5m\"\n\
    [[cache.rules]]\nname = \"ops\"\nmode = \"semantic\"\ntenants = [\"ops\"]\npaths = [\"/v1/chat/*\"]\n\
    [[cache.rules]]\nname = \"exact\"\nmode = \"exact\"\nmodels = [\"gpt-4o\"]\n\
    [limits.default]\nrpm = 1000\n[[tenants]]\nname = \"ops\"\napi_key_env = \"OPS\"\n\
    [[tenants]]\nname = \"acme\"\napi_key_env = \"ACME\"\n";

const ASKED: &str = "How do I reset the password of my account?";
const LIKE: &str = "how do i reset the password of my account";

#[tokio::test]
async fn each_path_model_and_tenant_has_the_mode_of_its_first_rule() {
    let bench = Bench::start(RULES).await;
    let (ops, acme) = ("key-of-OPS", "key-of-ACME");
    for (key, model, again, like) in [
        (ops, "secret", "bypass", "bypass"),
        (ops, "gpt-4o", "hit", "semantic-hit"),
        (acme, "gpt-4o", "hit", "miss"),
        (acme, "secret", "bypass", "bypass"),
    ] {
        let first = bench.ask_as(key, model, ASKED, &[]).await;
        let expected = if again == "bypass" { "bypass" } else { "miss" };
        assert_eq!(first.header("x-cache"), expected, "{key} {model}");
        assert_eq!(bench.ask_as(key, model, ASKED, &[]).await.header("x-cache"), again, "{key} {model}");
        assert_eq!(bench.ask_as(key, model, LIKE, &[]).await.header("x-cache"), like, "{key} {model}");
    }
    let off = bench.ask_as(acme, "secret", ASKED, &[]).await;
    assert_eq!(off.header("cache-status"), "buttress-cache; fwd=bypass; detail=off");
    assert_eq!(bench.figure("gateway_cache_requests_total{rule=\"ops\",outcome=\"semantic-hit\"}").await, 1.0);
    assert_eq!(bench.figure("gateway_cache_requests_total{rule=\"private\",outcome=\"bypass\"}").await, 3.0);
}

#[tokio::test]
async fn only_a_rule_that_says_so_shares_answers_between_callers_and_for_as_long_as_it_says() {
    let bench = Bench::start(RULES).await;
    let first = bench.ask_as("key-of-OPS", "faq-1", ASKED, &[]).await;
    let other = bench.ask_as("key-of-ACME", "faq-1", LIKE, &[("x-cache-detail", "1")]).await;
    assert_eq!((first.header("x-cache"), other.header("x-cache")), ("miss", "semantic-hit"), "{other:?}");
    assert_eq!(other.header("x-cache-detail"), "", "it may not know why");
    let ttl = other.header("cache-status").split("ttl=").nth(1).and_then(|rest| rest.split(';').next()?.parse().ok());
    assert!(ttl.is_some_and(|ttl: i64| (260..=330).contains(&ttl)), "{other:?}");
    let ops = bench.ask_as("key-of-OPS", "faq-1", ASKED, &[("x-cache-detail", "1")]).await;
    assert!(ops.header("x-cache-detail").starts_with("hit; rule=faq; key="), "{ops:?}");
    assert_eq!(bench.forget(json!({"tenant": "ops"})).await.0, 204);
    assert_eq!(bench.ask_as("sk-stranger", "faq-1", ASKED, &[]).await.header("x-cache"), "hit", "it is nobody's own");
    assert_eq!(bench.forget(json!({"shared": "faq"})).await.0, 204);
    assert_eq!(bench.ask_as("sk-stranger", "faq-1", ASKED, &[]).await.header("x-cache"), "miss");
}

#[tokio::test]
async fn what_one_caller_alone_was_told_is_given_to_no_other_by_its_meaning() {
    let bench = Bench::start(&RULES.replace("min_principals = 1\n", "")).await;
    assert_eq!(bench.ask_as("key-of-OPS", "faq-1", ASKED, &[]).await.header("x-cache"), "miss");
    assert_eq!(bench.ask_as("key-of-OPS", "faq-1", LIKE, &[]).await.header("x-cache"), "semantic-hit", "its own");
    assert_eq!(bench.ask_as("key-of-ACME", "faq-1", LIKE, &[]).await.header("x-cache"), "miss");
    assert_eq!(
        bench.ask_as("sk-stranger", "faq-1", ASKED, &[]).await.header("x-cache"),
        "hit",
        "the very same question"
    );
}

#[tokio::test]
async fn a_header_makes_it_stricter_and_never_looser() {
    let bench = Bench::start(RULES).await;
    let ops = "key-of-OPS";
    bench.ask_as(ops, "gpt-4o", ASKED, &[]).await;
    for (mode, of_like) in [("exact", "miss"), ("off", "bypass"), ("what", "bypass"), ("semantic", "hit")] {
        let like = bench.ask_as(ops, "gpt-4o", LIKE, &[("x-cache-mode", mode)]).await;
        // Since "exact" has asked, it has an answer of its own.
        assert_eq!(like.header("x-cache"), of_like, "{mode}");
    }
    bench.ask_as("key-of-ACME", "gpt-4o", ASKED, &[]).await;
    let like = bench.ask_as("key-of-ACME", "gpt-4o", LIKE, &[("x-cache-mode", "semantic")]).await;
    assert_eq!(like.header("x-cache"), "miss", "its rule is exact");
    let off = bench.ask_as("key-of-ACME", "secret", ASKED, &[("x-cache-mode", "exact")]).await;
    assert_eq!(off.header("x-cache"), "bypass", "no rule keeps it");
}

#[tokio::test]
async fn an_operator_has_it_forget_by_key_tag_tenant_caller_model_and_everything() {
    let bench = Bench::start(RULES).await;
    let (ops, stranger) = ("key-of-OPS", "sk-stranger");
    let ask = async |key: &str| {
        let headers = [("x-cache-detail", "1"), ("x-cache-tags", "faq, other")];
        bench.ask_as(key, "gpt-4o", ASKED, &headers).await
    };
    let (first, _) = (ask(ops).await, ask(stranger).await);
    let key = first.header("x-cache-detail").split("key=").nth(1).and_then(|rest| rest.get(..64));
    let key = key.unwrap_or_else(|| panic!("{first:?}")).to_owned();
    for (what, of_ops, of_stranger) in [
        (json!({"key": key}), "miss", "hit"),
        (json!({"tag": "other"}), "miss", "miss"),
        (json!({"tenant": "ops"}), "miss", "hit"),
        (json!({"caller_sha256": SHA256_OF_STRANGER}), "hit", "miss"),
        (json!({"model": "gpt-4o"}), "miss", "miss"),
        (json!({"tag": "unknown"}), "hit", "hit"),
        (json!({"everything": true}), "miss", "miss"),
    ] {
        assert_eq!(bench.forget(what.clone()).await, (204, String::new()), "{what}");
        assert_eq!(
            (ask(ops).await.header("x-cache"), ask(stranger).await.header("x-cache")),
            (of_ops, of_stranger),
            "{what}"
        );
    }
    for (what, status, says) in [
        (json!({}), 400, "one of `key`, `tag`, `model`, `tenant`"),
        (json!({"everything": false}), 400, "`{\"everything\":true}`"),
        (json!({"tag": "a", "model": "b"}), 400, "one of"),
        (json!({"colour": "red"}), 400, "unknown field `colour`"),
        (json!({"key": "12"}), 400, "`key`: a key has 64 digits in hexadecimal"),
        (json!({"key": "0".repeat(64)}), 404, "no answer of this key"),
        (json!({"tenant": "nobody"}), 404, "no such tenant"),
        (json!({"caller_sha256": "xyz"}), 400, "`caller_sha256` must be the SHA-256"),
        (json!({"shared": "ops"}), 404, "no such rule that is shared"),
    ] {
        let (found, text) = bench.forget(what.clone()).await;
        assert!(found == status && text.contains(says), "{what}: {found} {text}");
    }
    let off = Bench::start("").await;
    let (status, text) = off.forget(json!({"everything": true})).await;
    assert!(status == 409 && text.contains("nothing is cached"), "{status} {text}");
    let (status, page) = off.tell("GET", "/metrics", "").await;
    assert!(status == 200 && page.contains("gateway_level_") && !page.contains("gateway_cache_"), "{status} {page}");
}

/// The SHA-256 of "sk-stranger".
const SHA256_OF_STRANGER: &str = "5f44a23cc20a77c0d04e0de49812c6f843846db766ff44c49dd245f8b5ee686b";

#[tokio::test]
async fn an_answer_that_is_bad_is_given_to_no_other_question() {
    let bench = Bench::start(BY_THRESHOLD).await;
    let first = bench.ask_as("sk-1", "gpt-4o", ASKED, &[("x-cache-detail", "1")]).await;
    assert_eq!(bench.ask(LIKE).await.header("x-cache"), "semantic-hit");
    let key = first.header("x-cache-detail").split("key=").nth(1).and_then(|rest| rest.get(..64));
    let key = key.unwrap_or_else(|| panic!("{first:?}"));
    let bad = |key: &str| json!({"key": key}).to_string();
    assert_eq!(bench.tell("POST", "/cache/bad", &bad(key)).await, (204, String::new()));
    let like = bench.ask_as("sk-1", "gpt-4o", LIKE, &[("x-cache-detail", "1")]).await;
    assert_eq!(like.header("x-cache"), "miss", "{like:?}");
    assert!(like.header("x-cache-detail").contains("reason=quarantined"), "{like:?}");
    let (status, text) = bench.tell("POST", "/cache/bad", &bad(&"0".repeat(64))).await;
    assert!(status == 404 && text.contains("no answer of this key"), "{status} {text}");
    let (status, text) = bench.tell("POST", "/cache/bad", "{}").await;
    assert!(status == 400 && text.contains("missing field `key`"), "{status} {text}");
}

/// Asks until enough was judged, right and wrong, that the policy has learned.
async fn teach(bench: &Bench) {
    *bench.provider.says.lock().expect("no test panics with it") = None;
    for number in 0..900_u32 {
        let (topic, form) = (TOPICS[number as usize % TOPICS.len()], number as usize / TOPICS.len());
        // Half of them come to the same as one before, the others to something else in nearly the same words.
        let text = match form % 4 {
            0 => format!("How do I change the {topic} of my account"),
            1 => format!("how do I change the {topic} of my account {}", "?".repeat(form / 4)),
            2 => format!("Please tell me: how do I change the {topic} of my account{}", "!".repeat(form / 4)),
            _ => format!("How do I change the {topic} of her account number {}", LETTERS[form % LETTERS.len()]),
        };
        bench.ask(&text).await;
    }
}

const TOPICS: [&str; 12] = [
    "colour",
    "password",
    "address",
    "picture",
    "language",
    "owner",
    "plan",
    "currency",
    "region",
    "signature",
    "payment",
    "limit",
];
const LETTERS: [&str; 8] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];

#[tokio::test]
async fn what_was_learned_outlives_a_restart_and_a_broken_file_is_begun_anew() {
    let path = std::env::temp_dir().join(format!("buttress-{}-learned", std::process::id()));
    drop(std::fs::remove_file(&path));
    let settings = format!(
        "[cache]\nmode = \"semantic\"\n[cache.semantic]\nmax_error_rate = 0.05\nstate_file = {:?}\n",
        path.display().to_string()
    );
    let classes = async |bench: &Bench| bench.status().await["cache"]["meaning"]["classes"].clone();
    let bench = Bench::start(&settings).await;
    assert_eq!(classes(&bench).await, json!([]));
    teach(&bench).await;
    let learned = classes(&bench).await;
    let judged = &learned[0]["learned"]["judged"];
    assert!(judged.as_u64().is_some_and(|judged| judged >= 100), "{}", bench.status().await["cache"]);
    let figure =
        async |name: &str| bench.figure(&format!("gateway_cache_{name}{{class={}}}", learned[0]["class"])).await;
    let (estimate, upper_bound) = (figure("error_estimate").await, figure("error_upper_bound").await);
    assert!(0.0 < estimate && estimate < upper_bound && upper_bound < 0.2, "{learned}");
    assert_eq!((figure("error_budget").await, figure("cut").await.is_finite()), (0.05, true));
    assert!(bench.figure("gateway_cache_decisions_total{reason=\"learned\"}").await > 10.0, "{}", bench.status().await);
    let audited = bench.figure("gateway_cache_judged_total{of=\"served\",verdict=\"right\"}").await;
    assert_eq!(audited, bench.figure("gateway_cache_audits_total").await, "each is judged");
    assert!(bench.figure("gateway_cache_judged_total{of=\"other\",verdict=\"wrong\"}").await > 50.0);
    bench.running.operator.keep().await;

    let again = Bench::start(&settings).await;
    let restored = classes(&again).await;
    assert_eq!((&restored[0]["learned"]["judged"], &restored[0]["class"]), (judged, &learned[0]["class"]));
    assert_eq!(again.status().await["cache"]["entries"], 0, "answers do not outlive it");

    let kept = std::fs::read(&path).expect("it is there");
    for broken in [&kept[..kept.len() - 1], b"nonsense", &[]] {
        std::fs::write(&path, broken).expect("it can be written");
        assert_eq!(classes(&Bench::start(&settings).await).await, json!([]), "{} bytes", broken.len());
    }
    std::fs::write(&path, &kept).expect("it can be written");
    let other = format!("{settings}judge = \"similar\"\n");
    assert_eq!(classes(&Bench::start(&other).await).await, json!([]), "another judge's experience");
    std::fs::remove_file(&path).expect("it is there");
}

#[tokio::test]
async fn an_embedder_behind_http_is_asked_with_its_key_and_one_that_fails_is_a_miss() {
    async fn embed(headers: http::HeaderMap, Json(asked): Json<Value>) -> Result<Json<Value>, http::StatusCode> {
        if headers.get("authorization").is_none_or(|key| key != "Bearer key-of-EMBED") {
            return Err(http::StatusCode::UNAUTHORIZED);
        }
        let inputs = asked["input"].as_array().expect("a list").clone();
        if inputs.iter().any(|text| text.as_str().is_some_and(|text| text.contains("mountain"))) {
            return Err(http::StatusCode::INTERNAL_SERVER_ERROR);
        }
        let data: Vec<_> =
            (0..inputs.len()).map(|at| json!({"index": at, "embedding": [1.0, 0.5, 0.25, 0.125]})).collect();
        Ok(Json(json!({"data": data})))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/v1/embeddings", listener.local_addr().expect("it is bound"));
    let mut servers = JoinSet::new();
    servers.spawn(async move { drop(axum::serve(listener, Router::new().fallback(axum::routing::post(embed))).await) });
    let settings = format!(
        "{BY_THRESHOLD}embedder = \"http\"\npatience = \"10s\"\n[cache.embedder]\nurl = \"{url}\"\nmodel = \"small\"\n\
         dimensions = 4\napi_key_env = \"EMBED\"\ntimeout = \"10s\"\n"
    );
    let bench = Bench::start(&settings).await;
    assert_eq!(bench.ask(ASKED).await.header("x-cache"), "miss");
    // To this model, everything means the same; the guards see what differs.
    assert_eq!(bench.ask("How can I reset the password of my account?").await.header("x-cache"), "semantic-hit");
    assert_eq!(bench.ask("What is the tallest mountain of Europe?").await.header("x-cache"), "miss");
    assert!(bench.figure("gateway_cache_embedder_total{event=\"failed\"}").await >= 1.0);
    assert!(bench.figure("gateway_cache_decisions_total{reason=\"not-embedded\"}").await >= 1.0);
    assert!(bench.figure("gateway_cache_embedder_total{event=\"call\"}").await >= 3.0);
}

#[tokio::test]
async fn an_embedder_that_is_down_is_asked_no_more_until_it_is_back_and_the_very_same_is_answered_meanwhile() {
    let sim = buttress_sim::Simulator::builder().target("vectors").start().await.expect("a port is free");
    let settings = format!(
        "{BY_THRESHOLD}embedder = \"http\"\npatience = \"10s\"\n[breaker]\nopen = \"100ms\"\n[cache.embedder]\n\
         url = \"{}/v1/embeddings\"\nmodel = \"small\"\ndimensions = 8\nname_dimensions = true\ntimeout = \"10s\"\n",
        sim.url()
    );
    let bench = Bench::start(&settings).await;
    let questions = |at: usize| format!("How do I change the {} of account number {at}?", TOPICS[at % TOPICS.len()]);
    bench.ask(ASKED).await;
    let answer = buttress_sim::StatusFault::new(http::StatusCode::OK);
    for fault in [
        buttress_sim::Fault::status(http::StatusCode::INTERNAL_SERVER_ERROR),
        buttress_sim::Fault::Status(answer.clone().body("hello")),
        buttress_sim::Fault::Status(answer.body(json!({"data": [{"index": 0, "embedding": [1, 2]}]}))),
    ] {
        sim.set_fault(fault);
        let refused = bench.status().await["cache"]["meaning"]["embedder"]["refused"].as_u64().expect("it is counted");
        let mut at = 0;
        let is_refused = async {
            while bench.figure("gateway_cache_embedder_total{event=\"refused\"}").await <= refused as f64 {
                assert_eq!(bench.ask(&format!("{} {refused}", questions(at))).await.header("x-cache"), "miss");
                at += 1;
            }
        };
        timeout(FAR, is_refused).await.expect("its circuit opens");
        assert_eq!(bench.ask(ASKED).await.header("x-cache"), "hit", "the very same");
        let meaning = bench.status().await["cache"]["meaning"].clone();
        assert_ne!(meaning["embedder_circuit"], "closed", "{meaning}");
        sim.heal();
        let is_back = async {
            while bench.status().await["cache"]["meaning"]["embedder_circuit"] != "closed" {
                bench.ask(&format!("{} {refused} again", questions(at))).await;
                at += 1;
            }
        };
        timeout(FAR, is_back).await.expect("it is found to be back");
        assert_eq!(bench.figure("gateway_cache_embedder_circuit{state=\"closed\"}").await, 1.0);
    }
}

#[cfg(unix)]
mod replicas {
    use buttress_testkit::RedisServer;

    use super::*;

    async fn replica(redis: &RedisServer, secret: &str) -> Bench {
        let redis = format!("redis = {{ url = \"{}\", secret_env = \"{secret}\" }}\n", redis.url());
        let mut bench = Bench::start(&BY_THRESHOLD.replacen('\n', &format!("\n{redis}"), 1)).await;
        bench.running.workers.spawn(bench.running.operator.sharing_answers().expect("answers are shared"));
        timeout(FAR, bench.running.operator.following()).await.expect("the log is read");
        bench
    }

    async fn until(bench: &Bench, holds: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !holds(&bench.status().await["cache"]) {
                yield_now().await;
            }
        };
        let waited = timeout(FAR, waiting).await;
        assert!(waited.is_ok(), "{}", bench.status().await);
    }

    fn is_written(cache: &Value) -> bool {
        cache["replicas"]["written"].as_u64() > Some(0) && cache["replicas"]["waiting"] == 0
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_one_replica_has_answered_another_one_answers_until_one_of_them_forgets_it() {
        let redis = RedisServer::start();
        let one = replica(&redis, "THE_SECRET_OF_ALL").await;
        let other = replica(&redis, "THE_SECRET_OF_ALL").await;
        let asked = "How do I reset the password of my account in Oslo?";
        assert_eq!(one.ask(asked).await.header("x-cache"), "miss");
        until(&one, is_written).await;
        assert_eq!(other.ask(asked).await.header("x-cache"), "hit", "the same question");
        until(&other, |cache| cache["replicas"]["heard"].as_u64() > Some(0)).await;
        let like = other.ask(&format!("Please tell me: {asked}")).await;
        assert_eq!(like.header("x-cache"), "semantic-hit", "{like:?}");
        assert_eq!(other.ask_as("sk-2", "gpt-4o", asked, &[]).await.header("x-cache"), "miss", "another caller");
        assert_eq!((one.calls(), other.calls()), (1, 1));
        let heard = other.status().await["cache"]["replicas"]["heard"].as_u64();
        assert_eq!(one.forget(json!({"everything": true})).await.0, 204);
        until(&one, |cache| cache["replicas"]["forgetting"] == false).await;
        until(&other, |cache| cache["replicas"]["heard"].as_u64() > heard).await;
        assert_eq!(other.ask(asked).await.header("x-cache"), "miss");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_its_redis_or_with_another_secret_a_replica_goes_on_alone() {
        let mut redis = RedisServer::start();
        let one = replica(&redis, "THE_SECRET_OF_ALL").await;
        let stranger = replica(&redis, "ANOTHER_ONES_SECRET").await;
        let asked = "How do I reset the password of my account in Rome?";
        assert_eq!(one.ask(asked).await.header("x-cache"), "miss");
        until(&one, is_written).await;
        assert_eq!(stranger.ask(asked).await.header("x-cache"), "miss", "it is sealed");
        redis.kill();
        assert_eq!(one.ask(asked).await.header("x-cache"), "hit", "it is in memory");
        assert_eq!(one.ask("And in Bergen, how is it done there?").await.header("x-cache"), "miss");
        redis.restart();
        until(&one, |cache| cache["replicas"]["redis_connected"] == true).await;
        assert_eq!(one.ask(asked).await.header("x-cache"), "hit");
    }
}
