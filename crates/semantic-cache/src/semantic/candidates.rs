//! Which answers a question may have.

use std::hash::Hash;

use super::Question;
use super::store::Store;
use crate::index::{Neighbour, Slot};
use crate::policy::{Candidate, Features, Policy, Rival, Surroundings, vote};

/// A group of questions near to the one that was asked.
#[derive(Clone, Debug)]
pub(super) struct Near {
    pub(super) group: u64,
    /// Its nearest question; of those that no guard forbids, if there is one.
    pub(super) slot: Slot,
    pub(super) candidate: Candidate,
    pub(super) features: Features,
    pub(super) quarantined: bool,
    pub(super) vouched: bool,
}

/// How many neighbours are looked at.
pub(crate) const NEIGHBOURS: usize = 16;

/// The groups of `found`, that with the most weight first.
pub(super) fn candidates<A: Clone + Eq + Hash>(
    store: &Store<A>,
    question: &Question<'_>,
    found: &[Neighbour],
    policy: &Policy,
) -> Vec<Near> {
    let vetoes = policy.vetoes();
    let mut near: Vec<Near> = Vec::new();
    let mut around = Surroundings { count: 0, groups: 0, votes: 0.0, last: 0.0 };
    for &Neighbour { slot, similarity } in found {
        let Some(entry) = store.entry(&question.scope, slot) else { continue };
        let vote = vote(similarity);
        around.count += 1;
        around.votes += vote;
        around.last = similarity;
        if let Some(known) = near.iter_mut().find(|near| near.group == entry.group) {
            known.candidate.count += 1;
            known.candidate.vote += vote;
            if !known.candidate.guards.and(vetoes).is_empty() {
                let guards = question.text.compare(&entry.text);
                if guards.and(vetoes).is_empty() {
                    (known.slot, known.candidate.best, known.candidate.guards) = (slot, similarity, guards);
                    (known.candidate.nearest, known.candidate.overlap) =
                        (entry.record, question.text.overlap(&entry.text));
                }
            }
            continue;
        }
        let Some(group) = store.group(entry.group) else { continue };
        let candidate = Candidate {
            best: similarity,
            count: 1,
            vote,
            size: group.size(),
            record: group.record,
            nearest: entry.record,
            guards: question.text.compare(&entry.text),
            overlap: question.text.overlap(&entry.text),
        };
        near.push(Near {
            group: entry.group,
            slot,
            candidate,
            features: Features::NONE,
            quarantined: group.quarantined,
            vouched: group.is_vouched_for(question.principal, policy.principals),
        });
    }
    around.groups = u32::try_from(near.len()).unwrap_or(u32::MAX);
    for at in 0..near.len() {
        let others = || near.iter().enumerate().filter(|&(other, _)| other != at).map(|(_, near)| &near.candidate);
        let rival = Rival {
            best: others().map(|candidate| candidate.best).reduce(f32::max),
            vote: others().map(|candidate| candidate.vote).fold(0.0, f32::max),
        };
        near[at].features = Features::of(&near[at].candidate, rival, &around);
    }
    near.sort_by(|a, b| b.candidate.vote.total_cmp(&a.candidate.vote));
    near
}
