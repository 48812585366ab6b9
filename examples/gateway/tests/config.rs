//! What a configuration may hold, and what is said when it may not.

use std::time::Duration;

use gateway::{Config, stack};

const TARGET: &str = "[[targets]]\nname = \"east\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n";

fn error(text: &str) -> String {
    Config::parse(text, "gateway.toml").expect_err("the text has a fault").to_string()
}

#[test]
fn a_small_file_is_enough() {
    let config = Config::parse(TARGET, "gateway.toml").unwrap();
    assert!(config.listen.ip().is_loopback());
    assert_eq!(config.failover.attempts.get(), 5);
    let upstreams = config.upstreams(|_| None).unwrap();
    assert_eq!(upstreams[0].target.name().as_str(), "east");
    assert!(stack::build(&config, &upstreams, None).is_ok());
}

const EVERY_KEY: &str = r#"
    listen = "127.0.0.1:9090"
    max_body_bytes = 1000
    deadline = "2m"
    shutdown_grace = "5s"
    [retry]
    attempts = 2
    max_hint = "10s"
    budget_percent = 10
    budget_min = 1
    [failover]
    attempts = 4
    stream_timeout = "250ms"
    answer_timeout = "90s"
    seed = 7
    [failover.hedge]
    percentile = 90
    extra_percent = 5
    samples = 50
    no_sooner = "10ms"
    [probes]
    every = "30s"
    timeout = "2s"
    down_after = 2
    up_after = 1
    [cache]
    mode = "exact"
    ttl = "10m"
    stale_if_error = "1h"
    max_bytes = 1_000_000
    max_entries = 1_000
    max_entry_bytes = 10_000
    max_caller_bytes = 100_000
    sampled = true
    tools = true
    media = true
    personal = true
    stale_while_revalidate = "1m"
    explain_to = ["acme"]
    [[cache.rules]]
    name = "faq"
    mode = "semantic"
    models = ["gpt-4o*"]
    paths = ["/v1/chat/completions"]
    tenants = ["acme"]
    ttl = "1m"
    stale_while_revalidate = "2m"
    stale_if_error = "3m"
    shared = true
    [cache.semantic]
    policy = "error-bound"
    max_error_rate = 0.02
    audits = 0.1
    embedder = "http"
    judge = "similar"
    judge_similarity = 0.95
    patience = "100ms"
    min_words = 2
    min_principals = 3
    max_bytes = 1_000_000
    max_entries = 1_000
    state_file = "buttress-learned-by-no-test"
    state_every = "10s"
    [cache.embedder]
    url = "http://127.0.0.1:9/v1/embeddings"
    model = "small"
    dimensions = 512
    name_dimensions = true
    api_key_env = "EMBED_KEY"
    auth = "api-key"
    version = "2"
    timeout = "80ms"
    call_timeout = "2s"
    batch = 16
    [coalesce]
    max_bytes = 65_536
    [limits]
    caller = "header:x-tenant"
    strangers = "each"
    max_callers = 1000
    assumed_output = 500
    announce = false
    wait = "2s"
    default = { rpm = 10 }
    [limits.tiers.gold]
    rpm = 600
    tpm = 100_000
    dollars_per_day = 10
    dollars_per_month = 99.5
    [[tenants]]
    name = "acme"
    tier = "gold"
    [prices]
    "gpt-4o*" = { input = 2.5, cached_input = 1.25, output = 10 }
    [[targets]]
    name = "azure-east"
    url = "https://name.openai.azure.com"
    dialect = "azure"
    region = "eastus"
    provider = "azure"
    failure_domain = "eastus"
    probe = "/healthz"
    api_key_env = "AZURE_KEY"
    auth = "bearer"
    api_version = "2024-10-21"
    models = { "gpt-4o" = "my-deployment" }
"#;

