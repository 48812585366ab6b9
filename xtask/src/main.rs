//! The project's own commands, run as `cargo xtask <command>`.
//!
//! Built from the standard library alone, so that it is ready before anything else has to be.

mod count;
mod crates;
mod fuzz;
mod help;
mod measure;
mod node;
mod readme;
mod report;
mod sdk;
mod task;
mod tools;
mod valkey;
mod vectors;

use std::process::ExitCode;

use task::Task;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match Task::parse(&args) {
        Ok(task) => task.run(),
        Err(why) => {
            eprintln!("error: {why}\n\n{}", help::HELP);
            ExitCode::from(2)
        }
    }
}
