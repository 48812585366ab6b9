//! Steps, one after the other, and the table of how they went.

use std::process::ExitCode;
use std::time::Duration;

use crate::count::Count;
use crate::tools::Tested;

/// The steps so far. A step that fails does not stop the next: one run shows everything that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    count: Count,
    took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(&'static str),
}

// === impl Report ===

impl Report {
    /// Runs a step that has no tests to count.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<(), String>) {
        self.record(name, || match run() {
            Ok(()) => (Outcome::Passed, Count::default()),
            Err(why) => (Outcome::Failed(why), Count::default()),
        });
    }

    /// Runs a step made of tests. It fails as well when no test ran.
    pub(crate) fn tests(&mut self, name: &'static str, run: impl FnOnce() -> Tested) {
        self.record(name, || {
            let Tested { result, count } = run();
            let outcome = match result {
                Err(why) => Outcome::Failed(why),
                Ok(()) if count.failed > 0 => Outcome::Failed(format!("{} failed", count.failed)),
                Ok(()) if count.ran() == 0 => Outcome::Failed("no test ran".to_owned()),
                Ok(()) => Outcome::Passed,
            };
            (outcome, count)
        });
    }

    /// Notes a step that was not run on request.
    pub(crate) fn left_out(&mut self, name: &'static str, why: &'static str) {
        let step = Step { name, outcome: Outcome::LeftOut(why), count: Count::default(), took: Duration::ZERO };
        self.steps.push(step);
    }

    /// Prints the table, and the total as the last line.
    pub(crate) fn finish(&self) -> ExitCode {
        println!("\nsummary");
        for step in &self.steps {
            println!("{}", step.line());
        }
        let total = self.total();
        println!("{} passed, {} failed", total.passed, total.failed);
        if self.steps.iter().any(Step::failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// A failed step without a failed test counts as one failure, so that `0 failed` always means success.
    fn total(&self) -> Count {
        let mut total = Count::default();
        for step in &self.steps {
            total += step.count;
            total.failed += u64::from(step.failed() && step.count.failed == 0);
        }
        total
    }

    fn record(&mut self, name: &'static str, run: impl FnOnce() -> (Outcome, Count)) {
        println!("\n==> {name}");
        let ((outcome, count), took) = timed(run);
        if let Outcome::Failed(why) = &outcome {
            eprintln!("{name}: {why}");
        }
        self.steps.push(Step { name, outcome, count, took });
    }
}

// === impl Step ===

impl Step {
    fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn line(&self) -> String {
        let (word, why) = match &self.outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Failed(why) => ("FAILED", why.lines().next().unwrap_or_default()),
            Outcome::LeftOut(why) => ("left out", *why),
        };
        let mut notes = Vec::new();
        if self.count != Count::default() {
            notes.push(format!("{} passed, {} failed", self.count.passed, self.count.failed));
        }
        if self.count.skipped > 0 {
            notes.push(format!("{} skipped", self.count.skipped));
        }
        if !why.is_empty() {
            notes.push(why.to_owned());
        }
        let line = format!("  {:<10} {word:<8} {:>7.1} s   {}", self.name, self.took.as_secs_f64(), notes.join(", "));
        line.trim_end().to_owned()
    }
}

#[expect(clippy::disallowed_types, reason = "what programs take is real time; there is no runtime here to ask")]
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let value = run();
    (value, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(passed: u64, failed: u64, result: Result<(), &str>) -> Tested {
        Tested { result: result.map_err(str::to_owned), count: Count { passed, failed, skipped: 0 } }
    }

    #[test]
    fn the_total_adds_up_tests_and_broken_steps() {
        let mut report = Report::default();
        report.step("fmt", || Err("exit status 1".to_owned()));
        report.tests("tests", || tested(5, 2, Err("exit status 100")));
        report.tests("doctests", || tested(3, 0, Ok(())));
        report.left_out("sdk", "on request");
        assert_eq!(report.total(), Count { passed: 8, failed: 3, skipped: 0 });
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_step_without_a_test_fails() {
        let mut report = Report::default();
        report.tests("tests", || tested(0, 0, Ok(())));
        assert_eq!(report.total().failed, 1);
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_failed_test_fails_a_runner_that_says_ok() {
        let mut report = Report::default();
        report.tests("tests", || tested(4, 1, Ok(())));
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn all_well_is_success() {
        let mut report = Report::default();
        report.step("fmt", || Ok(()));
        report.tests("tests", || tested(4, 0, Ok(())));
        assert_eq!(report.finish(), ExitCode::SUCCESS);
    }
}
