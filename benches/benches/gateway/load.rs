//! Callers that ask again as soon as they have their answer.

use std::{
    error::Error,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

/// So many callers, each on a connection of its own, for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) asked: Asked,
    pub(crate) time: Duration,
}

/// What callers ask for, and what of it is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Answers that are not streamed, to their end.
    Whole,
    /// Streams, to their first byte.
    FirstByte,
    /// One stream that does not end, of which each event says when it was sent.
    Events,
}

/// What the callers met with.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of each request, to what was [asked](Asked) of it; or of each event, on its way.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) time: Duration,
}

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

const WORDS: &str = "Explain in two sentences what a flying buttress is, and why it let walls have windows. ";

// === impl Load ===

impl Load {
    /// Asks the server at `addr`. Any answer but 200 is an error.
    pub(crate) async fn run(self, addr: SocketAddr) -> Result<Outcome, Failure> {
        let mut connections = JoinSet::new();
        let mut callers = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            connections.spawn(connection);
            callers.push(sender);
        }
        let (begun, body) = (Instant::now(), self.body());
        let until = begun + self.time;
        let mut asking = JoinSet::new();
        for caller in callers {
            asking.spawn(self.ask(caller, addr, body.clone(), until));
        }
        let mut latencies = Vec::new();
        while let Some(asked) = asking.join_next().await {
            latencies.append(&mut asked??);
        }
        Ok(Outcome { latencies, time: Instant::now().duration_since(begun) })
    }

    async fn ask(
        self,
        mut caller: SendRequest<Full<Bytes>>,
        addr: SocketAddr,
        body: Bytes,
        until: Instant,
    ) -> Result<Vec<Duration>, Failure> {
        let (host, mut latencies) = (addr.to_string(), Vec::new());
        let mut begun = Instant::now();
        while begun < until {
            let response = caller.send_request(request(&host, body.clone())?).await?;
            if response.status() != StatusCode::OK {
                return Err(format!("the server answered {}", response.status()).into());
            }
            if self.asked == Asked::Events {
                return listen(response, until).await;
            }
            let (first, last) = drain(response).await?;
            latencies.push(if self.asked == Asked::FirstByte { first } else { last }.duration_since(begun));
            begun = Instant::now();
            caller.ready().await?;
        }
        Ok(latencies)
    }

    /// A chat of a kilobyte.
    fn body(self) -> Bytes {
        let stream = self.asked != Asked::Whole;
        let words = WORDS.repeat(10);
        let text = format!(
            r#"{{"model":"gpt-4o-mini","stream":{stream},"temperature":0.2,"messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{words}"}}]}}"#
        );
        text.into()
    }
}

fn request(host: &str, body: Bytes) -> http::Result<Request<Full<Bytes>>> {
    Request::post("/v1/chat/completions")
        .header(header::HOST, host)
        .header(header::USER_AGENT, "OpenAI/Python 1.99.9")
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, "Bearer sk-0123456789abcdef0123456789abcdef")
        .header("x-stainless-lang", "python")
        .header("x-stainless-retry-count", "0")
        .body(Full::new(body))
}

/// Reads a stream until then; returns how long each event was on its way.
async fn listen(response: Response<Incoming>, until: Instant) -> Result<Vec<Duration>, Failure> {
    let (mut body, mut latencies) = (response.into_body(), Vec::new());
    while Instant::now() < until {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.ok_or("the stream ended")??;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        // An event that came with the one before it counts as late as it came.
        let data = frame.data_ref().ok_or("a stream has no trailers")?;
        latencies
            .extend(std::str::from_utf8(data)?.split("\n\n").filter_map(sent).map(|sent| now.saturating_sub(sent)));
    }
    Ok(latencies)
}

/// When an event says that it was sent.
fn sent(event: &str) -> Option<Duration> {
    let (_, time) = event.split_once("wall ")?;
    time.split_once('"')?.0.parse().ok().map(Duration::from_nanos)
}

/// Reads an answer; returns when its first byte came, and its last.
async fn drain(response: Response<Incoming>) -> Result<(Instant, Instant), Failure> {
    let (mut body, mut first) = (response.into_body(), None);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame?;
        first.get_or_insert_with(Instant::now);
    }
    let last = Instant::now();
    Ok((first.unwrap_or(last), last))
}