#[tokio::test]
async fn every_key_can_be_set() {
    let config = Config::parse(EVERY_KEY, "gateway.toml").unwrap();
    let missing = config.clone().keyed(|_| None).unwrap_err().to_string();
    assert!(
        missing.starts_with("environment: cache.embedder.api_key_env: the environment variable `EMBED_KEY` is not set")
    );
    let config = config.keyed(|_| Some("s3cret".to_owned())).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"), "a key is not printed");
    assert_eq!(config.failover.stream_timeout, Duration::from_millis(250));
    let upstreams = config.upstreams(|name| (name == "AZURE_KEY").then(|| "s3cret".to_owned())).unwrap();
    assert_eq!(upstreams[0].target.region().unwrap().as_str(), "eastus");
    assert_eq!(upstreams[0].endpoints[0].model_name("gpt-4o"), "my-deployment");
    let book = config.book(|_| None).expect("no key is needed");
    assert!(book.is_some() && stack::build(&config, &upstreams, book).is_ok());
    assert!(!format!("{upstreams:?}").contains("s3cret"), "a key is not printed");
}

const MESSAGES: &str = "[[targets.endpoints]]\nurl = \"http://127.0.0.1:9\"\ndialect = \"anthropic\"\n";

#[test]
fn a_target_may_have_an_address_for_each_dialect() {
    let gemini = "[[targets.endpoints]]\nurl = \"http://127.0.0.1:9/v1beta\"\ndialect = \"gemini\"\n\
                  api_key_env = \"GOOGLE_KEY\"\nmodels = { a = \"b\" }\n";
    let text = format!("{TARGET}api_key_env = \"OPENAI_KEY\"\n{MESSAGES}{gemini}{}", TARGET.replace("east", "west"));
    let config = Config::parse(&text, "gateway.toml").unwrap();
    let upstreams = config.upstreams(|name| Some(format!("s3cret-{name}"))).unwrap();
    let endpoints = &upstreams[0].endpoints;
    let spoken = endpoints.iter().map(|endpoint| endpoint.dialect().as_str()).collect::<Vec<_>>();
    assert_eq!(spoken, ["openai", "anthropic", "gemini"]);
    assert_eq!((endpoints[0].model_name("a"), endpoints[2].model_name("a")), ("a", "b"));
    let keys = endpoints.iter().map(|endpoint| endpoint.probe().headers().clone());
    let shown = keys.map(|keys| (keys.contains_key("authorization"), keys.contains_key("x-goog-api-key")));
    assert_eq!(shown.collect::<Vec<_>>(), [(true, false), (false, false), (false, true)], "none takes another's key");
    assert_eq!(upstreams[1].endpoints.len(), 1);

    let missing = config.upstreams(|name| (name == "OPENAI_KEY").then(|| "s3cret".to_owned())).unwrap_err();
    let says = "environment: targets[0].endpoints[1].api_key_env: the environment variable `GOOGLE_KEY` is not set";
    assert_eq!(missing.to_string(), says);
}

