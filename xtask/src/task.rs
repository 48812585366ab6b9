//! What can be asked for, and the steps each request is made of.

use std::process::ExitCode;

use crate::count::{Count, Runner};
use crate::help::HELP;
use crate::report::Report;
use crate::{crates, fuzz, measure, readme, sdk, tools, valkey, vectors};

/// One command with its options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Prints the help.
    Help,
    /// Formatting, lints, documentation and tests.
    Ci(TestOptions),
    /// Tests only.
    Test(TestOptions),
    /// The SDK checks only.
    Sdk { release: bool, args: Vec<String> },
    /// The interleavings only.
    Loom,
    /// One bench, or all of them.
    Bench { which: Bench, args: Vec<String> },
    /// The fuzz targets, or one of them.
    Fuzz { target: Option<String>, seconds: u32 },
    /// The policies of the semantic cache.
    EvalCache { args: Vec<String> },
    /// Many open streams.
    Soak { args: Vec<String> },
    /// Many requests while regions fail.
    Outages { args: Vec<String> },
    /// What searches in Redis 8: its tests, or what it costs.
    Vectors { measure: bool, args: Vec<String> },
    /// What lies in Redis, in Valkey.
    Valkey { args: Vec<String> },
    /// The check of the dependencies.
    Deny,
    /// Each crate with each of its features.
    Features,
    /// The packages that would be published.
    Package,
    /// The READMEs of the crates.
    Readme,
}

/// The options of [`Task::Test`] and [`Task::Ci`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOptions {
    no_sdk: bool,
    release: bool,
    args: Vec<String>,
}

/// Which bench to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bench {
    Overhead,
    Gateway,
    Redis,
    All,
}

// === impl Task ===

impl Task {
    /// Reads a command line, without the name of the program.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let (own, passed_on) = split(args);
        let Some((name, options)) = own.split_first() else {
            return Ok(Self::Help);
        };
        let task = match name.as_str() {
            "help" | "--help" | "-h" => return Ok(Self::Help),
            "ci" => Self::Ci(TestOptions::parse(options, passed_on)?),
            "test" => Self::Test(TestOptions::parse(options, passed_on)?),
            "sdk" => {
                let TestOptions { no_sdk, release, args } = TestOptions::parse(options, passed_on)?;
                refuse(no_sdk, "`sdk --no-sdk` would run nothing")?;
                Self::Sdk { release, args }
            }
            "bench" => Self::bench(options, passed_on)?,
            "fuzz" => {
                refuse(!passed_on.is_empty(), "`fuzz` passes nothing on")?;
                Self::fuzz(options)?
            }
            "eval-cache" => Self::EvalCache { args: options.iter().chain(passed_on).cloned().collect() },
            "soak" => {
                refuse(!options.is_empty(), "arguments of `soak` stand after `--`")?;
                Self::Soak { args: passed_on.to_vec() }
            }
            "outages" => {
                refuse(!options.is_empty(), "arguments of `outages` stand after `--`")?;
                Self::Outages { args: passed_on.to_vec() }
            }
            "valkey" => {
                refuse(!options.is_empty(), "arguments of `valkey` stand after `--`")?;
                Self::Valkey { args: passed_on.to_vec() }
            }
            "vectors" => {
                refuse(options.iter().any(|option| option != "--measure"), "`vectors` has no option but `--measure`")?;
                let measure = !options.is_empty();
                Self::Vectors { measure, args: passed_on.to_vec() }
            }
            name => {
                let task = Self::alone(name)?;
                refuse(!options.is_empty() || !passed_on.is_empty(), &format!("`{name}` takes no arguments"))?;
                task
            }
        };
        if let Self::Ci(options) = &task {
            refuse(!options.args.is_empty(), "`ci` runs all tests and takes no filter; `test` does")?;
        }
        Ok(task)
    }

    /// Runs the task and reports on it.
    pub(crate) fn run(self) -> ExitCode {
        let mut report = Report::default();
        match self {
            Self::Help => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Self::Ci(options) => {
                lints(&mut report);
                tests(&mut report, &options);
            }
            Self::Test(options) => tests(&mut report, &options),
            Self::Sdk { release, args } => report.tests("sdk", || sdk::check(release, &args)),
            Self::Loom => report.tests("loom", loom),
            Self::Bench { which, args } => measure::benches(&mut report, which, &args),
            Self::Fuzz { target, seconds } => report.step("fuzz", || fuzz::run(target.as_deref(), seconds)),
            Self::EvalCache { args } => report.step("eval-cache", || measure::eval_cache(&args)),
            Self::Soak { args } => report.step("soak", || measure::soak(&args)),
            Self::Outages { args } => report.tests("outages", || measure::outages(&args)),
            Self::Vectors { measure: false, args } => report.tests("vectors", || vectors::check(&args)),
            Self::Vectors { measure: true, args } => report.step("vectors", || vectors::measure(&args)),
            Self::Valkey { args } => report.tests("valkey", || valkey::check(&args)),
            Self::Deny => report.step("deny", deny),
            Self::Features => report.step("features", crates::features),
            Self::Package => report.step("package", crates::package),
            Self::Readme => report.step("readme", readme::write),
        }
        report.finish()
    }

    /// The commands that take no arguments.
    fn alone(name: &str) -> Result<Self, String> {
        Ok(match name {
            "loom" => Self::Loom,
            "deny" => Self::Deny,
            "features" => Self::Features,
            "package" => Self::Package,
            "readme" => Self::Readme,
            other => return Err(format!("there is no command `{other}`")),
        })
    }

    fn bench(options: &[String], passed_on: &[String]) -> Result<Self, String> {
        let (which, args) = match options.split_first() {
            None => (Bench::All, &[][..]),
            Some((name, args)) => match name.as_str() {
                "overhead" => (Bench::Overhead, args),
                "gateway" => (Bench::Gateway, args),
                "redis" => (Bench::Redis, args),
                "all" => (Bench::All, args),
                other => return Err(format!("there is no bench `{other}`")),
            },
        };
        let args = [args, passed_on].concat();
        refuse(which == Bench::All && !args.is_empty(), "arguments need the name of one bench")?;
        Ok(Self::Bench { which, args })
    }

    fn fuzz(options: &[String]) -> Result<Self, String> {
        let (mut target, mut seconds, mut options) = (None, fuzz::SECONDS, options.iter());
        while let Some(option) = options.next() {
            if option == "--seconds" {
                let number = options.next().and_then(|number| number.parse().ok()).filter(|&number| number > 0);
                seconds = number.ok_or("`--seconds` takes a whole number from 1 up")?;
            } else {
                refuse(option.starts_with('-'), "`fuzz` has no option but `--seconds`")?;
                refuse(target.replace(option.clone()).is_some(), "`fuzz` takes one target, or none for all")?;
            }
        }
        Ok(Self::Fuzz { target, seconds })
    }
}

