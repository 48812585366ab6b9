//! The gateway's command line.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use gateway::{Config, Gateway, demo::Demo, stack};
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

type Failure = Box<dyn std::error::Error>;

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
        let stack = stack::build(&config, upstreams)?;
        if args.check {
            say(format_args!("the configuration is good: {targets} target(s), listening on {}", config.listen));
            return Ok(());
        }
        let gateway = bind(&config, stack).await?;
        say(format_args!("listening on http://{}", gateway.addr()?));
        return Ok(gateway.serve(stop()).await?);
    }
    if args.check {
        return Err("--check needs a --config to check".into());
    }
    let demo = Demo::start().await?;
    demo.adapt(&mut config);
    let gateway = bind(&config, stack::build(&config, demo.upstreams())?).await?;
    say(demo.guide(&format!("http://{}", gateway.addr()?)));
    Ok(gateway.serve(stop()).await?)
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
