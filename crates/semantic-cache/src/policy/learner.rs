//! Learns when to serve.

use std::collections::HashMap;

use super::ErrorBound;
use super::bound;
use super::evidence::{Evidence, Judged};
use super::features::Features;
use super::fit::{Model, chance};

/// The experience of one class of requests.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    pub(super) settings: ErrorBound,
    pub(super) evidence: Evidence,
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
    /// The least score that is served.
    cut: f64,
    /// The same for senders whose own requests were answered wrongly too often.
    own: HashMap<u64, f64>,
}

/// After how many requests it learns again.
const EVERY: u64 = 200;
/// How many judgements it takes, and how many of each kind.
const JUDGED: usize = 100;
const JUDGED_OF_EACH: usize = 10;
/// What is checked of the answers served before anything was learned.
const AUDITS_AT_FIRST: f64 = 0.25;
/// Candidates less likely to be right are not worth a comparison.
const WORTH_COMPARING: f64 = 0.03;

// === impl Learner ===

impl Learner {
    pub(crate) const fn new(settings: ErrorBound) -> Self {
        let evidence = Evidence::new(settings.window);
        Self { settings, evidence, fitted: None, learned_at: 0 }
    }

    pub(super) fn restored(settings: ErrorBound, evidence: Evidence) -> Self {
        let mut learner = Self { settings, evidence, fitted: None, learned_at: 0 };
        if learner.has_enough() {
            learner.fitted = Some(learner.evidence_of().run());
            learner.learned_at = learner.evidence.next;
        }
        learner
    }

    /// Counts a request, and returns its number.
    pub(crate) fn request(&mut self, sender: u64) -> u64 {
        self.evidence.request(sender)
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
        let Some(Fitted { cut, .. }) = &self.fitted else { return AUDITS_AT_FIRST.max(rate) };
        let likelier = (chance(-score) / chance(-cut).max(f64::MIN_POSITIVE)).sqrt();
        (2.0 * rate * likelier).clamp(0.6 * rate, 0.5)
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
            for sender in offenders {
                let alone = HashMap::from([(sender, 1.0)]);
                let mut scored = evidence.scored(&fitted.model, &alone);
                let cut = bound::cut(&mut scored, evidence.requests(&alone), settings.target);
                fitted.own.insert(sender, cut.max(fitted.cut));
            }
        }
        fitted
    }
}

// === impl Fitted ===

impl Fitted {
    pub(super) const fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.model.score(features)
    }

    /// The least score that is served to `sender`.
    pub(crate) fn cut(&self, sender: u64) -> f64 {
        self.own.get(&sender).copied().unwrap_or(self.cut)
    }

    /// Whether it is worth comparing a fresh answer with a candidate of `score`.
    pub(crate) fn is_worth_comparing(score: f64) -> bool {
        chance(score) >= WORTH_COMPARING
    }

    fn of(settings: &ErrorBound, evidence: &Evidence, weights: &HashMap<u64, f64>) -> Self {
        let model = Model::fit(&evidence.examples(weights));
        let mut scored = evidence.scored(&model, weights);
        let cut = bound::cut(&mut scored, evidence.requests(weights), settings.target);
        Self { model, cut, own: HashMap::new() }
    }

    /// Senders of whom it is certain that too many of their own requests would be answered wrongly.
    fn offenders(&self, settings: &ErrorBound, evidence: &Evidence) -> Vec<u64> {
        let mut requests: HashMap<u64, (f64, f64, f64)> = HashMap::new();
        evidence.senders.iter().for_each(|&sender| requests.entry(sender).or_default().0 += 1.0);
        if requests.len() < 2 {
            return Vec::new();
        }
        for record in &evidence.records {
            let Some(judged) = record.judged.filter(|judged| !judged.right) else { continue };
            if self.score(&record.features) >= self.cut
                && let Some((_, wrong, squares)) = requests.get_mut(&record.sender)
            {
                let stands_for = f64::from(judged.stands_for);
                *wrong += stands_for;
                *squares += stands_for * stands_for;
            }
        }
        let certain = |&(requests, wrong, squares): &(f64, f64, f64)| {
            wrong - 1.64 * (squares + 1.0).sqrt() > settings.target * requests
        };
        let mut offenders: Vec<u64> =
            requests.into_iter().filter(|(_, sums)| certain(sums)).map(|(sender, _)| sender).collect();
        offenders.sort_unstable();
        offenders
    }
}
