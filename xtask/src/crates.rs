//! The crates that are published, and what is asked of them before they are.

use std::fs;
use std::path::PathBuf;

use crate::tools;

/// A crate that is published.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) description: String,
    pub(crate) features: Vec<Feature>,
    /// Whether the manifest names a README of its own.
    pub(crate) readme: bool,
}

/// A feature, and what the comment before it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) says: String,
}

// === impl Crate ===

impl Crate {
    /// All of them, by name.
    pub(crate) fn published() -> Result<Vec<Self>, String> {
        let crates = tools::root().join("crates");
        let entries = fs::read_dir(&crates).map_err(|error| format!("cannot read {}: {error}", crates.display()))?;
        let mut published = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(manifest) = fs::read_to_string(path.join("Cargo.toml")) else { continue };
            published.extend(Self::parse(&manifest, path));
        }
        published.sort_by(|one, other| one.name.cmp(&other.name));
        if published.is_empty() { Err(format!("no crate in {}", crates.display())) } else { Ok(published) }
    }

    /// Reads a manifest as it is written here: a feature begins a line, and its comment stands on the line before.
    fn parse(manifest: &str, path: PathBuf) -> Option<Self> {
        let (mut section, mut says) = ("", "");
        let (mut name, mut description, mut readme, mut features) = (None, String::new(), false, Vec::new());
        for line in manifest.lines() {
            let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
            match (section, key) {
                ("[package]", "publish") if value == "false" => return None,
                ("[package]", "name") => name = Some(value.trim_matches('"').to_owned()),
                ("[package]", "description") => value.trim_matches('"').clone_into(&mut description),
                ("[package]", "readme") => readme = true,
                ("[features]", feature) if !value.is_empty() && !feature.starts_with('#') => {
                    features.push(Feature { name: feature.to_owned(), says: says.to_owned() });
                }
                _ => {}
            }
            if line.starts_with('[') {
                section = line;
            }
            says = line.strip_prefix("# ").unwrap_or_default();
        }
        name.map(|name| Self { name, path, description, features, readme })
    }

    /// The choices of features that are checked: none, each alone, and all.
    fn choices(&self) -> Vec<String> {
        let mut choices = vec![String::new()];
        choices.extend(self.features.iter().map(|feature| feature.name.clone()));
        if self.features.len() > 1 {
            choices.push(self.features.iter().map(|feature| feature.name.as_str()).collect::<Vec<_>>().join(","));
        }
        choices
    }
}

/// Lints each library without features, with each one alone, and with all. Its tests are left out: what they depend on turns on
/// features that a user may not have.
pub(crate) fn features() -> Result<(), String> {
    let mut failed = Vec::new();
    for package in Crate::published()? {
        for choice in package.choices() {
            let args = ["clippy", "--lib", "--no-default-features", "--package", &package.name, "--features", &choice];
            if tools::run(tools::cargo().args(args).args(["--", "-D", "warnings"])).is_err() {
                failed.push(format!("{} with [{choice}]", package.name));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

/// Makes the packages that would be published, and builds each from what it holds.
pub(crate) fn package() -> Result<(), String> {
    let mut cargo = tools::cargo();
    cargo.args(["package", "--allow-dirty"]);
    for package in Crate::published()? {
        cargo.args(["--package", &package.name]);
    }
    tools::run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
[package]
name = \"buttress-x\"
description = \"A layer\"

[features]
# Speaks over the wire.
wire = [\"dep:y\"]
# Seals
# what it keeps.
seal = [\"wire\"]

[dependencies]
y = { version = \"1\", optional = true }
";

    #[test]
    fn a_manifest_tells_name_and_features() {
        let parsed = Crate::parse(MANIFEST, PathBuf::new()).unwrap();
        assert_eq!((&*parsed.name, &*parsed.description, parsed.readme), ("buttress-x", "A layer", false));
        let features: Vec<_> = parsed.features.iter().map(|feature| (&*feature.name, &*feature.says)).collect();
        assert_eq!(features, [("wire", "Speaks over the wire."), ("seal", "what it keeps.")]);
        assert_eq!(parsed.choices(), ["", "wire", "seal", "wire,seal"]);
    }

    #[test]
    fn what_is_not_published_is_left_out() {
        assert!(Crate::parse("[package]\nname = \"x\"\npublish = false\n", PathBuf::new()).is_none());
        assert!(Crate::parse("[package]\nname = \"x\"\nreadme = \"README.md\"\n", PathBuf::new()).unwrap().readme);
    }
}
