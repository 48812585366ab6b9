//! Serve, or not.

use std::hash::Hash;

use rand::{Rng, RngExt as _};

use super::Question;
use super::candidates::Near;
use super::decision::{Compared, Decision, Reason, Ticket};
use super::store::Store;
use crate::policy::{CAUTIOUS, Fitted, Learner};
use crate::text::Guards;

/// How many candidates a fresh answer is compared with.
const COMPARED: usize = 3;
/// What is less similar has nothing to do with a question.
const FLOOR: f32 = 0.4;

/// Serves the nearest that is similar enough and that no guard objects to.
pub(super) fn by_threshold<A: Clone + Eq + Hash>(
    store: &Store<A>,
    question: &Question<'_>,
    mut near: Vec<Near>,
    similarity: f32,
    vetoes: Guards,
) -> Decision<A> {
    near.sort_by(|a, b| b.candidate.best.total_cmp(&a.candidate.best));
    let Some(first) = near.first() else { return miss(question, Reason::Unknown) };
    let refusal = |near: &Near| {
        let Near { candidate, quarantined, .. } = near;
        if candidate.best < similarity {
            Some(Reason::TooFar)
        } else if !reaches(candidate.best, question.least) {
            Some(Reason::BelowCaller)
        } else if !candidate.guards.and(vetoes).is_empty() {
            Some(Reason::Vetoed)
        } else {
            quarantined.then_some(Reason::Quarantined)
        }
    };
    match near.iter().find(|near| refusal(near).is_none()) {
        Some(near) => {
            let mut decision = miss(question, Reason::Similar).about(near);
            decision.answer = store.group(near.group).map(|group| group.answer.clone());
            decision.ticket.served = decision.answer.is_some();
            decision.ticket.compared.push(Compared { group: near.group, slot: near.slot, is_evidence: false });
            decision
        }
        None => miss(question, refusal(first).unwrap_or(Reason::Unknown)).about(first),
    }
}

/// Serves what experience says is right; compares the rest, and some of what it serves.
pub(super) fn by_experience<A: Clone + Eq + Hash>(
    store: &Store<A>,
    learner: &mut Learner,
    question: &Question<'_>,
    mut near: Vec<Near>,
    rng: &mut impl Rng,
) -> Decision<A> {
    let number = learner.request(question.sender);
    near.retain(|near| near.candidate.best >= FLOOR);
    let vetoes = learner.settings().vetoes;
    let vetoed = |near: &Near| !near.candidate.guards.and(vetoes).is_empty();
    let mut ranked: Vec<(Option<f64>, Near)> =
        near.into_iter().map(|near| (learner.fitted().map(|fitted| fitted.score(&near.features)), near)).collect();
    // The order is by weight already, and stays so as long as there are no scores.
    ranked.sort_by(|(a, x), (b, y)| vetoed(x).cmp(&vetoed(y)).then(b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0))));
    let Some((score, first)) = ranked.first() else {
        return Decision { ticket: Ticket { number, ..ticket(question) }, ..miss(question, Reason::Unknown) };
    };
    let is_evidence = !vetoed(first);
    let mut decision = miss(question, verdict(learner, question, *score, first, is_evidence)).about(first);
    (decision.score, decision.cut) = (*score, learner.fitted().map(|fitted| fitted.cut(question.sender)));
    decision.ticket.number = number;
    if is_evidence {
        learner.candidate(number, question.sender, first.features);
    }
    if matches!(decision.reason, Reason::Similar | Reason::Learned) {
        decision.answer = store.group(first.group).map(|group| group.answer.clone());
        decision.ticket.served = decision.answer.is_some();
    }
    let chance =
        if decision.ticket.served { learner.audit_chance(score.unwrap_or(0.0)) } else { learner.settings().judged };
    let drawn = rng.random_bool(chance);
    decision.ticket.stands_for = reciprocal(chance);
    let limit = if decision.ticket.served { 1 } else { COMPARED };
    for (at, (score, near)) in ranked.iter().enumerate().take(limit) {
        let worth = decision.ticket.served || score.is_none_or(Fitted::is_worth_comparing);
        if let Some(group) = store.group(near.group).filter(|_| worth) {
            decision.ticket.compared.push(Compared {
                group: near.group,
                slot: near.slot,
                is_evidence: is_evidence && at == 0,
            });
            if drawn {
                decision.compare.push(group.answer.clone());
            }
        }
    }
    decision
}

fn verdict(learner: &Learner, question: &Question<'_>, score: Option<f64>, near: &Near, allowed: bool) -> Reason {
    let similarity = near.candidate.best;
    match (learner.fitted(), score) {
        _ if !allowed => Reason::Vetoed,
        _ if near.quarantined => Reason::Quarantined,
        (Some(fitted), Some(score)) if score < fitted.cut(question.sender) => Reason::Uncertain,
        (None, _) | (_, None) if similarity < CAUTIOUS => Reason::TooFar,
        (None, _) | (_, None) if !near.candidate.guards.is_empty() => Reason::Vetoed,
        _ if !reaches(similarity, question.least) => Reason::BelowCaller,
        (None, _) | (_, None) => Reason::Similar,
        _ => Reason::Learned,
    }
}

/// Whether a similarity is what a caller asks for; not if the caller asks for what is no number.
fn reaches(similarity: f32, least: f32) -> bool {
    similarity >= least
}

#[expect(clippy::cast_possible_truncation, reason = "a chance between 0.006 and 1")]
fn reciprocal(chance: f64) -> f32 {
    chance.recip() as f32
}

const fn ticket(question: &Question<'_>) -> Ticket {
    let Question { scope, class, .. } = *question;
    Ticket { scope, class, number: 0, served: false, compared: Vec::new(), stands_for: 1.0 }
}

fn miss<A>(question: &Question<'_>, reason: Reason) -> Decision<A> {
    Decision {
        reason,
        answer: None,
        compare: Vec::new(),
        similarity: None,
        score: None,
        cut: None,
        guards: Guards::NONE,
        ticket: ticket(question),
    }
}

// === impl Decision ===

impl<A> Decision<A> {
    fn about(self, near: &Near) -> Self {
        Self { similarity: Some(near.candidate.best), guards: near.candidate.guards, ..self }
    }
}
