//! The README of each crate, which registries show: made of the crate's first page and its features, so that it stays true.

use std::fmt::Write as _;
use std::fs;

use crate::crates::{Crate, Feature};

/// What the end of each README says.
const FOOT: &str = "\
Part of [Buttress](https://github.com/buttress-rs/buttress): small tower layers that work together, and each alone. MIT or Apache-2.0,
at your choice.
";

/// Writes the READMEs that are not as they should be.
pub(crate) fn write() -> Result<(), String> {
    for (package, text) in wanted()? {
        let path = package.path.join("README.md");
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Tells the READMEs that are not as they should be.
pub(crate) fn check() -> Result<(), String> {
    let stale = |package: &Crate, text: &str| {
        fs::read_to_string(package.path.join("README.md")).map_or(true, |old| old.replace("\r\n", "\n") != text)
    };
    let names: Vec<_> =
        wanted()?.into_iter().filter(|(package, text)| stale(package, text)).map(|(package, _)| package.name).collect();
    match names.as_slice() {
        [] => Ok(()),
        names => Err(format!("the first page of {} says something else: `cargo xtask readme`", names.join(", "))),
    }
}

/// The READMEs as they should be. One that a crate's manifest names is written by hand.
fn wanted() -> Result<Vec<(Crate, String)>, String> {
    let made = |package: &Crate| !package.readme;
    Crate::published()?.into_iter().filter(made).map(|package| readme(&package).map(|text| (package, text))).collect()
}

fn readme(package: &Crate) -> Result<String, String> {
    let source = package.path.join("src/lib.rs");
    let text = fs::read_to_string(&source).map_err(|error| format!("cannot read {}: {error}", source.display()))?;
    let page: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let example = example(&page).ok_or_else(|| format!("{}: the first page has no `# Example`", package.name))?;
    let name = &package.name;
    let core = if *name != "buttress-core" && example.contains("buttress_core") { " buttress-core" } else { "" };
    let mut readme =
        format!("# {name}\n\n{}.\n\n{}```sh\ncargo add {name}{core}\n```\n\n", package.description, more(&page));
    let _ = write!(readme, "## Example\n\n```rust\n{example}```\n\n");
    readme.push_str(&features(&package.features));
    let _ = write!(
        readme,
        "[The documentation](https://docs.rs/{name}) says what it does by rule, what it costs, and what happens "
    );
    let _ = write!(readme, "when a call is cancelled.\n\n{FOOT}");
    Ok(readme)
}

/// What stands between the first sentence, which the description says too, and the first heading, without links that only
/// rustdoc can follow.
fn more(page: &[&str]) -> String {
    let lines = page.iter().skip_while(|line| !line.is_empty()).take_while(|line| !line.starts_with('#'));
    let text = lines.map(|line| unlinked(line)).collect::<Vec<_>>().join("\n");
    match text.trim() {
        "" => String::new(),
        more => format!("{more}\n\n"),
    }
}

/// The first example as rustdoc shows it: without the lines that it hides.
fn example(page: &[&str]) -> Option<String> {
    let mut lines = page.iter().skip_while(|line| **line != "# Example").skip_while(|line| **line != "```").skip(1);
    let mut code = String::new();
    lines.by_ref().take_while(|line| **line != "```").filter(|line| **line != "#" && !line.starts_with("# ")).for_each(
        |line| {
            code.push_str(line);
            code.push('\n');
        },
    );
    (!code.is_empty()).then_some(code)
}

fn features(features: &[Feature]) -> String {
    if features.is_empty() {
        return String::new();
    }
    let mut table = "## Features\n\nNone is on by default.\n\n| feature | |\n|---|---|\n".to_owned();
    for Feature { name, says } in features {
        let _ = writeln!(table, "| `{name}` | {} |", says.trim_end_matches('.'));
    }
    table + "\n"
}

/// `[words]` and `[words](path::to)` become `words`; links to a URL stay.
fn unlinked(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, words, after)) = bracketed(rest, '[', ']') {
        out.push_str(before);
        let target = if after.starts_with('(') { bracketed(after, '(', ')') } else { None };
        rest = match target {
            Some((_, url, after)) if url.starts_with("http") => {
                let _ = write!(out, "[{words}]({url})");
                after
            }
            Some((_, _, after)) => {
                out.push_str(words);
                after
            }
            None => {
                out.push_str(words);
                after
            }
        };
    }
    out + rest
}

/// What stands before a pair of brackets, in it, and after it.
fn bracketed(text: &str, open: char, close: char) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(open)?;
    let (words, after) = rest.split_once(close)?;
    Some((before, words, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_within_the_documentation_become_words() {
        assert_eq!(unlinked("a [`Layer`] for [limits](crate::Limit), by [tower](https://x.test/)."), {
            "a `Layer` for limits, by [tower](https://x.test/)."
        });
        assert_eq!(unlinked("none (at all)"), "none (at all)");
    }

    #[test]
    fn an_example_is_shown_without_its_hidden_lines() {
        let page = [
            "One sentence.",
            "",
            "Another [`one`].",
            "",
            "# Example",
            "",
            "```",
            "# use std::fmt;",
            "let one = 1;",
            "#",
            "```",
            "",
            "```",
            "two",
            "```",
        ];
        assert_eq!(example(&page).as_deref(), Some("let one = 1;\n"));
        assert_eq!(more(&page), "Another `one`.\n\n");
        assert_eq!(example(&page[..5]), None);
    }
}
