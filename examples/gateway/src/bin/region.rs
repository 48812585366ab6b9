//! One simulated region that is a process of its own, so that it can be stopped and killed as processes are.

use std::{io::stdin, time::Duration};

use buttress_sim::{Fault, Simulator};
use clap::Parser;

/// Serves one simulated region on a port of loopback that is free, says where, and ends with its standard input.
/// Each line of that is a new time to the first token, in milliseconds.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Who answers.
    name: String,
    /// How long the first token takes, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    first_token: u64,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let Args { name, first_token } = Args::parse();
    let region = Simulator::builder().target(name).length(5..=5).first_token(Duration::from_millis(first_token));
    let region = region.start().await?;
    println!("region at {}", region.url());
    let told = tokio::task::spawn_blocking(move || {
        for line in stdin().lines() {
            match line?.trim().parse() {
                Ok(ms) => region.set_fault(Fault::SlowFirstToken { ms }),
                Err(error) => eprintln!("a line is a number of milliseconds: {error}"),
            }
        }
        Ok(())
    });
    told.await.expect("it does not panic")
}
