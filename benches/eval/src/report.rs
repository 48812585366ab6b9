//! Puts outcomes into a table.

use std::fmt::Write as _;

use crate::Outcome;

/// The interval in which a share lies with a certainty of 95 % (Wilson's score interval).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilson {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How many outcomes of a policy make a row.
struct Row<'a> {
    name: &'a str,
    outcomes: &'a [Outcome],
}

// === impl Wilson ===

impl Wilson {
    /// Returns the interval of `part` of `whole`; all there is, of nothing.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self { low: 0.0, high: 1.0 };
        }
        let (part, whole) = (real(part), real(whole));
        let (z, share) = (1.96_f64, part / whole);
        let scale = 1.0 + z * z / whole;
        let middle = (share + z * z / (2.0 * whole)) / scale;
        let half = z / scale * (share * (1.0 - share) / whole + z * z / (4.0 * whole * whole)).sqrt();
        Self { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }
}

/// Returns a table with a row for each name and its outcomes, one for each seed.
#[must_use]
pub fn table(rows: &[(String, Vec<Outcome>)]) -> String {
    let mut table = String::from(
        "policy                 hits            wrong per request          worst seed  wrong per hit              audits  comparisons\n",
    );
    for (name, outcomes) in rows {
        Row { name, outcomes }.write(&mut table);
    }
    table
}

// === impl Row ===

impl Row<'_> {
    fn write(&self, table: &mut String) {
        let sum = |of: fn(&Outcome) -> u64| self.outcomes.iter().map(of).sum::<u64>();
        let requests = sum(|outcome| outcome.requests);
        let (hits, wrong) = (sum(|outcome| outcome.hits), sum(|outcome| outcome.wrong));
        let lines = [
            format!("{:<22} {}", self.name, share(hits, requests)),
            interval(wrong, requests),
            format!("{:>6.2} %", 100.0 * self.worst()),
            interval(wrong, hits),
            format!("{:>4.1} %", percent(sum(|outcome| outcome.audits), requests)),
            format!("{:>4.0} %", percent(sum(|outcome| outcome.comparisons), requests)),
        ];
        let _infallible = writeln!(table, "{}", lines.join("   "));
    }

    fn worst(&self) -> f64 {
        let rate = |outcome: &Outcome| real(outcome.wrong) / real(outcome.requests.max(1));
        self.outcomes.iter().map(rate).fold(0.0, f64::max)
    }
}

fn share(part: u64, whole: u64) -> String {
    let Wilson { low, high } = Wilson::of(part, whole);
    format!("{:.3} ±{:.3}", percent(part, whole) / 100.0, (high - low) / 2.0)
}

fn interval(part: u64, whole: u64) -> String {
    let Wilson { low, high } = Wilson::of(part, whole);
    format!("{:>5.2} % ({:.2} to {:.2} %)", percent(part, whole), 100.0 * low, 100.0 * high)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * real(part) / real(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below what a float holds exactly")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_share_and_narrows() {
        let (few, many) = (Wilson::of(1, 10), Wilson::of(100, 1000));
        assert!(few.low < 0.1 && few.high > 0.1 && many.low > few.low && many.high < few.high);
        assert_eq!(Wilson::of(0, 0), Wilson { low: 0.0, high: 1.0 });
        // As printed in textbooks: 10 of 100 is between 5.5 % and 17.4 %.
        let known = Wilson::of(10, 100);
        assert!((known.low - 0.0552).abs() < 1e-3 && (known.high - 0.1744).abs() < 1e-3, "{known:?}");
    }
}