#[test]
fn a_target_may_have_several_keys_by_name() {
    let keys = |at: &str, names: [&str; 2]| {
        let key = |name: &str| {
            format!("[[{at}.credentials]]\nname = \"{name}\"\napi_key_env = \"{}\"\n", name.to_uppercase())
        };
        names.map(key).concat()
    };
    let text = format!(
        "{TARGET}limits_by_credential = true\n{}{MESSAGES}{}",
        keys("targets", ["one", "two"]),
        keys("targets.endpoints", ["two", "one"]),
    );
    let config = Config::parse(&text, "gateway.toml").unwrap();
    let upstreams = config.upstreams(|name| Some(format!("s3cret-{name}"))).unwrap();
    let names = upstreams[0].target.credentials().iter().map(buttress_core::Label::as_str).collect::<Vec<_>>();
    assert!(names == ["one", "two"] && upstreams[0].target.has_limits_by_credential());
    assert!(stack::build(&config, &upstreams, None).is_ok() && !format!("{upstreams:?}").contains("s3cret"));
    let mut lookups = 0..;
    let last = std::cell::RefCell::new(&mut lookups);
    let missing = config.upstreams(|name| (last.borrow_mut().next() < Some(3)).then(|| name.to_owned())).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "environment: targets[0].endpoints[0].credentials[1].api_key_env: the environment variable `ONE` is not set"
    );

    let one = |lines: &str| format!("{TARGET}[[targets.credentials]]\n{lines}\n");
    let good = "name = \"one\"\napi_key_env = \"ONE\"";
    for (text, expected) in [
        (one("name = \"one\""), &["gateway.toml:5:1: targets[0].credentials[0]: missing field `api_key_env`"][..]),
        (one("api_key_env = \"ONE\""), &["targets[0].credentials[0]: missing field `name`"]),
        (
            one(&format!("{good}\nauth = \"bearer\"")),
            &["targets[0].credentials[0]", "`auth`, expected `name` or `api_key_env`"],
        ),
        (
            one(&good.replace("\"one\"", "\"o ne\"")),
            &["targets[0].credentials[0]: `name`: a name must be visible ASCII"],
        ),
        (
            one(&good.replace("\"ONE\"", "\"sk-s3cret\"")),
            &["`api_key_env`: must be the name of an environment variable"],
        ),
        (
            one(good).replace("[[", "api_key_env = \"ONE\"\n[[").replacen("api_key_env = \"ONE\"\n", "", 1),
            &["targets[0]: either `api_key_env` or `credentials` may be given, not both"],
        ),
        (
            format!("{}{}", one(good), &one(good)[TARGET.len()..]),
            &["targets[0]: `credentials`: `one` is the name of two"],
        ),
        (
            format!("{}{}", one(good), &one(good)[TARGET.len()..].replace("\"one\"", "\"two\"")),
            &["targets[0]: `credentials`: `ONE` is the variable of two, so drop one"],
        ),
        (format!("{TARGET}limits_by_credential = true\n"), &["targets[0]: `limits_by_credential` needs `credentials`"]),
        (
            format!("{}{MESSAGES}", one(good)),
            &["targets[0]: `endpoints`: each must have `credentials` by the names of those of the target: `one`"],
        ),
        (
            format!("{TARGET}{MESSAGES}{}", keys("targets.endpoints", ["one", "two"])),
            &["targets[0]: `endpoints`: `credentials` are only for a target that has some itself, by the same names"],
        ),
    ] {
        let error = error(&text);
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in {error:?}, of {text:?}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_fault_is_told_with_file_line_key_and_what_is_allowed() {
    let with = |line: &str| format!("{TARGET}{line}\n");
    for (text, expected) in [
        ("listen = 7", &["gateway.toml:1:10: listen: ", "socket address"][..]),
        ("listen = \"nowhere\"", &["gateway.toml:1:10: listen: ", "socket address"]),
        ("\ndeadlin = \"1s\"", &["gateway.toml:2:1: ", "deadlin", "expected one of", "`deadline`"]),
        ("deadline = \"soon\"", &["gateway.toml:1:12: deadline: `soon` is not a time, write it as `250ms`"]),
        ("deadline = \"0s\"", &["deadline: `0s` is too short"]),
        ("[retry]\nattempts = 0", &["gateway.toml:2:12: retry.attempts: ", "nonzero"]),
        ("[failover]\nattempts = -1", &["gateway.toml:2:12: failover.attempts: "]),
        ("max_body_bytes = 1.5", &["gateway.toml:1:18: max_body_bytes: ", "usize"]),
        ("listen = [", &["gateway.toml:1:"]),
        (&format!("admin = \"0.0.0.0:9090\"\n{TARGET}"), &["admin: `0.0.0.0:9090` must be an address of loopback"]),
        (&format!("[breaker]\nfailure_percent = 0\n{TARGET}"), &["breaker: ", "failure_rate"]),
        ("", &["gateway.toml: targets: at least one [[targets]] table is needed"]),
        (
            "[failover.hedge]\npercentile = 30",
            &[
                "gateway.toml:2:14: failover.hedge.percentile: `30` is out of range, allowed are whole numbers from 50 to 99",
            ],
        ),
        (
            "[failover.hedge]\nextra_percent = 0",
            &["failover.hedge.extra_percent: `0` is out of range", "from 1 to 100"],
        ),
        ("[cache]\nmode = \"fuzzy\"", &["gateway.toml:2:8: cache.mode: ", "`fuzzy`", "`exact`, `semantic`"]),
        ("[cache]\nttl = \"0s\"", &["gateway.toml:2:7: cache.ttl: `0s` is too short"]),
        ("[cache]\nmax_bytes = 0", &["gateway.toml:2:13: cache.max_bytes: ", "nonzero"]),
        (
            &format!("[cache]\nmax_caller_bytes = 1000\n{TARGET}"),
            &["cache.max_entry_bytes: `1048576` is more than is kept of all answers, or for one caller, `1000`"],
        ),
        ("[coalesce]\nenabled = true", &["gateway.toml:2:1: coalesce", "enabled", "expected `max_bytes`"]),
        ("[probes]\nevery = \"never\"", &["gateway.toml:2:9: probes.every: `never` is not a time", "or `off`"]),
        ("[probes]\nevery = \"1ms\"", &["probes.every: `1ms` is too short, `100ms` is the least"]),
        (&with("probe = \"healthz\""), &["targets[0].probe: `healthz` is neither `off` nor a path such as `/healthz`"]),
        (&with("dialect2 = 1"), &["gateway.toml:5:1: targets[0]", "dialect2", "expected one of"]),
        (&with(TARGET), &["gateway.toml:5:1: targets[1].name: `east` is the name of another target"]),
        (&TARGET.replace("\"openai\"", "\"opnai\""), &["gateway.toml:4:11: targets[0].dialect: ", "`azure-v1`"]),
        (&TARGET.replace("http:", "ftp:"), &["targets[0]", "`url` must begin with https://"]),
        (
            &with(&MESSAGES.replace("url", "uri")),
            &["gateway.toml:6:1: targets[0].endpoints[0]", "uri", "expected one of"],
        ),
        (&with(&MESSAGES.replace("9\"", "9/v1\"")), &["targets[0].endpoints[0]", "`url` must end before /v1"]),
        (
            &with("[[targets.endpoints]]\ndialect = \"gemini\""),
            &["gateway.toml:5:1: targets[0].endpoints[0]: `url` and `dialect` must be given"],
        ),
        (
            &with(&format!("{MESSAGES}{MESSAGES}")),
            &["targets[0]: `endpoints`: what `anthropic` serves is asked for at the address for `anthropic` before it"],
        ),
        (
            &with("[[targets.endpoints]]\nurl = \"http://127.0.0.1:9\"\ndialect = \"azure\""),
            &[
                "targets[0]: `endpoints`: what `azure` serves is asked for at the address for `openai` before it, so drop one",
            ],
        ),
        (&TARGET.replace("\"east\"", "\"ea st\""), &["targets[0]", "`name`: a name must be visible ASCII"]),
        (
            &TARGET.replace("dialect = \"openai\"\n", ""),
            &["gateway.toml:1:1: targets[0]", "`url` and `dialect` must be given, or `provider` be one of `openai`"],
        ),
    ] {
        let error = error(text);
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in {error:?}, of {text:?}");
        }
    }
}

