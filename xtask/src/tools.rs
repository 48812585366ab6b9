//! Running other programs.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::count::{Count, Runner, plain};

/// How a test runner ended, and what it counted until then.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) result: Result<(), String>,
    pub(crate) count: Count,
}

/// The programs that checks and benches start.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) gateway: PathBuf,
    sim: PathBuf,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    xtask.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The directory that everything is built into. This program is in it, as `<target>/<profile>/xtask`.
pub(crate) fn target() -> Result<PathBuf, String> {
    let exe = env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    exe.ancestors().nth(2).map(Path::to_path_buf).ok_or_else(|| "this program is not in a target directory".to_owned())
}

/// Whether the output goes to a person, who may like colours.
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal()
}

/// A program that runs in the root of the repository, with nothing on its standard input.
///
/// What `cargo run` set for this program is taken out of the environment again: build scripts look at some of it, and
/// would run anew on each change between `cargo build` and `cargo xtask`.
pub(crate) fn program(name: impl Into<OsString>) -> Command {
    let mut command = Command::new(name.into());
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(&name);
        }
    }
    if let Some(target) = env::var_os("CARGO_TARGET_DIR").and_then(|target| absolute(target).ok()) {
        command.env("CARGO_TARGET_DIR", target);
    }
    if colours() && env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The first line that a program prints when it is asked for its version; nothing if it is not there.
pub(crate) fn version(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    say(command);
    let status = command.status().map_err(|error| cannot_run(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", name(command))) }
}

/// Runs a test runner, passes on what it prints, and reads its counts there.
pub(crate) fn run_tests(command: &mut Command, runner: Runner) -> Tested {
    say(command);
    let count = Mutex::new(Count::default());
    let result = follow(command, |line| {
        if let Some(more) = runner.read(&plain(line)) {
            *count.lock().unwrap_or_else(PoisonError::into_inner) += more;
        }
    });
    Tested { result, count: count.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

/// Builds the gateway and the simulator.
pub(crate) fn build_binaries(release: bool) -> Result<Binaries, String> {
    let mut build = cargo();
    build.args(["build", "--package", "gateway", "--package", "buttress-sim", "--all-features"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let profile = target()?.join(if release { "release" } else { "debug" });
    let binary = |name: &str| {
        let path = profile.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        if path.is_file() { Ok(path) } else { Err(format!("`{name}` was not built")) }
    };
    Ok(Binaries { gateway: binary("gateway")?, sim: binary("buttress-sim")? })
}

/// Sees that there is a Redis server, which the tests of shared stores start; on Debian, root installs one.
pub(crate) fn redis_server() {
    if env::var_os("BUTTRESS_REDIS_SERVER").is_some() {
        println!("redis: the one in BUTTRESS_REDIS_SERVER");
        return;
    }
    let find = || ["redis-server", "valkey-server"].iter().find_map(|&name| version(program(name).arg("--version")));
    match find().or_else(|| apt_install(&["redis-server"]).then(find).flatten()) {
        Some(version) => println!("redis: {version}"),
        // The tests that need one say so, and what to install.
        None => println!("redis: there is none, so the tests that need one will fail"),
    }
}

/// Installs Debian packages, where this is Debian and we are root.
pub(crate) fn apt_install(packages: &[&str]) -> bool {
    let root = || version(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !Path::new("/etc/debian_version").exists() || !root() {
        return false;
    }
    println!("installing {}", packages.join(", "));
    let apt = || {
        let mut apt = program("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2");
        apt
    };
    // A failed update is no reason to give up: the lists may be good enough.
    drop(run(apt().arg("update")));
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages)).is_ok()
}

// === impl Binaries ===

impl Binaries {
    /// Tells a program where they are.
    pub(crate) fn announce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("BUTTRESS_GATEWAY_BIN", &self.gateway).env("BUTTRESS_SIM_BIN", &self.sim)
    }
}

// === impl Tested ===

impl Tested {
    /// Both, with what went wrong in either.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.count += other.count;
        self.result = match (self.result, other.result) {
            (Err(why), Err(also)) => Err(format!("{why}; {also}")),
            (first, second) => first.and(second),
        };
        self
    }
}

impl From<String> for Tested {
    /// The runner could not even start.
    fn from(why: String) -> Self {
        Self { result: Err(why), count: Count::default() }
    }
}

fn follow(command: &mut Command, hear: impl Fn(&str) + Sync) -> Result<(), String> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| cannot_run(command, &error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = thread::scope(|scope| {
        let out = scope.spawn(|| pass_on(stdout, io::stdout(), &hear));
        let err = pass_on(stderr, io::stderr(), &hear);
        (out.join().unwrap_or_else(|_| Err(io::Error::other("reader failed"))), err)
    });
    let status = child.wait().map_err(|error| cannot_run(command, &error))?;
    out.and(err).map_err(|error| format!("cannot pass on the output of {}: {error}", name(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", name(command))) }
}

fn pass_on(from: Option<impl Read>, mut to: impl Write, hear: impl Fn(&str)) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        hear(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

fn say(command: &Command) {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    println!("$ {} {}", name(command), args.join(" "));
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn cannot_run(command: &Command, error: &io::Error) -> String {
    format!("cannot run {}: {error}", name(command))
}
