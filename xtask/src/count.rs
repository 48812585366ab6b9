//! Reads the summary lines of test runners.

use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// A program that runs tests and sums them up in a line of its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `Summary [   0.2s] 3 tests run: 2 passed (1 slow), 1 failed, 0 skipped`
    Nextest,
    /// `test result: ok. 3 passed; 0 failed; 0 ignored; …`, once for each binary
    Libtest,
    /// `==== 3 passed, 1 skipped in 0.2s ====`
    Pytest,
    /// `# pass 3`, and a line for each of the other outcomes
    Node,
}

/// Removes colours and other terminal sequences.
pub(crate) fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // `ESC [ parameters letter`: the letter ends it.
            chars.by_ref().find(|char| char.is_ascii_alphabetic());
        } else {
            plain.push(char);
        }
    }
    plain
}

// === impl Count ===

impl Count {
    /// Tests that ran.
    pub(crate) const fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

// === impl Runner ===

impl Runner {
    /// The counts in `line`, if it is a summary. A runner that prints several means their sum.
    pub(crate) fn read(self, line: &str) -> Option<Count> {
        let line = line.trim();
        let items = match self {
            Self::Nextest => line.strip_prefix("Summary [")?.split_once("] ")?.1.split_once(" run: ")?.1,
            Self::Libtest => line.strip_prefix("test result: ")?.split_once(". ")?.1,
            Self::Node => return node(line),
            Self::Pytest => line.trim_matches(['=', ' ']).rsplit_once(" in ")?.0,
        };
        let mut count = Count::default();
        let mut known = false;
        for item in without_brackets(items).split([',', ';']) {
            let Some((number, label)) = item.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match (self, label.trim()) {
                (_, "passed") | (Self::Pytest, "xpassed") => count.passed += number,
                (_, "skipped" | "ignored") | (Self::Pytest, "xfailed" | "deselected") => count.skipped += number,
                (_, "failed") | (Self::Pytest, "error" | "errors") => count.failed += number,
                // nextest has more ways to fail than one: `timed out`, `exec failed`.
                (Self::Nextest, _) => count.failed += number,
                (Self::Libtest | Self::Pytest | Self::Node, _) => continue,
            }
            known = true;
        }
        known.then_some(count)
    }
}

/// One line of Node's summary.
fn node(line: &str) -> Option<Count> {
    let (label, number) = line.strip_prefix("# ")?.split_once(' ')?;
    let number = number.parse().ok()?;
    let none = Count::default();
    match label {
        "pass" => Some(Count { passed: number, ..none }),
        "fail" | "cancelled" => Some(Count { failed: number, ..none }),
        "skipped" | "todo" => Some(Count { skipped: number, ..none }),
        _ => None,
    }
}

/// Drops what stands in round brackets: nextest details there what it has counted already.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    let mut rest = text.to_owned();
    rest.retain(|char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    });
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn count(passed: u64, failed: u64, skipped: u64) -> Option<Count> {
        Some(Count { passed, failed, skipped })
    }

    #[test]
    fn nextest_in_all_its_moods() {
        for (line, expected) in [
            ("     Summary [   0.012s] 5 tests run: 5 passed, 0 skipped", count(5, 0, 0)),
            ("     Summary [   0.012s] 1 test run: 1 passed, 12 skipped", count(1, 0, 12)),
            (
                "     Summary [   1.2s] 9/12 tests run: 5 passed (1 slow, 2 leaky), 3 failed, 1 timed out, 2 skipped",
                count(5, 4, 2),
            ),
            (
                "     Summary [   1.2s] 4 tests run: 2 passed (1 flaky), 1 exec failed, 1 failed, 0 skipped",
                count(2, 2, 0),
            ),
            ("     Summary [   0.000s] 0 tests run: 0 passed, 3 skipped", count(0, 0, 3)),
            ("        PASS [   0.012s] a crate::tests::summary", None),
            ("    Starting 5 tests across 3 binaries", None),
        ] {
            assert_eq!(Runner::Nextest.read(line), expected, "{line}");
        }
    }

    #[test]
    fn libtest_once_for_each_binary() {
        let text = "running 4 tests\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.01s\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            all doctests ran in 0.44s; merged doctests compilation took 0.40s\n";
        let mut sum = Count::default();
        text.lines().filter_map(|line| Runner::Libtest.read(line)).for_each(|count| sum += count);
        assert_eq!(Some(sum), count(5, 1, 2));
    }

    #[test]
    fn pytest_quiet_or_not() {
        for (line, expected) in [
            ("======= 3 passed, 1 failed, 2 errors, 1 skipped, 4 warnings in 75.03s (0:01:15) =======", count(3, 3, 1)),
            ("12 passed in 1.20s", count(12, 0, 0)),
            ("1 failed, 2 passed, 3 deselected in 0.10s", count(2, 1, 3)),
            ("=========== 1 error in 0.50s ===========", count(0, 1, 0)),
            ("=========== no tests ran in 0.01s ===========", None),
            ("the value 3 passed is not in 4", None),
            ("tests/sdk/test_api.py::test_chat PASSED", None),
        ] {
            assert_eq!(Runner::Pytest.read(line), expected, "{line}");
        }
    }

    #[test]
    fn node_line_by_line() {
        let text = "ok 1 - # pass 7\n# Subtest: pass 5\n# tests 6\n# suites 0\n# pass 3\n# fail 1\n# cancelled 1\n\
            # skipped 1\n# todo 0\n# duration_ms 7942.4\n";
        let mut sum = Count::default();
        text.lines().filter_map(|line| Runner::Node.read(line)).for_each(|count| sum += count);
        assert_eq!(Some(sum), count(3, 2, 1));
    }

    #[test]
    fn colours_do_not_matter() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \
            \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(Runner::Nextest.read(&plain(line)), count(2, 0, 0));
        let line = "\u{1b}[32m\u{1b}[1m2 passed\u{1b}[0m\u{1b}[32m in 0.01s\u{1b}[0m";
        assert_eq!(Runner::Pytest.read(&plain(line)), count(2, 0, 0));
    }
}
