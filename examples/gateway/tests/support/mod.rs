//! A gateway in this process, in front of simulated regions on real sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::time::Duration;

use buttress_core::{Body, Client, Payload};
use buttress_sim::{Fault, Simulator};
use bytes::Bytes;
use gateway::{Config, Gateway, config::Upstream, operator::Operator, stack};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt as _;

pub const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;
pub const STREAM: &str = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
pub const CHAT_PATH: &str = "/v1/chat/completions";

/// A running gateway and the regions behind it, in the order in which they are tried.
pub struct Running {
    pub url: String,
    pub regions: Vec<Simulator>,
    client: Client<HttpConnector, Payload>,
    pub operator: Operator,
    server: JoinHandle<std::io::Result<()>>,
    /// Aborted when it is dropped.
    pub workers: JoinSet<()>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

// === impl Running ===

impl Running {
    /// Starts a gateway with `settings` (TOML, without targets) in front of regions with these names.
    pub async fn start(names: &[&str], settings: &str) -> Self {
        let mut regions = Vec::new();
        for name in names {
            regions.push(Simulator::builder().target(*name).length(5..=5).start().await.expect("a port is free"));
        }
        let mut text = format!("listen = \"127.0.0.1:0\"\n{settings}\n");
        for region in &regions {
            let (name, url) = (region.name(), region.url());
            text += &format!(
                "[[targets]]\nname = \"{name}\"\nregion = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n"
            );
        }
        Self::from_config(&Config::parse(&text, "test.toml").expect("the test's configuration is good"), regions).await
    }

    pub async fn from_config(config: &Config, regions: Vec<Simulator>) -> Self {
        let upstreams = config.upstreams(|name| Some(format!("key-of-{name}"))).expect("each key is there");
        Self::to(config, upstreams, regions).await
    }

    /// Starts a gateway in front of these targets.
    pub async fn to(config: &Config, upstreams: Vec<Upstream>, regions: Vec<Simulator>) -> Self {
        let book = config.book(|name| Some(format!("key-of-{name}"))).expect("each key is there");
        let (stack, operator) = stack::build(config, &upstreams, book).expect("the targets are good");
        let gateway = Gateway::bind(config, stack).await.expect("a port is free");
        let url = format!("http://{}", gateway.addr().expect("a bound socket has an address"));
        #[expect(clippy::disallowed_methods, reason = "aborted when the test drops it")]
        let server = tokio::spawn(gateway.serve(std::future::pending()));
        let client = Self::new_client();
        let mut workers = JoinSet::new();
        if let Some(judging) = operator.judging() {
            workers.spawn(judging);
        }
        Self { url, regions, client, operator, server, workers }
    }

    /// Looks at the targets while nobody asks them, as the command does.
    pub fn probe(&mut self) {
        self.workers.spawn(self.operator.prober().expect("it is on"));
    }

    /// A client of its own connections.
    pub fn new_client() -> Client<HttpConnector, Payload> {
        Client::new(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    /// Three regions, and timeouts that a test can wait for.
    pub async fn three() -> Self {
        let failover = "[failover]\nanswer_timeout = \"2s\"\nstream_timeout = \"2s\"";
        Self::start(&["eastus", "westeurope", "swedencentral"], failover).await
    }

    pub fn break_region(&self, region: usize, fault: Fault) {
        self.regions[region].set_fault(fault);
    }

    pub async fn send(&self, request: Request<Payload>) -> Response<Body> {
        self.client.clone().oneshot(request).await.expect("the gateway answers")
    }

    pub fn client(&self) -> Client<HttpConnector, Payload> {
        self.client.clone()
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        read(self.send(self.request(path, body)).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = Request::get(format!("{}{path}", self.url)).body(Payload::default());
        read(self.send(request.expect("a path makes a request")).await).await
    }

    pub fn request(&self, path: &str, body: impl Into<Bytes>) -> Request<Payload> {
        let request = Request::post(format!("{}{path}", self.url)).header("content-type", "application/json");
        request.body(Payload::new(body.into())).expect("a path makes a request")
    }

    /// Stops the gateway, and gives back the regions.
    pub fn take_regions(mut self) -> Vec<Simulator> {
        std::mem::take(&mut self.regions)
    }

    /// How many requests each region has seen.
    pub fn seen(&self) -> Vec<u64> {
        self.regions.iter().map(|region| region.stats().requests).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    #[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
    let collected = Limited::new(body, 1 << 20).collect().await.expect("the body comes to its end");
    Answer { status: parts.status, headers: parts.headers, body: collected.to_bytes() }
}

// === impl Answer ===

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers here are text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("answers here are text")
    }

    /// The code of an error in OpenAI's shape.
    pub fn error_code(&self) -> String {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "not OpenAI's shape: {:?}", self.body);
        error["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A bound that only a hung test reaches.
pub const FAR: Duration = Duration::from_secs(20);
