//! Holds many streams open through the gateway, and says what each costs in memory, whether memory grows while they flow, and
//! whether everything is given back when the callers leave.
//!
//! `cargo xtask soak`. Upstream, gateway and callers are processes of their own. It fails if a stream costs more than 32 KiB,
//! if memory grows by more than a twentieth between the beginning and the end, if a stream ends by itself, or if the upstream
//! is not told within five seconds that all its callers have left.

use std::{error::Error, io::Write as _, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use bench::Child;
use bytes::Bytes;
use clap::Parser;
use http::{Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// Holds many streams open through the gateway.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How many streams are open at the same time.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    /// How long they flow.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The time between two events of a stream, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    interval: u64,
    /// The gateway's binary.
    #[arg(long)]
    gateway: PathBuf,
    /// The slow upstream's binary. The one beside this one if not given.
    #[arg(long)]
    upstream: Option<PathBuf>,
}

type Failure = Box<dyn Error + Send + Sync>;

/// What one caller has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    bytes: u64,
}

const CHAT: &[u8] =
    br#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Tell me of walls."}]}"#;
/// How many streams share a connection: as many as hyper's server allows by default.
const PER_CONNECTION: usize = 200;
const MAX_BYTES_PER_STREAM: u64 = 32 * 1024;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Whichever way it ends, the children are dropped, and with that stopped.
    tokio::select! {
        result = run(Args::parse()) => result,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let binary = args
        .upstream
        .clone()
        .map_or_else(|| Ok(std::env::current_exe()?.with_file_name("slow-upstream")), Ok::<_, Failure>)?;
    let upstream = Child::start(Command::new(binary).arg(args.interval.to_string()))?;
    let gateway = start_gateway(&args.gateway, upstream.addr())?;
    // What the first requests need for good is no stream's cost.
    drop(open(gateway.addr(), 50, &watch::channel(()).1).await?);
    wait_for(upstream.addr(), 0).await?;
    let before = memory(&gateway)?;

    let (leave, stay) = watch::channel(());
    let begun = Instant::now();
    let mut callers = open(gateway.addr(), args.streams, &stay).await?;
    wait_for(upstream.addr(), args.streams).await?;
    sleep(Duration::from_millis(args.interval * 3)).await;
    let after = memory(&gateway)?;
    let each = after.saturating_sub(before) / args.streams as u64;
    println!("{} streams open after {:.1} s", args.streams, begun.elapsed_secs());
    println!("gateway: {} KiB before, {} KiB with all of them: {each} bytes for each", before / 1024, after / 1024);

    let grown = flow(&args, &gateway, &mut callers, after).await?;
    let left = Instant::now();
    drop(leave);
    let mut bytes = 0;
    while let Some(seen) = callers.join_next().await {
        bytes += seen??.bytes;
    }
    wait_for(upstream.addr(), 0).await?;
    let heard = Instant::now().duration_since(left);
    println!("{} MB passed; the upstream heard of the last caller's leaving after {heard:?}", bytes / 1_000_000);
    println!("gateway: {} KiB when all had left", memory(&gateway)? / 1024);
    check(each <= MAX_BYTES_PER_STREAM, format!("a stream costs {each} bytes, more than {MAX_BYTES_PER_STREAM}"))?;
    check(grown <= after / 20, format!("memory grew by {grown} bytes while streams flowed"))?;
    check(heard < Duration::from_secs(5), format!("the upstream heard only after {heard:?}"))
}

