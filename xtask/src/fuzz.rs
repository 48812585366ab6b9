//! The fuzz targets, which need the nightly toolchain and cargo-fuzz.

use std::fs;
use std::process::Command;

use crate::tools;

/// How long each target runs, if nothing else is asked for.
pub(crate) const SECONDS: u32 = 600;

/// How long one input may take, in seconds, and how much memory all may take, in MiB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Runs one target, or all of them one after the other, each for so many seconds.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<(), String> {
    let all = targets()?;
    let chosen: Vec<_> = all.iter().filter(|own| target.is_none_or(|name| *own == name)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no target `{}`; there are: {}", target.unwrap_or("*"), all.join(", ")));
    }
    let nightly = nightly()?;
    let version = cargo_fuzz(&nightly)?;
    println!("using {version} with {nightly}; {} of {} targets, {seconds} s each", chosen.len(), all.len());
    chosen.into_iter().try_for_each(|name| fuzz(&nightly, name, seconds))
}

/// A crash leaves its input in `fuzz/artifacts`; what is found on the way stays in `fuzz/corpus`. Git knows neither.
fn fuzz(nightly: &str, name: &str, seconds: u32) -> Result<(), String> {
    let corpus = tools::root().join("fuzz/corpus").join(name);
    let seeds = tools::root().join("fuzz/corpus-seeds").join(name);
    fs::create_dir_all(&corpus).map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
    copy(&seeds, &corpus)?;
    let time = format!("-max_total_time={seconds}");
    let target_dir = tools::target()?.join("fuzz");
    let mut command = cargo(nightly);
    command.args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir"]).arg(target_dir).arg(name).arg(&corpus);
    tools::run(command.arg("--").arg(time).args(LIMITS))
}

fn copy(seeds: &std::path::Path, corpus: &std::path::Path) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("cannot copy the seeds in {}: {error}", seeds.display());
    for entry in fs::read_dir(seeds).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        fs::copy(entry.path(), corpus.join(entry.file_name())).map_err(broken)?;
    }
    Ok(())
}

/// The names of the targets: those of their files.
fn targets() -> Result<Vec<String>, String> {
    let folder = tools::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let name = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.filter_map(|entry| name(entry.ok()?)).collect();
    names.sort();
    Ok(names)
}

fn nightly() -> Result<String, String> {
    let list = tools::program("rustup").args(["toolchain", "list"]).output();
    let text = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    first_nightly(&text).ok_or_else(|| {
        "fuzzing needs the nightly toolchain: `rustup toolchain install nightly --profile minimal`".to_owned()
    })
}

fn first_nightly(list: &str) -> Option<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("nightly")).map(str::to_owned)
}

fn cargo_fuzz(nightly: &str) -> Result<String, String> {
    let version = || tools::version(cargo(nightly).args(["fuzz", "--version"]));
    if let Some(version) = version() {
        return Ok(version);
    }
    println!("cargo-fuzz is not installed; it is installed now");
    tools::run(tools::cargo().args(["install", "cargo-fuzz", "--locked"]))?;
    version().ok_or_else(|| "cargo-fuzz was installed, but cargo does not find it: is its folder in PATH?".to_owned())
}

fn cargo(toolchain: &str) -> Command {
    let mut command = tools::program("rustup");
    command.args(["run", toolchain, "cargo"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nightly_toolchain_is_found_by_its_name() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-2026-01-01-x86_64-unknown-linux-gnu\n";
        assert_eq!(first_nightly(list).as_deref(), Some("nightly-2026-01-01-x86_64-unknown-linux-gnu"));
        assert_eq!(first_nightly("stable-x86_64-unknown-linux-gnu (default)\n"), None);
        assert_eq!(first_nightly(""), None);
    }

    #[test]
    fn each_target_has_a_file_and_seeds() {
        let targets = targets().expect("the folder of the targets");
        assert!(targets.contains(&"sse".to_owned()), "{targets:?}");
        let manifest = fs::read_to_string(tools::root().join("fuzz/Cargo.toml")).expect("the manifest");
        for name in targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in the manifest");
            let seeds = fs::read_dir(tools::root().join("fuzz/corpus-seeds").join(&name));
            assert!(seeds.is_ok_and(|mut seeds| seeds.next().is_some()), "{name} has no seeds");
        }
    }
}