// === impl TestOptions ===

impl TestOptions {
    fn parse(options: &[String], passed_on: &[String]) -> Result<Self, String> {
        let mut parsed = Self { args: passed_on.to_vec(), ..Self::default() };
        for option in options {
            match option.as_str() {
                "--no-sdk" => parsed.no_sdk = true,
                "--release" => parsed.release = true,
                other => return Err(format!("`{other}` is not an option here; arguments to pass on go after `--`")),
            }
        }
        Ok(parsed)
    }
}

fn split(args: &[String]) -> (&[String], &[String]) {
    match args.iter().position(|arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[]),
    }
}

fn refuse(wrong: bool, why: &str) -> Result<(), String> {
    if wrong { Err(why.to_owned()) } else { Ok(()) }
}

fn lints(report: &mut Report) {
    report.step("fmt", || tools::run(tools::cargo().args(["fmt", "--all", "--check"])));
    report.step("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        tools::run(tools::cargo().args(args))
    });
    report.step("doc", || {
        let args = ["doc", "--workspace", "--no-deps", "--all-features"];
        tools::run(tools::cargo().args(args).env("RUSTDOCFLAGS", "-D warnings"))
    });
    report.step("readme", readme::check);
}

fn tests(report: &mut Report, options: &TestOptions) {
    report.tests("tests", || rust_tests(&options.args));
    if !options.args.is_empty() {
        report.left_out("doctests", "arguments are for the runner of the Rust tests alone");
        report.left_out("loom", "arguments are for the runner of the Rust tests alone");
        report.left_out("sdk", "arguments are for the runner of the Rust tests alone");
        return;
    }
    report.tests("doctests", || {
        let args = ["test", "--doc", "--workspace", "--all-features", "--no-fail-fast"];
        tools::run_tests(tools::cargo().args(args), Runner::Libtest)
    });
    report.tests("loom", loom);
    if options.no_sdk {
        report.left_out("sdk", "`--no-sdk` was given");
    } else {
        report.tests("sdk", || sdk::check(options.release, &[]));
    }
}

