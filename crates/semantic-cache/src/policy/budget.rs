//! What may still be spent: wrong answers, and comparisons.

use super::ErrorBound;

/// The accounts of one class. Each request pays in, what is served and compared is charged.
///
/// The bound that was learned holds for traffic as it was. If more of it is served than was expected, as while a memory fills, the
/// account of errors runs out first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    errors: f64,
    comparisons: f64,
}

/// So many requests' errors may be saved up. Half of them are there at the beginning.
const SAVED: f64 = 1000.0;
/// So many comparisons are there at the beginning, when anything is worth knowing.
const COMPARISONS_AT_FIRST: f64 = 2000.0;
/// So many may be saved up later.
const COMPARISONS_SAVED: f64 = 200.0;
/// Candidates less likely to be right are worth no comparison, ...
const CHEAPEST: f64 = 0.2;
/// ... and these always are, as long as there is one left.
const DEAREST: f64 = 0.5;
/// What is less likely right is not compared even to see whether experience is wrong.
const EXPLORED: f64 = 0.03;

// === impl Budget ===

impl Budget {
    pub(super) fn new(settings: &ErrorBound) -> Self {
        Self { errors: settings.target * SAVED / 2.0, comparisons: COMPARISONS_AT_FIRST }
    }

    /// Pays in for a request.
    pub(super) fn request(&mut self, settings: &ErrorBound) {
        if !settings.per_hit {
            self.earn(settings, settings.target);
        }
        let most = self.comparisons.max(COMPARISONS_SAVED);
        self.comparisons = (self.comparisons + settings.comparisons).min(most);
    }

    /// Charges an answer that is served and that may be wrong with a chance of `risk`.
    pub(super) fn serve(&mut self, settings: &ErrorBound, risk: f64) {
        self.errors -= risk;
        if settings.per_hit {
            self.earn(settings, settings.target);
        }
    }

    /// Charges answers that were wrong.
    pub(super) fn found_wrong(&mut self, settings: &ErrorBound, answers: f64) {
        // There is a floor, so that false blame does not close the cache for long.
        self.errors = (self.errors - answers).max(-settings.target * SAVED / 2.0);
    }

    /// Charges comparisons.
    pub(super) fn compare(&mut self, expected: f64) {
        self.comparisons -= expected;
    }

    /// Whether an answer may be served that is wrong with a chance of `risk`, as far as that is known.
    pub(super) fn may_serve(&self, settings: &ErrorBound, risk: Option<f64>) -> bool {
        // Where only hits pay in, those that pay in more than they cost must go on.
        self.errors >= 0.0 || (settings.per_hit && risk.is_some_and(|risk| risk < settings.target))
    }

    /// How likely a candidate must be right to be worth a comparison now: the more the fewer are left. Infinite if none is.
    pub(super) fn bar(&self) -> f64 {
        if self.comparisons < 1.0 {
            return f64::INFINITY;
        }
        let left = (self.comparisons / COMPARISONS_SAVED).min(1.0);
        DEAREST - (DEAREST - CHEAPEST) * left
    }

    /// The same for what is compared to see whether experience is wrong.
    pub(super) fn explored_bar(&self) -> f64 {
        if self.comparisons < 1.0 { f64::INFINITY } else { EXPLORED }
    }

    fn earn(&mut self, settings: &ErrorBound, errors: f64) {
        self.errors = (self.errors + errors).min(settings.target * SAVED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ErrorBound {
        ErrorBound::new(0.01).expect("it is in range")
    }

    #[test]
    fn what_is_served_is_never_expected_to_be_wrong_more_often_than_allowed() {
        for settings in [settings(), settings().per_hit()] {
            let mut budget = Budget::new(&settings);
            let (mut hits, mut wrong) = (0.0, 0.0);
            for at in 0..20_000_u32 {
                budget.request(&settings);
                // Now and then everything is safe; then much is not.
                let risk = if at % 4000 < 2000 { 0.001 } else { 0.2 };
                if budget.may_serve(&settings, Some(risk)) {
                    budget.serve(&settings, risk);
                    hits += 1.0;
                    wrong += risk;
                }
            }
            let of = if settings.per_hit { hits } else { 20_000.0 };
            assert!(wrong <= 0.01 * (of + SAVED) && hits > 5_000.0, "{wrong} of {of}");
        }
    }

    #[test]
    fn the_fewer_comparisons_are_left_the_dearer_they_are() {
        let settings = settings().comparisons(0.3).expect("it is in range");
        let mut budget = Budget::new(&settings);
        let mut made = 0.0;
        for chance in (0..20_000_u32).map(|at| f64::from(at % 100) / 100.0) {
            budget.request(&settings);
            if chance >= budget.bar() {
                budget.compare(1.0);
                made += 1.0;
            }
        }
        assert!(made <= settings.comparisons * 20_000.0 + COMPARISONS_AT_FIRST, "{made}");
        assert!(budget.bar() > 0.4, "{}", budget.bar());
    }
}
