//! Learns when to serve.

use std::collections::HashMap;

use super::ErrorBound;
use super::bound::{Boundary, Goal};
use super::budget::Budget;
use super::evidence::{Evidence, Judged};
use super::features::Features;
use super::fit::{Model, chance};

/// The experience of one class of requests.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    pub(super) settings: ErrorBound,
    pub(super) evidence: Evidence,
    budget: Budget,
    fitted: Option<Fitted>,
    /// The number of requests when it learned last, or was asked to.
    learned_at: u64,
}

/// Evidence to learn from, apart from the lock that guards it.
#[derive(Clone, Debug)]
pub(crate) struct Refit {
    settings: ErrorBound,
    evidence: Evidence,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fitted {
    model: Model,
    /// What is served.
    boundary: Boundary,
    /// The same for senders whose own requests were answered wrongly too often.
    own: HashMap<u64, f64>,
    /// The same without the evidence of one sender, of each that has much of it.
    without: Vec<(u64, f64)>,
}

/// After how many requests it learns again.
const EVERY: u64 = 200;
/// How many judgements it takes, and how many of each kind.
const JUDGED: usize = 100;
const JUDGED_OF_EACH: usize = 10;
/// What is checked of the answers served before anything was learned.
const AUDITS_AT_FIRST: f64 = 0.25;
/// Of candidates that are hardly worth a comparison, so many are compared all the same: experience may be wrong.
pub(crate) const EXPLORED: f64 = 0.03;
/// What is as likely right as this, and is not compared, is not remembered as something of its own.
pub(crate) const DOUBTFUL: f64 = 0.05;

// === impl Learner ===

impl Learner {
    pub(crate) fn new(settings: ErrorBound) -> Self {
        let evidence = Evidence::new(settings.window);
        Self { budget: Budget::new(&settings), settings, evidence, fitted: None, learned_at: 0 }
    }

    pub(super) fn restored(settings: ErrorBound, evidence: Evidence) -> Self {
        let mut learner = Self { evidence, ..Self::new(settings) };
        if learner.has_enough() {
            learner.fitted = Some(learner.evidence_of().run());
            learner.learned_at = learner.evidence.next;
        }
        learner
    }

    /// Counts a request, and returns its number.
    pub(crate) fn request(&mut self, sender: u64) -> u64 {
        self.budget.request(&self.settings);
        self.evidence.request(sender)
    }

    /// Charges an answer that is served with a score, or with none.
    pub(crate) fn serve(&mut self, score: Option<f64>) {
        // What is served without experience is charged when it is found to be wrong.
        self.budget.serve(&self.settings, self.risk_at(score).unwrap_or(0.0));
    }

    /// Charges so many answers, served without experience, that were wrong.
    pub(crate) fn found_wrong(&mut self, answers: f32) {
        self.budget.found_wrong(&self.settings, f64::from(answers));
    }

    /// Charges comparisons.
    pub(crate) fn compare(&mut self, expected: f64) {
        self.budget.compare(expected);
    }

    /// Whether as many answers as are allowed were wrong already, about.
    pub(crate) fn is_spent(&self, score: Option<f64>) -> bool {
        !self.budget.may_serve(&self.settings, self.risk_at(score))
    }

    /// How likely a candidate must be right to be worth a comparison now; if it is to be explored, this matters little.
    pub(crate) fn bar(&self, explored: bool) -> f64 {
        if explored { self.budget.explored_bar() } else { self.budget.bar() }
    }

    /// Notes the candidate of the request that was counted last.
    pub(crate) fn candidate(&mut self, number: u64, sender: u64, features: Features) {
        self.evidence.candidate(number, sender, features);
    }

    /// Notes whether the candidate of a request was right; it was judged with a chance of one to `stands_for`.
    pub(crate) fn judge(&mut self, number: u64, right: bool, stands_for: f32) {
        self.evidence.judge(number, Judged { right, stands_for });
    }

    /// The evidence, if it is time to learn from it.
    pub(crate) fn due(&mut self) -> Option<Refit> {
        if self.evidence.next < self.learned_at + EVERY || !self.has_enough() {
            return None;
        }
        self.learned_at = self.evidence.next;
        Some(self.evidence_of())
    }

    pub(crate) fn install(&mut self, fitted: Fitted) {
        self.fitted = Some(fitted);
    }

    pub(crate) const fn fitted(&self) -> Option<&Fitted> {
        self.fitted.as_ref()
    }

    pub(crate) const fn settings(&self) -> &ErrorBound {
        &self.settings
    }

