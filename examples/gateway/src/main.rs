//! The gateway's command line.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use gateway::{Config, Gateway, demo::Demo, operator::Operator, stack};
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
    let mut config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if args.config.is_some() {
        let upstreams = config.upstreams(|name| std::env::var(name).ok())?;
        let targets = upstreams.len();
        let (stack, operator) = stack::build(&config, upstreams)?;
        if args.check {
            say(format_args!("the configuration is good: {targets} target(s), listening on {}", config.listen));
            return Ok(());
        }
        let gateway = bind(&config, stack).await?;
        let admin = admin(config.admin, operator).await?;
        say(format_args!("listening on http://{}", gateway.addr()?));
        if let Some(admin) = &admin {
            say(format_args!("operators: http://{}/status.json", admin.addr));
        }
        return Ok(gateway.serve(stop()).await?);
    }
    if args.check {
        return Err("--check needs a --config to check".into());
    }
    let demo = Demo::start().await?;
    demo.adapt(&mut config);
    let (stack, operator) = stack::build(&config, demo.upstreams())?;
    let gateway = bind(&config, stack).await?;
    let admin = admin(Some(SocketAddr::from(([127, 0, 0, 1], 0))), operator).await?;
    say(demo.guide(&format!("http://{}", gateway.addr()?)));
    if let Some(admin) = &admin {
        say(format_args!("\nWhat the gateway knows of its regions:\n  curl http://{}/status.json", admin.addr));
    }
    Ok(gateway.serve(stop()).await?)
}

/// The server of operators, which ends with this.
struct Admin {
    addr: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn admin(addr: Option<SocketAddr>, operator: Operator) -> Result<Option<Admin>, Failure> {
    let Some(addr) = addr else { return Ok(None) };
    let cannot = |error| format!("cannot listen for operators on {addr}: {error}");
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(cannot)?;
    let addr = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "aborted when the handle is dropped, at the end of the program")]
    let serving = tokio::spawn(async move { drop(axum::serve(listener, operator.router()).await) });
    Ok(Some(Admin { addr, serving }))
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