#[test]
fn a_fault_of_limits_is_told_with_what_is_allowed() {
    const DEFAULT: &str = "[limits.default]\nrpm = 1\n";
    const PRICE: &str = "[prices.m]\ninput = 1\noutput = 1\n";
    let tenant = |lines: &str| format!("{DEFAULT}[[tenants]]\nname = \"a\"\n{lines}\n");
    let by_header = |lines: &str| format!("[limits]\ncaller = \"header:x-tenant\"\n{}", tenant(lines));
    for (text, expected) in [
        ("[limits]\n".to_owned(), &["limits.default: at least one of `rpm`, `tpm`, `dollars_per_day`"][..]),
        (format!("{DEFAULT}[limits.tiers.gold]\n"), &["limits.tiers.gold: at least one of `rpm`"]),
        (format!("{DEFAULT}[limits.tiers.default]\nrpm = 1\n"), &["limits.tiers.default: `default` is the name of"]),
        ("[limits.default]\nrpm = 0\n".to_owned(), &["gateway.toml:2:7: limits.default.rpm: ", "nonzero"]),
        ("[limits.default]\nqps = 1\n".to_owned(), &["gateway.toml:2:1: limits.default", "qps", "`dollars_per_month`"]),
        (
            format!("[limits.default]\ndollars_per_day = 0\n{PRICE}"),
            &["limits.default.dollars_per_day: `0` must be dollars, more than 0 and at most 1000000000"],
        ),
        ("[limits.default]\ndollars_per_day = 1\n".to_owned(), &["limits.default: dollars need [prices]"]),
        (format!("[limits]\ncaller = \"cookie\"\n{DEFAULT}"), &["limits.caller: `cookie` is neither `api-key` nor"]),
        (format!("[limits]\nstrangers = \"no\"\n{DEFAULT}"), &["limits.strangers: ", "`each`", "`together`"]),
        ("[[tenants]]\nname = \"a\"\n".to_owned(), &["gateway.toml:1:1: tenants: tenants need a [limits] table"]),
        (tenant(""), &["gateway.toml:3:1: tenants[0]: `api_key_env` or `api_key_sha256` must be given"]),
        (tenant("api_key_env = \"sk-s3cret\""), &["tenants[0]", "`api_key_env`: must be the name of an environment"]),
        (tenant("api_key_sha256 = [\"s3cret\"]"), &["tenants[0]", "64 digits in hexadecimal each"]),
        (by_header("api_key_env = \"A\""), &["tenants[0]: ", "mean nothing where callers are told apart by a header"]),
        (by_header("tier = \"gold\""), &["tenants[0].tier: `gold` is no tier, allowed are `default`"]),
        (by_header("[[tenants]]\nname = \"a\""), &["tenants[1].name: `a` is the name of another tenant"]),
        (by_header("").replace("\"a\"", "\"a b\""), &["tenants[0]", "`name`: a name must be visible ASCII"]),
        (PRICE.replace("input = 1", "input = -1"), &["prices.m", "`input`: `-1` must be dollars for a million tokens"]),
        (PRICE.replace("input = 1\n", ""), &["prices.m", "missing field `input`"]),
    ] {
        let error = error(&format!("{text}{TARGET}"));
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in {error:?}, of {text:?}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_key_of_two_tenants_is_refused_and_not_repeated() {
    let tenant = |name: &str| format!("[[tenants]]\nname = \"{name}\"\napi_key_env = \"{name}_KEY\"\n");
    let text = format!("[limits.default]\nrpm = 1\n{}{}{TARGET}", tenant("A"), tenant("B"));
    let config = Config::parse(&text, "gateway.toml").unwrap();
    let twice = config.book(|_| Some("s3cret".to_owned())).unwrap_err().to_string();
    assert_eq!(twice, "environment: tenants[1]: a key of this tenant is a key of another one too");
    let missing = config.book(|name| (name == "A_KEY").then(|| "s3cret".to_owned())).unwrap_err().to_string();
    assert_eq!(missing, "environment: tenants[1].api_key_env: the environment variable `B_KEY` is not set");
    assert!(!format!("{:?}", config.book(|name| Some(name.to_owned()))).contains("A_KEY"));
}

#[test]
fn a_key_in_the_place_of_a_variable_is_refused_and_not_repeated() {
    let error = error(&format!("{TARGET}api_key_env = \"sk-proj-verysecret\"\n"));
    assert!(error.contains("`api_key_env`: must be the name of an environment variable"), "{error}");
    assert!(!error.contains("verysecret"), "{error}");
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let config = Config::parse(&format!("{TARGET}api_key_env = \"OPENAI_KEY\"\n"), "gateway.toml").unwrap();
    let missing = config.upstreams(|_| None).unwrap_err().to_string();
    assert_eq!(missing, "environment: targets[0].api_key_env: the environment variable `OPENAI_KEY` is not set");
    let broken = config.upstreams(|_| Some("line\nbreak-s3cret".to_owned())).unwrap_err().to_string();
    assert!(broken.contains("`OPENAI_KEY`") && !broken.contains("s3cret"), "{broken}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read("/no/such/file.toml".as_ref()).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/file.toml: "), "{error}");
}

#[test]
fn a_fault_in_the_cache_is_told_with_its_key_and_what_is_allowed() {
    let rule = "[[cache.rules]]\nname = \"a\"\nmode = \"exact\"\n";
    for (text, says) in [
        (
            "[cache]\nmode = \"fuzzy\"\n",
            "gateway.toml:2:8: cache.mode: unknown variant `fuzzy`, expected one of `off`, `exact`, `semantic`",
        ),
        ("[cache]\nttl = \"soon\"\n", "cache.ttl: `soon` is not a time"),
        ("[cache]\nexplain_to = [\"nobody\"]\n", "cache.explain_to: `nobody` is no tenant"),
        ("[[cache.rules]]\nmode = \"exact\"\n", "cache.rules[0]: missing field `name`"),
        ("[[cache.rules]]\nname = \"a\"\n", "cache.rules[0]: missing field `mode`"),
        (
            "[[cache.rules]]\nname = \"default\"\nmode = \"exact\"\n",
            "cache.rules[0].name: `default` is the name of another",
        ),
        (&format!("{rule}{rule}"), "cache.rules[1].name: `a` is the name of another rule"),
        (&format!("{rule}models = [\"a*b\"]\n"), "cache.rules[0].models[0]: `a*b` is neither a name nor the beginning"),
        (&format!("{rule}tenants = [\"acme\"]\n"), "cache.rules[0].tenants: `acme` is no tenant"),
        (&format!("{rule}ttl = \"0s\"\n"), "cache.rules[0].ttl: `0s` is too short"),
        ("[[cache.rules]]\nname = \"a\"\nmode = \"off\"\nshared = true\n", "cache.rules[0].mode: `off` keeps nothing"),
        (
            "[cache.semantic]\npolicy = \"best\"\n",
            "cache.semantic.policy: unknown variant `best`, expected one of `threshold`, `error-bound`",
        ),
        (
            "[cache.semantic]\nthreshold = 0.9\n",
            "cache.semantic.threshold: means nothing without policy = \"threshold\"",
        ),
        (
            "[cache.semantic]\npolicy = \"threshold\"\nthreshold = 0.5\n",
            "cache.semantic.threshold: `0.5` is out of range, allowed is what is from 0.8 to 1",
        ),
        ("[cache.semantic]\nmax_error_rate = nan\n", "cache.semantic.max_error_rate: `NaN` is out of range"),
        ("[cache.semantic]\naudits = 0\n", "cache.semantic.audits"),
        (
            "[cache.semantic]\njudge_similarity = 0.9\n",
            "cache.semantic.judge_similarity: means nothing without judge = \"similar\"",
        ),
        ("[cache.semantic]\nmax_entries = 0\n", "cache.semantic.max_entries"),
        (
            "[cache.semantic]\npolicy = \"threshold\"\nstate_file = \"x\"\n",
            "cache.semantic.state_file: means nothing with",
        ),
        ("[cache.semantic]\nstate_file = \"/\"\n", "cache.semantic.state_file: `/` is no name of a file"),
        (
            "[cache.semantic]\nembedder = \"word2vec\"\n",
            "cache.semantic.embedder: unknown variant `word2vec`, expected one of `lexical`, `minilm`, `http`",
        ),
        ("[cache.embedder]\nmodel = \"x\"\n", "cache.embedder: means nothing with embedder = \"lexical\""),
        ("[cache.semantic]\nembedder = \"http\"\n", "cache.embedder.url: must be given for embedder = \"http\""),
        (&http("model = \"m\"\n"), "cache.embedder.dimensions: must be given"),
        (
            &http("model = \"m\"\ndimensions = 99999\n"),
            "cache.embedder.dimensions: `99999` is out of range, allowed is 1 to 16384",
        ),
        (
            &http("model = \"m\"\ndimensions = 3\napi_key_env = \"sk-proj-1\"\n"),
            "cache.embedder.api_key_env: `api_key_env`: must be the name of an environment variable",
        ),
        (&http("directory = \"x\"\n"), "cache.embedder.directory: means nothing with embedder = \"http\""),
        (&http("").replace("http://h/e", "h"), "cache.embedder.model: must be given"),
        (
            &http("model = \"m\"\ndimensions = 3\n").replace("http://h/e", "http://u:p@h/e"),
            "cache.embedder.url: must be an address with its path and no user",
        ),
    ] {
        let error = error(&format!("{text}{TARGET}"));
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("sk-proj-1"), "{error}");
    }
}