    /// The chance with which an answer served at `score` is checked.
    ///
    /// More often where errors are likelier, by the square root, as samples are best taken.
    pub(crate) fn audit_chance(&self, score: f64) -> f64 {
        let rate = self.settings.audits;
        let Some(cut) = self.fitted.as_ref().map(|fitted| fitted.boundary.cut) else {
            return AUDITS_AT_FIRST.max(rate);
        };
        let likelier = (chance(-score) / chance(-cut).max(f64::MIN_POSITIVE)).sqrt();
        (2.0 * rate * likelier).clamp(0.6 * rate, 0.5)
    }

    /// How likely an answer of this score is wrong, as far as was learned.
    fn risk_at(&self, score: Option<f64>) -> Option<f64> {
        self.fitted.as_ref().zip(score).map(|(fitted, score)| fitted.boundary.risk(score))
    }

    fn has_enough(&self) -> bool {
        let (right, wrong) = self.evidence.judged();
        right + wrong >= JUDGED && right.min(wrong) >= JUDGED_OF_EACH
    }

    fn evidence_of(&self) -> Refit {
        Refit { settings: self.settings.clone(), evidence: self.evidence.clone() }
    }
}

// === impl Refit ===

impl Refit {
    /// Learns. Takes milliseconds: not under a lock.
    pub(crate) fn run(self) -> Fitted {
        let Self { settings, evidence } = self;
        let mut weights = evidence.weights(settings.share);
        let mut fitted = Fitted::of(&settings, &evidence, &weights);
        let offenders = fitted.offenders(&settings, &evidence);
        if !offenders.is_empty() && offenders.len() < weights.len() {
            // Their evidence is theirs alone. So bad judgements close the cache for those who bring them, not for all.
            weights.retain(|sender, _| !offenders.contains(sender));
            fitted = Fitted::of(&settings, &evidence, &weights);
            let folds = fitted.model.folds(&evidence.examples(&weights));
            for sender in offenders {
                let alone = HashMap::from([(sender, 1.0)]);
                let mut scored = evidence.scored(&folds, &alone);
                let own = Boundary::of(&mut scored, Goal::of(&settings, evidence.requests(&alone)));
                fitted.own.insert(sender, own.cut.max(fitted.boundary.cut));
            }
        }
        fitted
    }
}

// === impl Fitted ===

impl Fitted {
    pub(super) const fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.model.score(features)
    }

    /// The least score that is served to anybody.
    pub(crate) const fn common_cut(&self) -> f64 {
        self.boundary.cut
    }

    /// The least score that is served to `sender`.
    pub(crate) fn cut(&self, sender: u64) -> f64 {
        let own = self.own.get(&sender).copied().unwrap_or(self.boundary.cut);
        // What one other sender alone says in favour is not enough.
        let others = self.without.iter().filter(|&&(other, _)| other != sender);
        others.fold(own, |strictest, &(_, cut)| strictest.max(cut))
    }

    fn of(settings: &ErrorBound, evidence: &Evidence, weights: &HashMap<u64, f64>) -> Self {
        let examples = evidence.examples(weights);
        let model = Model::fit(&examples);
        // A model flatters the examples it was fitted to. So each is scored by one that has not seen it.
        let folds = model.folds(&examples);
        let boundary = |weights: &HashMap<u64, f64>| {
            Boundary::of(&mut evidence.scored(&folds, weights), Goal::of(settings, evidence.requests(weights)))
        };
        let without = |sender: u64| {
            let mut others = weights.clone();
            others.remove(&sender);
            (sender, boundary(&others).cut)
        };
        let without = evidence.heavy(weights).into_iter().map(without).collect();
        Self { boundary: boundary(weights), model, own: HashMap::new(), without }
    }

    /// Senders of whom it is certain that too many of their own requests would be answered wrongly.
    fn offenders(&self, settings: &ErrorBound, evidence: &Evidence) -> Vec<u64> {
        let mut senders: HashMap<u64, (f64, f64, f64)> = HashMap::new();
        let requests = if settings.per_hit { 0.0 } else { 1.0 };
        evidence.senders.iter().for_each(|&sender| senders.entry(sender).or_default().0 += requests);
        if senders.len() < 2 {
            return Vec::new();
        }
        for record in evidence.records.iter().filter(|record| self.score(&record.features) >= self.boundary.cut) {
            let Some((of, wrong, squares)) = senders.get_mut(&record.sender) else { continue };
            *of += 1.0 - requests;
            if let Some(judged) = record.judged.filter(|judged| !judged.right) {
                let stands_for = f64::from(judged.stands_for);
                *wrong += stands_for;
                *squares += stands_for * stands_for;
            }
        }
        let certain =
            |&(of, wrong, squares): &(f64, f64, f64)| wrong - 1.64 * (squares + 1.0).sqrt() > settings.target * of;
        let mut offenders: Vec<u64> =
            senders.into_iter().filter(|(_, sums)| certain(sums)).map(|(sender, _)| sender).collect();
        offenders.sort_unstable();
        offenders
    }
}