fn rust_tests(args: &[String]) -> tools::Tested {
    tools::redis_server();
    let narrowed = args.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));
    let scope: &[_] = if narrowed { &["--all-features"] } else { &["--workspace", "--all-features"] };
    let mut cargo = tools::cargo();
    if let Some(version) = tools::version(tools::cargo().args(["nextest", "--version"])) {
        println!("runner: {version}");
        cargo.args(["nextest", "run", "--no-fail-fast"]).args(scope).args(args);
        return tools::run_tests(&mut cargo, Runner::Nextest);
    }
    println!("runner: cargo test (cargo-nextest is not installed; it would run the same tests faster)");
    cargo.args(["test", "--tests", "--no-fail-fast"]).args(scope).args(args);
    tools::run_tests(&mut cargo, Runner::Libtest)
}

/// Tries the interleavings of what has atomics of its own. Another `cfg` makes other artefacts, so they are kept apart.
fn loom() -> tools::Tested {
    let target = match tools::target() {
        Ok(target) => target.join("loom"),
        Err(reason) => return tools::Tested { result: Err(reason), count: Count::default() },
    };
    let args = [
        "test",
        "--package",
        "buttress-retry",
        "--package",
        "buttress-concurrency",
        "--package",
        "buttress-circuit-breaker",
        "--lib",
        "--target-dir",
    ];
    let mut cargo = tools::cargo();
    cargo.args(args).arg(target).env("RUSTFLAGS", "--cfg buttress_loom");
    tools::run_tests(&mut cargo, Runner::Libtest)
}

fn deny() -> Result<(), String> {
    let Some(version) = tools::version(tools::cargo().args(["deny", "--version"])) else {
        return Err("cargo-deny is not installed: `cargo install --locked cargo-deny`".to_owned());
    };
    println!("using {version}");
    tools::run(tools::cargo().args(["deny", "check"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Task::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn nothing_asks_for_help() {
        assert_eq!(parse(""), Ok(Task::Help));
        assert_eq!(parse("--help"), Ok(Task::Help));
    }

    #[test]
    fn options_stand_before_the_dashes_and_arguments_after() {
        let options = TestOptions { no_sdk: true, release: true, args: strings(&["retry", "--no-capture"]) };
        assert_eq!(parse("test --no-sdk --release -- retry --no-capture"), Ok(Task::Test(options)));
        assert_eq!(parse("ci"), Ok(Task::Ci(TestOptions::default())));
        assert_eq!(parse("outages -- stopped"), Ok(Task::Outages { args: strings(&["stopped"]) }));
        assert_eq!(parse("valkey -- leases"), Ok(Task::Valkey { args: strings(&["leases"]) }));
        assert_eq!(parse("sdk -- -k azure"), Ok(Task::Sdk { release: false, args: strings(&["-k", "azure"]) }));
    }

    #[test]
    fn a_bench_takes_arguments_and_all_of_them_take_none() {
        let args = strings(&["--seconds", "5"]);
        assert_eq!(parse("bench gateway --seconds 5"), Ok(Task::Bench { which: Bench::Gateway, args: args.clone() }));
        assert_eq!(parse("bench overhead -- --seconds 5"), Ok(Task::Bench { which: Bench::Overhead, args }));
        assert_eq!(parse("bench"), Ok(Task::Bench { which: Bench::All, args: Vec::new() }));
    }

    #[test]
    fn the_evaluation_takes_its_own_arguments() {
        let args = strings(&["--data", "here", "--noise", "0.05"]);
        assert_eq!(parse("eval-cache --data here --noise 0.05"), Ok(Task::EvalCache { args: args.clone() }));
        assert_eq!(parse("eval-cache --data here -- --noise 0.05"), Ok(Task::EvalCache { args }));
    }

    #[test]
    fn a_fuzz_target_runs_for_as_long_as_asked() {
        let fuzz = |target: Option<&str>, seconds| Ok(Task::Fuzz { target: target.map(str::to_owned), seconds });
        assert_eq!(parse("fuzz"), fuzz(None, 600));
        assert_eq!(parse("fuzz sse --seconds 60"), fuzz(Some("sse"), 60));
        assert_eq!(parse("fuzz --seconds 60"), fuzz(None, 60));
        for line in
            ["fuzz --seconds", "fuzz --seconds 0", "fuzz --seconds soon", "fuzz a b", "fuzz --jobs", "fuzz -- x"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn vectors_are_tested_or_measured() {
        let args = strings(&["10000"]);
        assert_eq!(parse("vectors"), Ok(Task::Vectors { measure: false, args: Vec::new() }));
        assert_eq!(parse("vectors --measure -- 10000"), Ok(Task::Vectors { measure: true, args }));
        assert!(parse("vectors 10000").is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "tset",
            "test retry",
            "ci -- retry",
            "sdk --no-sdk",
            "bench speed",
            "valkey leases",
            "bench all -- x",
            "deny x",
            "loom x",
            "package x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
