//! What the gateway costs beside a bare hyper reverse proxy: requests per second, latency, CPU per request, time to the first
//! byte of a stream, and how long each of its events is on the way.
//!
//! `cargo bench -p bench --bench gateway`. Upstream, bare proxy, gateway and load are processes of their own on one machine.
//! They share its cores, so requests per second are a ratio to read, not a capacity; all of them take turns, so that what
//! else the machine does meets them alike. CPU per request is what the kernel counts for the proxy's process.
//!
//! With `--instructions`, valgrind counts the instructions of each proxy instead, outside of the kernel: a figure that does not
//! depend on the machine's load.

mod instructions;
mod load;
mod report;

use std::{
    env,
    ffi::OsString,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bench::Child;
use clap::Parser;
use instructions::Counted;
use load::{Asked, Failure, Load};
use report::{Report, Tally};
use tempfile::TempPath;

/// Measures the gateway beside a bare proxy.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How long each turn takes.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How many turns each proxy has.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How many connections ask at the same time; each number is measured.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    connections: Vec<usize>,
    /// Leaves out answers that are not streamed.
    #[arg(long)]
    streams_only: bool,
    /// Counts instructions. Needs valgrind.
    #[arg(long)]
    instructions: bool,
    /// The gateway's binary. Built if not given.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Somebody to ask: the upstream, or who stands before it.
struct Contender {
    name: &'static str,
    process: Child,
    /// Whether its CPU time is of interest.
    is_proxy: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // Whichever way it ends, the children are dropped, and with that stopped.
    tokio::select! {
        result = run(Args::parse()) => result,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        () = terminated() => Err("terminated".into()),
    }
}

/// Completes when the process is told to end.
async fn terminated() {
    #[cfg(unix)]
    if let Ok(mut told) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        told.recv().await;
        return;
    }
    std::future::pending().await
}

async fn run(args: Args) -> Result<(), Failure> {
    let gateway = args.gateway.clone().map_or_else(build_gateway, Ok)?;
    if args.instructions {
        return count(&args, &gateway).await;
    }
    let contenders = start(&gateway, &mut Command::new(env!("CARGO_BIN_EXE_fixed-upstream")))?;
    for &connections in args.connections.iter().filter(|_| !args.streams_only) {
        measure(&args, &contenders, connections, Asked::Whole).await?;
    }
    measure(&args, &contenders, 1, Asked::FirstByte).await?;
    // One stream, so that its events meet none but each other.
    let contenders = start(&gateway, Command::new(env!("CARGO_BIN_EXE_slow-upstream")).arg("1"))?;
    measure(&args, &contenders, 1, Asked::Events).await
}

/// Counts the instructions of each proxy, for whole answers and for streams.
async fn count(args: &Args, gateway: &Path) -> Result<(), Failure> {
    let upstream = Child::start(&mut Command::new(env!("CARGO_BIN_EXE_fixed-upstream")))?;
    let addr = upstream.addr();
    let (one, three) = (config(&one_target(addr))?, config(&three_targets(addr))?);
    let serving = |config: &Path| [OsString::from("--config"), config.into()];
    let mut counted = [
        Counted::start("bare hyper proxy", env!("CARGO_BIN_EXE_bare-proxy"), &[addr.to_string()])?,
        Counted::start("gateway, 1 target", gateway, &serving(&one))?,
        Counted::start("gateway, 3 targets, model renamed", gateway, &serving(&three))?,
    ];
    for (what, asked) in [("whole answers", Asked::Whole), ("streams", Asked::FirstByte)] {
        println!("\n{what}, instructions outside of the kernel");
        for &connections in &args.connections {
            let load = Load { connections, asked, time: Duration::from_secs(args.seconds) };
            let mut bare = None;
            for counted in &mut counted {
                let each = counted.count(load).await?;
                let ratio = each / *bare.get_or_insert(each);
                println!("{:34} {connections:4} connection(s) {each:9.0} per request {ratio:5.2}x", counted.name());
            }
        }
    }
    Ok(())
}

fn start(gateway: &Path, upstream: &mut Command) -> Result<Vec<Contender>, Failure> {
    let upstream = Child::start(upstream)?;
    let addr = upstream.addr();
    let mut bare = Command::new(env!("CARGO_BIN_EXE_bare-proxy"));
    bare.arg(addr.to_string());
    let contender = |name, process| Contender { name, process, is_proxy: true };
    Ok(vec![
        Contender { name: "no proxy", process: upstream, is_proxy: false },
        contender("bare hyper proxy", Child::start(&mut bare)?),
        contender("gateway, 1 target", start_gateway(gateway, &one_target(addr))?),
        contender("gateway, 3 targets, model renamed", start_gateway(gateway, &three_targets(addr))?),
    ])
}

fn one_target(addr: SocketAddr) -> String {
    format!("[[targets]]\nname = \"east\"\nurl = \"http://{addr}/v1\"\ndialect = \"openai\"\n")
}

fn three_targets(addr: SocketAddr) -> String {
    let target = |region| {
        format!(
            "[[targets]]\nname = \"azure-{region}\"\nregion = \"{region}\"\nprovider = \"azure\"\n\
             url = \"http://{addr}/v1\"\ndialect = \"openai\"\nmodels = {{ gpt-4o-mini = \"gpt-4o-mini-{region}\" }}\n"
        )
    };
    ["east", "west", "north"].map(target).concat()
}

fn build_gateway() -> Result<PathBuf, Failure> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--package", "gateway"]);
    // What cargo told this bench of itself would make dependencies look changed.
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CARGO_PKG_")) {
        build.env_remove(name);
    }
    if !build.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH").status()?.success() {
        return Err("the gateway does not build".into());
    }
    // Both are built by the release profile, into one directory.
    Ok(PathBuf::from(env!("CARGO_BIN_EXE_bare-proxy")).with_file_name("gateway"))
}

fn start_gateway(binary: &Path, targets: &str) -> Result<Child, Failure> {
    // It has read the file when it says where it listens.
    Ok(Child::start(Command::new(binary).arg("--config").arg(&config(targets)?))?)
}

fn config(targets: &str) -> Result<TempPath, Failure> {
    let mut config = tempfile::Builder::new().suffix(".toml").tempfile()?;
    write!(config, "listen = \"127.0.0.1:0\"\n{targets}")?;
    Ok(config.into_temp_path())
}

async fn measure(args: &Args, contenders: &[Contender], connections: usize, asked: Asked) -> Result<(), Failure> {
    let mut tallies: Vec<_> = contenders.iter().map(|contender| Tally::new(contender.name)).collect();
    let load = |time| Load { connections, asked, time };
    for contender in contenders {
        load(Duration::from_millis(300)).run(contender.process.addr()).await?;
    }
    for _ in 0..args.rounds {
        for (contender, tally) in contenders.iter().zip(&mut tallies) {
            let before = contender.process.cpu();
            let outcome = load(Duration::from_secs(args.seconds)).run(contender.process.addr()).await?;
            let cpu = before.zip(contender.process.cpu()).map(|(before, after)| after - before);
            tally.add(outcome, cpu.filter(|_| contender.is_proxy));
        }
    }
    let what = match asked {
        Asked::Whole => "whole answers",
        Asked::FirstByte => "streams, time to the first byte",
        Asked::Events => "events of a stream, one in a millisecond, from upstream to caller (req: event)",
    };
    println!("\n{what}, {connections} connection(s), {} turns of {} s", args.rounds, args.seconds);
    println!("{}", Report(&tallies));
    Ok(())
}
