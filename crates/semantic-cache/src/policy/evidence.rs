//! What was seen and judged lately.

use std::collections::{HashMap, VecDeque};

use super::bound::Scored;
use super::features::Features;
use super::fit::{Example, Model};

/// The last requests of a class, and what became of those that had a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evidence {
    pub(super) window: usize,
    /// Who sent each request.
    pub(super) senders: VecDeque<u64>,
    /// The number of the next request.
    pub(super) next: u64,
    /// At most one for each request, in their order.
    pub(super) records: VecDeque<Record>,
}

/// A request that had a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) sender: u64,
    pub(super) features: Features,
    pub(super) judged: Option<Judged>,
}

/// What a judge said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) right: bool,
    /// For how many requests it stands: the inverse of the chance that it was judged.
    pub(super) stands_for: f32,
}

/// In how many parts evidence is cut, to score each by what the others teach.
pub(super) const FOLDS: usize = 4;

/// No judgement stands for more when weights are learned: one lucky audit must not turn them.
const STANDS_FOR_AT_MOST: f32 = 5.0;

// === impl Evidence ===

impl Evidence {
    pub(super) const fn new(window: usize) -> Self {
        Self { window, senders: VecDeque::new(), next: 0, records: VecDeque::new() }
    }

    /// Counts a request, forgets those that are too old, and returns its number.
    pub(super) fn request(&mut self, sender: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        self.senders.push_back(sender);
        while self.senders.len() > self.window {
            self.senders.pop_front();
        }
        let oldest = self.oldest();
        while self.records.front().is_some_and(|record| record.number < oldest) {
            self.records.pop_front();
        }
        number
    }

    /// Notes the candidate of the request that was counted last.
    pub(super) fn candidate(&mut self, number: u64, sender: u64, features: Features) {
        self.records.push_back(Record { number, sender, features, judged: None });
    }

    /// Notes what a judge said of the candidate of a request, the first time it does.
    pub(super) fn judge(&mut self, number: u64, judged: Judged) {
        if let Ok(at) = self.records.binary_search_by_key(&number, |record| record.number) {
            self.records[at].judged.get_or_insert(judged);
        }
    }

    /// How many judgements there are, of right and of wrong candidates.
    pub(super) fn judged(&self) -> (usize, usize) {
        self.records
            .iter()
            .filter_map(|record| record.judged)
            .fold((0, 0), |(right, wrong), judged| if judged.right { (right + 1, wrong) } else { (right, wrong + 1) })
    }

    pub(super) fn oldest(&self) -> u64 {
        self.next - u64::try_from(self.senders.len()).unwrap_or(0)
    }

    /// What each request of a sender counts for, so that none has more than `share` of the window as far as others are there.
    pub(super) fn weights(&self, share: f64) -> HashMap<u64, f64> {
        let mut counts: HashMap<u64, f64> = HashMap::new();
        self.senders.iter().for_each(|&sender| *counts.entry(sender).or_default() += 1.0);
        let limit = share * counts.values().sum::<f64>();
        let weights: HashMap<u64, f64> =
            counts.into_iter().map(|(sender, count)| (sender, (limit / count).min(1.0))).collect();
        // One that is alone has all of it.
        let most = weights.values().fold(0.0_f64, |most, &weight| most.max(weight));
        weights.into_iter().map(|(sender, weight)| (sender, weight / most.max(f64::MIN_POSITIVE))).collect()
    }

    /// How many requests there are by weight.
    pub(super) fn requests(&self, weights: &HashMap<u64, f64>) -> f64 {
        self.senders.iter().filter_map(|sender| weights.get(sender)).sum()
    }

    /// Senders who have a tenth of all weight and more: ten at most.
    pub(super) fn heavy(&self, weights: &HashMap<u64, f64>) -> Vec<u64> {
        let mut sums: HashMap<u64, f64> = HashMap::new();
        for sender in &self.senders {
            if let Some(&weight) = weights.get(sender) {
                *sums.entry(*sender).or_default() += weight;
            }
        }
        let least = 0.1 * sums.values().sum::<f64>();
        let mut heavy: Vec<u64> = sums.into_iter().filter(|&(_, sum)| sum >= least).map(|(sender, _)| sender).collect();
        heavy.sort_unstable();
        heavy
    }

    /// The judged candidates to learn from.
    pub(super) fn examples<'a>(&'a self, weights: &'a HashMap<u64, f64>) -> Vec<Example<'a>> {
        let of = |record: &'a Record| {
            let judged = record.judged?;
            let weight = weights.get(&record.sender)? * f64::from(judged.stands_for.min(STANDS_FOR_AT_MOST));
            Some(Example { features: &record.features, right: judged.right, weight, fold: record.fold() })
        };
        self.records.iter().filter_map(of).collect()
    }

    /// All candidates, each as the model of its fold scores it.
    pub(super) fn scored(&self, folds: &[Model; FOLDS], weights: &HashMap<u64, f64>) -> Vec<Scored> {
        let of = |record: &Record| {
            let wrong = record.judged.map(|judged| !judged.right);
            let score = folds[record.fold()].score(&record.features);
            Some(Scored { score, weight: *weights.get(&record.sender)?, wrong })
        };
        self.records.iter().filter_map(of).collect()
    }
}

// === impl Record ===

impl Record {
    fn fold(&self) -> usize {
        usize::try_from(self.number % FOLDS as u64).unwrap_or(0)
    }
}
