//! `buttress-sim`: simulated LLM providers on the command line.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;

use buttress_sim::{Control, ControlServer, Script, Simulator};
use clap::Parser;

mod args;

use args::{Args, Target};

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut stop = Stop::new()?;
    let script = args.script.as_deref().map(args::read_script).transpose()?.unwrap_or_default();
    let mut simulators = Vec::new();
    for (index, target) in args.targets().iter().enumerate() {
        let addr = SocketAddr::new(args.listen, args.port_of(target, index)?);
        let started = start(args, target, addr, script.clone()).await;
        simulators.push(started.map_err(|error| format!("target {} on {addr}: {error}", target.name))?);
    }
    let control = Control::new(&simulators);
    let control = ControlServer::start(args.control, control).await;
    let control = control.map_err(|error| format!("control endpoint on {}: {error}", args.control))?;
    print(&simulators, &control)?;
    stop.wait().await;
    for simulator in simulators {
        simulator.shutdown().await;
    }
    Ok(())
}

async fn start(args: &Args, target: &Target, addr: SocketAddr, script: Script) -> io::Result<Simulator> {
    let mut builder = Simulator::builder()
        .target(&target.name)
        .listen(addr)
        .profile(target.profile.unwrap_or(args.profile))
        .first_token(target.first_token.unwrap_or(args.first_token))
        .gap(args.gap)
        .length(args.length.clone())
        .seed(args.seed);
    if let Some(limits) = args.limits() {
        builder = builder.limits(limits);
    }
    if let Some(key) = &args.api_key {
        builder = builder.api_key(key);
    }
    if !args.models.is_empty() {
        builder = builder.models(&args.models);
    }
    if args.allow_remote {
        builder = builder.allow_remote();
    }
    let simulator = builder.start().await?;
    simulator.set_script(script);
    Ok(simulator)
}

/// Tells where everything is and how to try it, in one write.
fn print(simulators: &[Simulator], control: &ControlServer) -> io::Result<()> {
    let mut lines: Vec<_> = simulators.iter().map(|sim| format!("{:<16} {}", sim.name(), sim.url())).collect();
    lines.push(format!("{:<16} {}/control/targets", "control", control.url()));
    if let Some(first) = simulators.first() {
        let body = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
        let fault = r#"{"kind":"stall_after","events":3}"#;
        let path = format!("{}/control/targets/{}/fault", control.url(), first.name());
        lines.push(String::new());
        lines.push(format!("ask:   curl -N {}/v1/chat/completions -d '{body}'", first.url()));
        lines.push(format!("break: curl -X PUT {path} -d '{fault}'"));
        lines.push(format!("heal:  curl -X DELETE {path}"));
    }
    lines.push(String::new());
    io::stdout().write_all(lines.join("\n").as_bytes())?;
    io::stdout().flush()
}

/// The signals that end the program.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

// === impl Stop ===

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
