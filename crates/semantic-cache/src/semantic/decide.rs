//! Serve, or not.

use std::hash::Hash;

use rand::{Rng, RngExt as _};

use super::Question;
use super::candidates::Near;
use super::decision::{Compared, Decision, Reason, Ticket};
use super::store::Store;
use crate::policy::{CAUTIOUS, DOUBTFUL, EXPLORED, Learner, chance};
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
        let Near { candidate, quarantined, vouched, .. } = near;
        if candidate.best < similarity {
            Some(Reason::TooFar)
        } else if !reaches(candidate.best, question.least) {
            Some(Reason::BelowCaller)
        } else if !candidate.guards.and(vetoes).is_empty() {
            Some(Reason::Vetoed)
        } else {
            match (*quarantined, *vouched) {
                (true, _) => Some(Reason::Quarantined),
                (false, vouched) => (!vouched).then_some(Reason::Unvouched),
            }
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
        None => {
            // Whoever has this answer of its own vouches for it: so a judge is asked.
            let unvouched = near.iter().find(|near| refusal(near) == Some(Reason::Unvouched));
            let about = unvouched.unwrap_or(first);
            let mut decision = miss(question, refusal(about).unwrap_or(Reason::Unknown)).about(about);
            if let Some(group) = unvouched.and_then(|near| store.group(near.group)) {
                decision.ticket.compared.push(Compared { group: about.group, slot: about.slot, is_evidence: false });
                decision.compare.push(group.answer.clone());
            }
            decision
        }
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
    if decision.ticket.served {
        learner.serve(*score);
        decision.ticket.untried = score.is_none();
        let chance = learner.audit_chance(score.unwrap_or(0.0));
        decision.ticket.stands_for = reciprocal(chance);
        decision.ticket.compared.push(Compared { group: first.group, slot: first.slot, is_evidence });
        if rng.random_bool(chance) {
            decision.compare.extend(decision.answer.clone());
            learner.compare(1.0);
        }
    } else {
        // Of what is hardly worth it, a few are compared all the same, to see whether experience is wrong.
        let explored = score.is_some_and(|score| chance(score) < learner.bar(false)) && rng.random_bool(EXPLORED);
        let limit = if explored { 1 } else { COMPARED };
        let bar = learner.bar(explored);
        if explored {
            decision.ticket.stands_for = reciprocal(EXPLORED);
        }
        // Only the first, if no guard forbids it, is one that might have been served: the others only gather what belongs together.
        let evidence = is_evidence.then_some(first.group);
        for compared in compare(store, learner, &ranked[..ranked.len().min(limit)], bar) {
            decision.compare.extend(store.group(compared.group).map(|group| group.answer.clone()));
            decision.ticket.compared.push(Compared { is_evidence: evidence == Some(compared.group), ..compared });
        }
        decision.ticket.doubtful =
            is_evidence && decision.compare.is_empty() && score.is_some_and(|score| chance(score) >= DOUBTFUL);
    }
    decision
}

/// The candidates to compare a fresh answer with: those as likely right as `bar`.
fn compare<A: Clone + Eq + Hash>(
    store: &Store<A>,
    learner: &mut Learner,
    ranked: &[(Option<f64>, Near)],
    bar: f64,
) -> Vec<Compared> {
    let mut compared = Vec::with_capacity(ranked.len());
    for (score, Near { group, slot, .. }) in ranked {
        let likely = score.map_or(0.5, chance);
        if likely >= bar && store.group(*group).is_some() {
            compared.push(Compared { group: *group, slot: *slot, is_evidence: false });
            learner.compare(1.0);
        }
    }
    compared
}

fn verdict(learner: &Learner, question: &Question<'_>, score: Option<f64>, near: &Near, allowed: bool) -> Reason {
    let similarity = near.candidate.best;
    match (learner.fitted(), score) {
        _ if !allowed => Reason::Vetoed,
        _ if near.quarantined => Reason::Quarantined,
        _ if !near.vouched => Reason::Unvouched,
        (Some(fitted), Some(score)) if score < fitted.cut(question.sender) => Reason::Uncertain,
        (None, _) | (_, None) if similarity < CAUTIOUS => Reason::TooFar,
        (None, _) | (_, None) if !near.candidate.guards.is_empty() => Reason::Vetoed,
        _ if !reaches(similarity, question.least) => Reason::BelowCaller,
        _ if learner.is_spent(score) => Reason::Spent,
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
    Ticket {
        scope,
        class,
        number: 0,
        served: false,
        compared: Vec::new(),
        stands_for: 1.0,
        untried: false,
        doubtful: false,
    }
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
