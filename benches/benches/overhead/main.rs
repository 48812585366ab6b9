//! What each layer costs when all goes well, and each reader of streams, beside layers of `tower`, `tower-http`,
//! `tower-resilience` and others that do the same job: time, and allocations.
//!
//! `cargo bench -p bench --bench overhead`, with `-- --quick` for a tenth of the time, and with `-- breaker concurrency` for
//! the groups of these files alone. Times are CPU time of the thread and depend on the machine: compare them within one run
//! only. Allocations are exact, and the bench fails if one that was promised away is there.

mod breaker_cases;
mod bucket_cases;
mod cache_cases;
mod choice_cases;
mod concurrency_cases;
mod gate_cases;
mod http_cases;
mod measure;
mod plain_cases;
mod stream_cases;
mod token_cases;

use std::process::ExitCode;

use measure::{Effort, Group, Report};

/// The file that a group is in, and how it is measured.
const GROUPS: &[(&str, fn(Effort) -> Report)] = &[
    ("plain", |effort| plain_cases::group().measure(effort)),
    ("concurrency", |effort| concurrency_cases::plain().measure(effort)),
    ("concurrency", |effort| concurrency_cases::http().measure(effort)),
    ("http", |effort| http_cases::calls().measure(effort)),
    ("http", |effort| http_cases::stamps().measure(effort)),
    ("http", |effort| http_cases::stamps_that_grow().measure(effort)),
    ("stream", |effort| stream_cases::chat().measure(effort)),
    ("stream", |effort| stream_cases::messages().measure(effort)),
    ("stream", |effort| stream_cases::responses().measure(effort)),
    ("gate", |effort| gate_cases::heads().measure(effort)),
    ("gate", |effort| gate_cases::streams().measure(effort)),
    ("gate", |effort| gate_cases::chats().measure(effort)),
    ("breaker", |effort| breaker_cases::closed().measure(effort)),
    ("breaker", |effort| breaker_cases::keyed().measure(effort)),
    ("breaker", |effort| breaker_cases::windows().measure(effort)),
    ("breaker", |effort| breaker_cases::open().measure(effort)),
    ("bucket", |effort| bucket_cases::one_key().measure(effort)),
    ("bucket", |effort| bucket_cases::a_million_keys().measure(effort)),
    ("bucket", |effort| bucket_cases::http().measure(effort)),
    ("bucket", |effort| bucket_cases::axum().measure(effort)),
    ("bucket", |effort| bucket_cases::refused().measure(effort)),
    ("cache", |effort| cache_cases::chats().measure(effort)),
    ("choice", |effort| choice_cases::few().measure(effort)),
    ("choice", |effort| choice_cases::many().measure(effort)),
];

fn main() -> ExitCode {
    // `cargo bench` passes `--bench`, and what stands after `--`.
    let quick = std::env::args().any(|arg| arg == "--quick");
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    // tower's timeout makes its timer before it asks the service.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let _within = runtime.enter();
    let words: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |word: &str| words.is_empty() || words.iter().any(|wanted| wanted == word);
    let mut broken = Vec::new();
    for (_, measure) in GROUPS.iter().filter(|(word, _)| wanted(word)) {
        let report = measure(effort);
        println!("{report}");
        broken.extend(report.broken_promises());
    }
    if wanted("token") {
        for report in token_cases::groups().map(|group| group.measure(effort)) {
            println!("{report}");
            broken.extend(report.broken_promises());
        }
    }
    if wanted("concurrency") {
        println!("{}", concurrency_cases::contended(if quick { 11 } else { 51 }));
    }
    if wanted("breaker") {
        println!("{}", breaker_cases::two_threads(if quick { 200_000 } else { 2_000_000 }));
    }
    if wanted("bucket") {
        println!("{}", bucket_cases::memory());
    }
    for promise in &broken {
        eprintln!("broken promise: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
