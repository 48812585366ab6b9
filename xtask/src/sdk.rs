//! The SDK checks: official client libraries against a running gateway, and against the simulator itself.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::count::Runner;
use crate::node;
use crate::tools::{self, Binaries, Tested};

const CHECKS: &str = "tests/sdk";
/// The oldest Python that the SDK takes.
const OLDEST: (u32, u32) = (3, 10);
/// Written last, with what the environment was made from. An environment without it is unfinished.
const STAMP: &str = "made-from.txt";

/// Runs the checks. `args` go to pytest; with any, the checks in JavaScript are left out.
pub(crate) fn check(release: bool, args: &[String]) -> Tested {
    let binaries = if env::var_os("BUTTRESS_GATEWAY_URL").is_some() {
        println!("gateway: the one at BUTTRESS_GATEWAY_URL");
        None
    } else {
        match tools::build_binaries(release) {
            Ok(binaries) => Some(binaries),
            Err(why) => return why.into(),
        }
    };
    let tested = match prepare(binaries.as_ref()) {
        Ok(mut pytest) => tools::run_tests(pytest.args(args), Runner::Pytest),
        Err(why) => why.into(),
    };
    match binaries {
        Some(binaries) if args.is_empty() => tested.and(node::check(&binaries)),
        _ => tested,
    }
}

fn prepare(binaries: Option<&Binaries>) -> Result<Command, String> {
    let python = environment()?;
    let mut pytest = tools::program(python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", CHECKS, CHECKS]);
    pytest.arg(if tools::colours() { "--color=yes" } else { "--color=no" });
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(binaries) = binaries {
        binaries.announce(&mut pytest);
    }
    Ok(pytest)
}

/// Finds or makes the environment, and gives its Python.
fn environment() -> Result<PathBuf, String> {
    let (system, version) = system_python()?;
    println!("python: {} {}.{}", system, version.0, version.1);
    let requirements = tools::root().join(CHECKS).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).map_err(|error| format!("cannot read requirements.txt: {error}"))?;
    let wanted = format!("python {}.{}\n{wanted}", version.0, version.1);
    let venv = tools::target()?.join("sdk-venv");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let made_from = fs::read_to_string(venv.join(STAMP)).ok();
    if made_from.as_deref() == Some(wanted.as_str()) && tools::version(Command::new(&python).arg("--version")).is_some()
    {
        println!("environment: as it was");
        return Ok(python);
    }
    println!("environment: made new, from {CHECKS}/requirements.txt");
    make(&system, &venv)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    tools::run(tools::program(&python).args(pip).arg(&requirements))
        .map_err(|why| format!("cannot install {CHECKS}/requirements.txt: {why}"))?;
    fs::write(venv.join(STAMP), wanted).map_err(|error| format!("cannot finish the environment: {error}"))?;
    Ok(python)
}

/// A Python that is new enough; on Debian, root installs one where there is none.
pub(crate) fn system_python() -> Result<(String, (u32, u32)), String> {
    let oldest = format!("Python {}.{} or later", OLDEST.0, OLDEST.1);
    let find = || ["python3", "python"].iter().find_map(|&name| Some((name.to_owned(), python_version(name)?)));
    let found = find().or_else(|| tools::apt_install(&["python3", "python3-venv"]).then(find).flatten());
    match found {
        None => Err(format!("the SDK checks need {oldest}, and there is no `python3`: install it, or use `--no-sdk`")),
        Some((name, (major, minor))) if (major, minor) < OLDEST => {
            Err(format!("the SDK checks need {oldest}, and `{name}` is {major}.{minor}"))
        }
        Some(found) => Ok(found),
    }
}

fn python_version(name: &str) -> Option<(u32, u32)> {
    let script = "import sys; print(*sys.version_info[:2])";
    let text = tools::version(tools::program(name).args(["-c", script]))?;
    let (major, minor) = text.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Makes an empty environment, in the first way that works.
pub(crate) fn make(python: &str, venv: &Path) -> Result<(), String> {
    let module = |module: &str| {
        clear(venv)?;
        tools::run(tools::program(python).args(["-m", module]).arg(venv))
    };
    let first = module("venv");
    if first.is_ok() || (tools::apt_install(&["python3-venv"]) && module("venv").is_ok()) {
        return Ok(());
    }
    println!("`python3 -m venv` does not work here; trying virtualenv");
    let standalone = || {
        clear(venv)?;
        tools::run(tools::program("virtualenv").args(["--python", python]).arg(venv))
    };
    module("virtualenv").or_else(|_| standalone()).map_err(|_| {
        "no way to make a Python environment: install the venv module (Debian: `apt-get install python3-venv`) or \
         virtualenv, or use `--no-sdk`"
            .to_owned()
    })
}

/// Removes a directory, if it is there.
pub(crate) fn clear(venv: &Path) -> Result<(), String> {
    match fs::remove_dir_all(venv) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot clear the old environment: {error}"))
        }
        _ => Ok(()),
    }
}
