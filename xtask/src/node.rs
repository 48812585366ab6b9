//! The SDK checks in JavaScript: official client libraries against a running simulator.

use std::fs;
use std::path::{Path, PathBuf};

use crate::count::{Count, Runner};
use crate::tools::apt_install;
use crate::tools::{self, Binaries, Tested};

const CHECKS: &str = "tests/sdk/js";
/// The oldest Node.js that the checks are written for.
const OLDEST: u32 = 20;
/// Written last, with what the packages were installed from. A directory without it is unfinished.
const STAMP: &str = "made-from.txt";

/// Runs the checks. Where there is no Node.js and none can be installed, says so and counts them as one left out.
pub(crate) fn check(binaries: &Binaries) -> Tested {
    let version = match node() {
        Ok(version) => version,
        Err(why) => {
            println!("the SDK checks in JavaScript are left out: {why}");
            return Tested { result: Ok(()), count: Count { skipped: 1, ..Count::default() } };
        }
    };
    println!("node: {version}");
    match install(&version) {
        Ok(directory) => {
            let mut node = tools::program("node");
            node.args(["--test", "--test-reporter=tap"]).current_dir(directory);
            tools::run_tests(binaries.announce(&mut node), Runner::Node)
        }
        Err(why) => why.into(),
    }
}

/// The version of a Node.js that is new enough and has npm; on Debian, root installs them where there are none.
fn node() -> Result<String, String> {
    let version = |name: &str| tools::version(tools::program(name).arg("--version"));
    let find = || version("node").filter(|_| version("npm").is_some());
    let found = find().or_else(|| apt_install(&["nodejs", "npm"]).then(find).flatten());
    let found = found.ok_or_else(|| format!("they need Node.js {OLDEST} or later with npm, and node is missing"))?;
    let major = found.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    match major {
        Some(OLDEST..) => Ok(found),
        _ => Err(format!("they need Node.js {OLDEST} or later, and `node` is {found}")),
    }
}

/// Copies the checks to the target directory and installs their packages there, if they are not those of last time.
fn install(version: &str) -> Result<PathBuf, String> {
    let directory = tools::target()?.join("sdk-js");
    let checks = tools::root().join(CHECKS);
    copy(&checks, &directory).map_err(|error| format!("cannot copy {CHECKS}: {error}"))?;
    let lock = fs::read_to_string(checks.join("package-lock.json"))
        .map_err(|error| format!("cannot read package-lock.json: {error}"))?;
    let wanted = format!("node {version}\n{lock}");
    let stamp = directory.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        println!("packages: as they were");
        return Ok(directory);
    }
    println!("packages: installed anew, from {CHECKS}/package-lock.json");
    let mut npm = tools::program("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&directory);
    tools::run(&mut npm).map_err(|why| format!("cannot install {CHECKS}/package-lock.json: {why}"))?;
    fs::write(stamp, wanted).map_err(|error| format!("cannot finish the packages: {error}"))?;
    Ok(directory)
}

/// Copies the files, and nothing that was installed beside them. What is no longer there goes.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "js") {
            fs::remove_file(path)?;
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
