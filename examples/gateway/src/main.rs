//! The gateway's command line.

use std::{
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use gateway::{Config, Gateway, demo::Demo, operator::Operator, reload::Reload, stack};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

/// An LLM gateway built only from Buttress layers. Told nothing, it simulates three regions and serves them.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Reads targets and limits from this TOML file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listens here, whatever the file says. Anything but loopback is reachable by others.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Checks the configuration, and exits.
    #[arg(long)]
    check: bool,
}

type Failure = stack::BuildError;

/// Most of what a request allocates is small and gone with it, which this one is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    match &args.config {
        Some(path) => serve_targets(path, &args).await,
        None if args.check => Err("--check needs a --config to check".into()),
        None => demonstrate(&args).await,
    }
}

async fn serve_targets(path: &Path, args: &Args) -> Result<(), Failure> {
    let variable: fn(&str) -> Option<String> = |name| std::env::var(name).ok();
    let text = Config::text(path)?;
    let as_written = Config::parse(&text, &path.display().to_string())?;
    let config = args.over(as_written.clone()).keyed(variable)?;
    let upstreams = config.upstreams(variable)?;
    let (stack, operator) = stack::build(&config, &upstreams, config.book(variable)?)?;
    if args.check {
        let targets = upstreams.len();
        say(format_args!("the configuration is good: {targets} target(s), listening on {}", config.listen));
        return Ok(());
    }
    let gateway = bind(&config, stack).await?;
    let mut workers = workers(&operator);
    if let Some(keeper) = operator.keeper(config.cache.semantic.state_every) {
        workers.spawn(keeper);
    }
    let admin = admin(config.admin, operator.clone(), &mut workers).await?;
    say(format_args!("listening on http://{}", gateway.addr()?));
    if let Some(admin) = &admin {
        say(format_args!("operators: http://{admin}/status.json"));
    }
    workers.spawn(Reload::new(path, text, as_written, operator.clone(), variable).watch(Reload::EVERY));
    let served = gateway.serve(stop()).await;
    operator.hand_back().await;
    operator.keep().await;
    Ok(served?)
}

async fn demonstrate(args: &Args) -> Result<(), Failure> {
    let demo = Demo::start().await?;
    let mut config = args.over(Config::default());
    demo.adapt(&mut config);
    let (stack, operator) = stack::build(&config, &demo.upstreams(), None)?;
    let gateway = bind(&config, stack).await?;
    let mut workers = workers(&operator);
    let admin = admin(Some(SocketAddr::from(([127, 0, 0, 1], 0))), operator, &mut workers).await?;
    say(demo.guide(&format!("http://{}", gateway.addr()?)));
    if let Some(admin) = &admin {
        say(format_args!("\nWhat the gateway knows of its regions:\n  curl http://{admin}/status.json"));
    }
    Ok(gateway.serve(stop()).await?)
}

impl Args {
    fn over(&self, config: Config) -> Config {
        let mut config = config;
        config.listen = self.listen.unwrap_or(config.listen);
        config
    }
}

/// What goes on beside the serving, and ends with it: dropping the set aborts it.
fn workers(operator: &Operator) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    if let Some(prober) = operator.prober() {
        workers.spawn(prober);
    }
    if let Some(sharing) = operator.sharing() {
        workers.spawn(sharing);
    }
    if let Some(judging) = operator.judging() {
        workers.spawn(judging);
    }
    if let Some(sharing) = operator.sharing_answers() {
        workers.spawn(sharing);
    }
    workers
}

/// Serves operators at `addr`, and returns where that is.
async fn admin(
    addr: Option<SocketAddr>,
    operator: Operator,
    workers: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>, Failure> {
    let Some(addr) = addr else { return Ok(None) };
    let cannot = |error| format!("cannot listen for operators on {addr}: {error}");
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(cannot)?;
    let addr = listener.local_addr()?;
    workers.spawn(async move { drop(axum::serve(listener, operator.router()).await) });
    Ok(Some(addr))
}

/// Prints for people. A reader that has gone away, such as `head`, is no reason to stop serving.
fn say(words: impl std::fmt::Display) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{words}"));
}

async fn bind(config: &Config, stack: stack::Stack) -> Result<Gateway, Failure> {
    if !config.listen.ip().is_loopback() {
        tracing::warn!(listen = %config.listen, "the gateway is reachable from other machines, and asks nobody who they are");
    }
    Gateway::bind(config, stack).await.map_err(|error| format!("cannot listen on {}: {error}", config.listen).into())
}

/// Completes on Ctrl-C, and on SIGTERM.
async fn stop() {
    let interrupted = async { tokio::signal::ctrl_c().await.expect("the handler of Ctrl-C can be set") };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).expect("the handler of SIGTERM can be set").recv().await;
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
    tracing::info!("stopping");
}