#[test]
fn a_fault_in_where_questions_are_searched_for_is_told_with_its_key_and_what_is_allowed() {
    for (cache, says) in [
        (
            "[cache.semantic]\nsearch = \"local\"\n",
            "cache.semantic.search: unknown variant `local`, expected `memory` or `redis`",
        ),
        (
            "[cache.semantic]\nsearch = \"redis\"\n",
            "cache.semantic.search: `redis` means nothing without `cache.redis`, allowed is `memory`",
        ),
        (
            "[cache]\nmode = \"semantic\"\nredis = { url = \"redis://localhost\", secret_env = \"SECRET\" }\n\
             [cache.semantic]\nsearch = \"redis\"\n",
            "cache.semantic.search: `redis` cannot be with `cache.redis.secret_env`",
        ),
        (
            "[cache.semantic]\nmax_shared_entries = 5\n",
            "cache.semantic.max_shared_entries: means nothing without search = \"redis\"",
        ),
    ] {
        let error = error(&format!("{cache}{TARGET}"));
        assert!(error.contains(says), "{cache}: {error}");
    }
}

#[test]
fn a_fault_in_what_is_said_of_the_judge_is_told_with_its_key_and_what_is_allowed() {
    for (cache, says) in [
        (
            "[cache.semantic]\ncomparisons = 4\n",
            "cache.semantic.comparisons: `4` is out of range, allowed is what is from 0.05 to 3",
        ),
        (
            "[cache.semantic]\npolicy = \"threshold\"\ncomparisons = 1\n",
            "cache.semantic.comparisons: means nothing without policy = \"error-bound\"",
        ),
        ("[cache.judge]\nmodel = \"m\"\n", "cache.judge: means nothing without judge = \"model\" in [cache.semantic]"),
        ("[cache.semantic]\njudge = \"model\"\n", "cache.judge.model: must be given for judge = \"model\""),
        (&judged("model = \"\"\n"), "cache.judge.model: `` is no name of a model, allowed is one that is not empty"),
        (
            &judged("model = \"m\"\ntimeout = \"1m\"\n"),
            "cache.judge.timeout: `1m` is out of range, allowed is what is not longer than 15s",
        ),
        (
            &judged("model = \"m\"\nat_once = 0\n"),
            "cache.judge.at_once: `0` is out of range, allowed are whole numbers from 1 to 16",
        ),
        (
            &judged("model = \"m\"\ntarget = \"nobody\"\n"),
            "cache.judge.target: `nobody` is no target, allowed are names of [[targets]]",
        ),
        (&judged("model = \"m\"\ntier = \"gold\"\n"), "cache.judge.tier: means nothing without a [limits] table"),
        (
            &judged("model = \"m\"\ntier = \"gold\"\n[limits]\ndefault = { rpm = 1 }\n"),
            "cache.judge.tier: `gold` is no tier, allowed are `default`",
        ),
    ] {
        let error = error(&format!("{cache}{TARGET}"));
        assert!(error.contains(says), "{error}");
    }
}

