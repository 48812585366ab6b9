//! What is measured, and what takes long.

use crate::count::Runner;
use crate::report::Report;
use crate::task::Bench;
use crate::tools;

/// Runs one bench, or all of them.
pub(crate) fn benches(report: &mut Report, which: Bench, args: &[String]) {
    if matches!(which, Bench::Overhead | Bench::All) {
        report.step("overhead", || {
            let bench = ["bench", "--package", "bench", "--bench", "overhead", "--"];
            tools::run(tools::cargo().args(bench).args(args))
        });
    }
    if matches!(which, Bench::Redis | Bench::All) {
        report.step("redis", || {
            tools::redis_server();
            let bench = ["bench", "--package", "bench", "--bench", "redis", "--"];
            tools::run(tools::cargo().args(bench).args(args))
        });
    }
    if matches!(which, Bench::Gateway | Bench::All) {
        report.step("gateway", || {
            let binaries = tools::build_binaries(true)?;
            let bench = ["bench", "--package", "bench", "--bench", "gateway", "--"];
            tools::run(binaries.announce(tools::cargo().args(bench).args(args)))
        });
    }
}

/// Holds many streams open.
pub(crate) fn soak(args: &[String]) -> Result<(), String> {
    let gateway = tools::build_binaries(true)?.gateway;
    tools::run(tools::cargo().args(["build", "--release", "--package", "bench", "--bins"]))?;
    let soak = ["run", "--release", "--package", "bench", "--bin", "soak", "--", "--gateway"];
    tools::run(tools::cargo().args(soak).arg(gateway).args(args))
}

/// The gateway's tests of regions that are processes, with so many requests that their times mean something.
pub(crate) fn outages(args: &[String]) -> tools::Tested {
    let test =
        ["test", "--release", "--package", "gateway", "--test", "outages", "--", "--test-threads", "1", "--nocapture"];
    let mut cargo = tools::cargo();
    tools::run_tests(cargo.args(test).args(args).env("BUTTRESS_TEST_REQUESTS", "10000"), Runner::Libtest)
}

/// Tells hits and wrong answers of the semantic cache's policies.
pub(crate) fn eval_cache(args: &[String]) -> Result<(), String> {
    // Programs run in the root of the repository; what the caller names is found from where the caller is.
    let mut args = args.to_vec();
    if let Some(at) = args.iter().position(|arg| arg == "--data")
        && let Some(directory) = args.get_mut(at + 1)
    {
        let absolute =
            std::path::absolute(&*directory).map_err(|error| format!("cannot tell where {directory} is: {error}"))?;
        *directory = absolute.to_string_lossy().into_owned();
    }
    tools::run(tools::cargo().args(["run", "--release", "--package", "eval-cache", "--"]).args(args))
}
