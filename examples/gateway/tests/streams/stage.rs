//! A gateway in front of simulators of one dialect.

use buttress_circuit_breaker::Key;
use buttress_core::{Body, Label, Payload};
use buttress_sim::{Builder, Fault, Simulator};
use bytes::Bytes;
use gateway::Config;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::{
    net::TcpListener,
    task::{JoinSet, yield_now},
    time::timeout,
};
use tower::ServiceExt as _;

use crate::{
    dialect::Dialect,
    support::{Answer, FAR, Running, read},
};

/// A gateway in front of simulators of one dialect, in the order in which they are tried.
pub struct Stage {
    pub running: Running,
    pub dialect: Dialect,
}

/// Limits that no test reaches, and one walk over the targets.
pub const PATIENT: &str = "[retry]\nattempts = 1\n[failover]\nstream_timeout = \"60s\"\nanswer_timeout = \"60s\"\n[streams]\nidle = \"60s\"\n";

/// What became of an answer.
#[derive(Debug)]
pub struct Told {
    pub text: String,
    /// Whether the body came to its end.
    pub whole: bool,
}

// === impl Stage ===

impl Stage {
    pub async fn two(dialect: Dialect) -> Self {
        Self::set(dialect, &["first", "second"], PATIENT, |builder| builder).await
    }

    pub async fn one(dialect: Dialect) -> Self {
        Self::set(dialect, &["first"], PATIENT, |builder| builder).await
    }

    /// Starts simulators with these names and a gateway with these `settings` (TOML).
    pub async fn set(dialect: Dialect, names: &[&str], settings: &str, shape: fn(Builder) -> Builder) -> Self {
        let mut regions = Vec::new();
        let mut text = format!("listen = \"127.0.0.1:0\"\n{settings}\n");
        for name in names {
            let region = simulator(name, shape).await;
            text += &target(name, &region.url(), dialect);
            regions.push(region);
        }
        Self { running: start(&text, regions).await, dialect }
    }

    pub fn first(&self) -> &Simulator {
        &self.running.regions[0]
    }

    pub fn break_first(&self, fault: Fault) {
        self.running.break_region(0, fault);
    }

    pub fn break_all(&self, fault: &Fault) {
        self.running.regions.iter().for_each(|region| region.set_fault(fault.clone()));
    }

    /// Asks for a stream, and reads it to its end.
    pub async fn ask(&self) -> Answer {
        timeout(FAR, async { read(self.begin(true).await).await }).await.expect("the stream comes to its end")
    }

    /// Asks for an answer that is no stream.
    pub async fn ask_whole(&self) -> Answer {
        timeout(FAR, async { read(self.begin(false).await).await }).await.expect("the answer comes to its end")
    }

    pub async fn begin(&self, stream: bool) -> Response<Body> {
        let mut request = self.running.request(self.dialect.path(stream), self.dialect.question(stream));
        request.headers_mut().extend(self.dialect.headers());
        self.running.send(request).await
    }

    /// How many calls of the target the breaker has counted, and how many of them failed.
    pub fn counted(&self, target: usize) -> (u32, u32) {
        let key = Key::new(self.name(target));
        let circuit = self.running.operator.circuits().snapshot(&key);
        circuit.map_or((0, 0), |circuit| (circuit.calls, circuit.failed))
    }

    /// Waits until nothing is under way, in the gateway or at a target.
    pub async fn rest(&self) {
        let targets = 0..self.running.regions.len();
        let busy = |target: usize| {
            let stats = self.running.regions[target].stats();
            let in_flight = self.running.operator.in_flight(&self.name(target));
            u64::from(in_flight) + stats.in_flight + stats.open_streams > 0
        };
        until(|| !targets.clone().any(busy)).await;
    }

    fn name(&self, target: usize) -> Label {
        Label::try_new(self.running.regions[target].name()).expect("the name of a simulator is a label")
    }
}

/// Waits until `condition` holds, while everything else goes on.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(FAR, wait).await.expect("it should come to hold");
}

pub fn target(name: &str, url: &str, dialect: Dialect) -> String {
    let (base, dialect) = (dialect.base(), dialect.name());
    format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}{base}\"\ndialect = \"{dialect}\"\n")
}

pub async fn start(config: &str, regions: Vec<Simulator>) -> Running {
    Running::from_config(&Config::parse(config, "test.toml").expect("the configuration is good"), regions).await
}

async fn simulator(name: &str, shape: fn(Builder) -> Builder) -> Simulator {
    let builder = Simulator::builder().target(name).length(5..=5).created(1_700_000_000);
    shape(builder).start().await.expect("a port is free")
}

/// Serves `router` on a port of its own, until the second is dropped.
pub async fn serve_all(router: axum::Router) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.expect("it serves until it is dropped") });
    (url, server)
}

/// What a target called `name` answers to its first request under `fault`, asked without a gateway.
pub async fn twin(dialect: Dialect, name: &str, fault: impl Into<Option<Fault>>, stream: bool) -> Answer {
    let twin = simulator(name, |builder| builder).await;
    twin.set_fault(fault);
    let client = Running::new_client();
    let mut request = Request::post(format!("{}{}", twin.url(), dialect.target_path(stream)))
        .header("content-type", "application/json")
        .body(Payload::new(dialect.question(stream).into()))
        .expect("a path makes a request");
    request.headers_mut().extend(dialect.headers());
    let response = client.oneshot(request).await.expect("the simulator answers");
    timeout(FAR, read(response)).await.expect("its answer comes to its end")
}

/// Reads a body as far as it goes.
pub async fn told(response: Response<Body>) -> Told {
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    let whole = loop {
        match timeout(FAR, body.frame()).await.expect("the body comes to an end") {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new())),
        }
    };
    Told { text: String::from_utf8(bytes).expect("streams are text"), whole }
}