fn judged(more: &str) -> String {
    format!("[cache.semantic]\njudge = \"model\"\n[cache.judge]\n{more}")
}

fn http(more: &str) -> String {
    format!("[cache.semantic]\nembedder = \"http\"\n[cache.embedder]\nurl = \"http://h/e\"\n{more}")
}

#[test]
fn a_model_in_this_process_needs_its_directory_and_a_build_that_has_it() {
    let text =
        |more: &str| format!("[cache]\nmode = \"semantic\"\n[cache.semantic]\nembedder = \"minilm\"\n{more}{TARGET}");
    if cfg!(feature = "minilm") {
        assert!(error(&text("")).contains("cache.embedder.directory: must be given for embedder = \"minilm\""));
        let config = Config::parse(&text("[cache.embedder]\ndirectory = \"/nowhere\"\n"), "gateway.toml").unwrap();
        let error = stack::build(&config, &config.upstreams(|_| None).unwrap(), None).unwrap_err().to_string();
        assert!(error.starts_with("configuration: cache.embedder.directory: `/nowhere`: config.json"), "{error}");
    } else {
        let says = "cache.semantic.embedder: `minilm` is not in this build: build the gateway with `--features minilm`";
        assert!(error(&text("")).contains(says));
    }
}

#[test]
fn what_is_learned_needs_a_directory_to_be_kept_in() {
    let settings = "[cache]\nmode = \"semantic\"\n[cache.semantic]\nstate_file = \"/nowhere/learned\"\n";
    let config = Config::parse(&format!("{settings}{TARGET}"), "gateway.toml").unwrap();
    let error = stack::build(&config, &config.upstreams(|_| None).unwrap(), None).unwrap_err().to_string();
    assert_eq!(error, "configuration: cache.semantic.state_file: there is no directory `/nowhere`");
}