fn check(holds: bool, otherwise: String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Lets the streams flow, and returns by how much memory has grown from the first third to the last.
async fn flow(
    args: &Args,
    gateway: &Child,
    callers: &mut JoinSet<Result<Seen, Failure>>,
    at_first: u64,
) -> Result<u64, Failure> {
    const SAMPLES: u64 = 12;
    let mut samples = vec![at_first];
    for _ in 0..SAMPLES {
        tokio::select! {
            () = sleep(Duration::from_millis(args.seconds * 1000 / SAMPLES)) => {}
            Some(ended) = callers.join_next() => {
                ended??;
                return Err("a stream ended by itself".into());
            }
        }
        samples.push(memory(gateway)?);
        println!("  {:6} KiB", memory(gateway)? / 1024);
    }
    let third = samples.len() / 3;
    let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len().max(1) as u64;
    Ok(mean(&samples[samples.len() - third..]).saturating_sub(mean(&samples[..third])))
}

/// Opens `streams` streams, each of which is read until `stay` is dropped.
async fn open(
    addr: SocketAddr,
    streams: usize,
    stay: &watch::Receiver<()>,
) -> Result<JoinSet<Result<Seen, Failure>>, Failure> {
    let mut callers = JoinSet::new();
    let (mut left, mut connection) = (streams, None::<http2::SendRequest<Full<Bytes>>>);
    while left > 0 {
        if connection.is_none() || (streams - left).is_multiple_of(PER_CONNECTION) {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            hyper::rt::Executor::execute(&TokioExecutor::new(), async { drop(driver.await) });
            connection = Some(sender);
        }
        let mut sender = connection.clone().expect("made above");
        sender.ready().await?;
        let uri = Uri::try_from(format!("http://{addr}/v1/chat/completions"))?;
        let request = Request::post(uri).header("content-type", "application/json");
        let response = sender.send_request(request.body(Full::from(Bytes::from_static(CHAT)))?);
        callers.spawn(listen(response, stay.clone()));
        left -= 1;
    }
    Ok(callers)
}

async fn listen(
    response: impl Future<Output = hyper::Result<http::Response<Incoming>>>,
    mut stay: watch::Receiver<()>,
) -> Result<Seen, Failure> {
    let response = response.await?;
    if response.status() != StatusCode::OK {
        return Err(format!("the gateway answered {}", response.status()).into());
    }
    let (mut body, mut seen) = (response.into_body(), Seen::default());
    loop {
        tokio::select! {
            frame = body.frame() => match frame {
                Some(frame) => seen.bytes += frame?.data_ref().map_or(0, |data| data.len() as u64),
                None => return Ok(seen),
            },
            // It changes never, and is dropped when all are to leave.
            _ = stay.changed() => return Ok(seen),
        }
        if body.is_end_stream() {
            return Ok(seen);
        }
    }
}

fn start_gateway(binary: &PathBuf, upstream: SocketAddr) -> Result<Child, Failure> {
    let mut config = tempfile::Builder::new().suffix(".toml").tempfile()?;
    write!(
        config,
        "listen = \"127.0.0.1:0\"\n[[targets]]\nname = \"slow\"\nurl = \"http://{upstream}/v1\"\ndialect = \"openai\"\n"
    )?;
    // It has read the file when it says where it listens.
    Ok(Child::start(Command::new(binary).arg("--config").arg(config.path()))?)
}

/// Waits until the upstream has `streams` streams open.
async fn wait_for(upstream: SocketAddr, streams: usize) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(60);
    while open_streams(upstream).await? != streams {
        if Instant::now() > until {
            return Err(
                format!("the upstream has {} streams open, not {streams}", open_streams(upstream).await?).into()
            );
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn open_streams(upstream: SocketAddr) -> Result<usize, Failure> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    hyper::rt::Executor::execute(&TokioExecutor::new(), async { drop(driver.await) });
    let request = Request::get("/open").header("host", "upstream").body(Full::<Bytes>::default())?;
    let response = sender.send_request(request).await?;
    #[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
    let text = Limited::new(response.into_body(), 64).collect().await?.to_bytes();
    Ok(std::str::from_utf8(&text)?.parse()?)
}

fn memory(gateway: &Child) -> Result<u64, Failure> {
    gateway.memory().ok_or_else(|| "the kernel does not tell how much memory the gateway holds".into())
}

/// Seconds since a time.
trait Elapsed {
    fn elapsed_secs(self) -> f64;
}

impl Elapsed for Instant {
    fn elapsed_secs(self) -> f64 {
        Self::now().duration_since(self).as_secs_f64()
    }
}
