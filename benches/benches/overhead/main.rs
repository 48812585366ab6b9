//! What each layer costs when all goes well, and each reader of streams, beside layers of `tower`, `tower-http` and `tower-resilience` that do the same
//! job: time, and allocations.
//!
//! `cargo bench -p bench --bench overhead`, with `-- --quick` for a tenth of the time. Times are CPU time of the thread and
//! depend on the machine: compare them within one run only. Allocations are exact, and the bench fails if one that was
//! promised away is there.

mod bucket_cases;
mod concurrency_cases;
mod http_cases;
mod measure;
mod plain_cases;
mod stream_cases;

use std::process::ExitCode;

use measure::{Effort, Group};

fn main() -> ExitCode {
    // `cargo bench` passes `--bench`, and what stands after `--`.
    let quick = std::env::args().any(|arg| arg == "--quick");
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    // tower's timeout makes its timer before it asks the service.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let _within = runtime.enter();
    let mut broken = Vec::new();
    let measured = [
        plain_cases::group().measure(effort),
        concurrency_cases::plain().measure(effort),
        concurrency_cases::http().measure(effort),
        bucket_cases::one_key().measure(effort),
        bucket_cases::a_million_keys().measure(effort),
        bucket_cases::http().measure(effort),
        bucket_cases::axum().measure(effort),
        http_cases::calls().measure(effort),
        http_cases::stamps().measure(effort),
        http_cases::stamps_that_grow().measure(effort),
        stream_cases::chat().measure(effort),
        stream_cases::messages().measure(effort),
        stream_cases::responses().measure(effort),
    ];
    for report in measured {
        println!("{report}");
        broken.extend(report.broken_promises());
    }
    println!("{}", concurrency_cases::contended(if quick { 11 } else { 51 }));
    println!("{}", bucket_cases::memory());
    for promise in &broken {
        eprintln!("broken promise: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
