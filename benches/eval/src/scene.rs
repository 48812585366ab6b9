//! Kinds of traffic made of one data set, to see whether what holds for one holds for others.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use buttress_semantic_cache::{Index, Slot};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::Data;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[non_exhaustive]
pub enum Kind {
    /// All questions, in an order drawn by chance.
    #[default]
    Shuffled,
    /// Only the classes that are confused with each other the most: half of them, and no more than 77.
    Confusable,
    /// Each class becomes many, of one to four questions: most questions are new, and have neighbours that ask for something else.
    Sparse,
    /// One part of the classes after the other; near ones come together.
    Drift,
    /// A few classes are asked about often, and most hardly ever.
    Popular,
    /// In the middle, the answers of half of the classes become others.
    Turning,
}

/// Traffic of one kind.
#[derive(Debug)]
pub struct Scene<'a> {
    pub(crate) data: &'a Data,
    kind: Kind,
    questions: Vec<Asked>,
    /// The part of the stream in which a class comes, where they drift.
    parts: HashMap<u32, usize>,
}

/// A question, and what it asks for when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at: usize,
    pub(crate) meaning: u32,
}

/// No more classes are confusable.
const CONFUSABLE: usize = 77;
/// With fewer questions, a class is none to be chosen for its neighbours.
const MEMBERS: usize = 20;
/// How many neighbours say whether a class is confused with others.
const NEIGHBOURS: usize = 10;
/// How many others a sparse class may have besides its first question.
const SIZES: [usize; 3] = [1, 2, 3];
/// How near they must be, and by how much that varies, four times.
const ALIKE: f32 = 0.85;
const BLUR: f32 = 0.06;
/// How many parts a stream has that drifts.
const PARTS: usize = 10;
/// What the other answer of a class is called.
const OTHER: u32 = 1 << 30;

// === impl Scene ===

impl<'a> Scene<'a> {
    /// Makes traffic of a kind.
    #[must_use]
    pub fn new(data: &'a Data, kind: Kind) -> Self {
        let all = || data.labels.iter().enumerate().map(|(at, &meaning)| Asked { at, meaning });
        let questions = match kind {
            Kind::Confusable => {
                let chosen = confusable(data);
                all().filter(|asked| chosen.contains(&asked.meaning)).collect()
            }
            Kind::Sparse => sparse(data),
            _ => all().collect(),
        };
        let parts = if kind == Kind::Drift { parts(data) } else { HashMap::new() };
        Self { data, kind, questions, parts }
    }

    /// Returns how many questions there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.questions.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The first `most` questions of an order that `seed` draws. A share of them, `noise`, is labelled wrongly.
    pub(crate) fn stream(&self, seed: u64, most: usize, noise: f64) -> Vec<Asked> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut asked = self.questions.clone();
        asked.shuffle(&mut rng);
        match self.kind {
            Kind::Drift => {
                asked.sort_by_key(|asked| self.parts.get(&asked.meaning).copied().unwrap_or(asked.at % PARTS));
            }
            Kind::Popular => asked = popular(&asked, &mut rng),
            _ => {}
        }
        asked.truncate(most);
        if self.kind == Kind::Turning {
            let middle = asked.len() / 2;
            for asked in asked[middle..].iter_mut().filter(|asked| asked.meaning % 2 == 0) {
                asked.meaning |= OTHER;
            }
        }
        for at in 0..asked.len() {
            if rng.random_bool(noise) {
                asked[at].meaning = asked[rng.random_range(0..asked.len())].meaning;
            }
        }
        asked
    }
}

/// The classes whose questions have the most neighbours of other classes.
fn confusable(data: &Data) -> Vec<u32> {
    let members = members(data);
    let (index, labels) = index(data);
    let mut found = Vec::new();
    let mut ranked: Vec<(usize, u32)> = Vec::new();
    for (&label, questions) in members.iter().filter(|(_, questions)| questions.len() >= MEMBERS) {
        let mut others = 0;
        for &at in questions {
            index.nearest(data.vector(at), NEIGHBOURS, 0.0, &mut found);
            others += found.iter().filter(|neighbour| labels.get(&neighbour.slot) != Some(&label)).count();
        }
        ranked.push((1_000_000 * others / questions.len(), label));
    }
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.truncate(CONFUSABLE.min(ranked.len() / 2));
    ranked.into_iter().map(|(_, label)| label).collect()
}

/// Cuts each class into classes of a few questions. Which belong together is likelier the nearer they are, and not certain.
fn sparse(data: &Data) -> Vec<Asked> {
    let mut sizes = SIZES.into_iter().cycle();
    let mut rng = StdRng::seed_from_u64(0);
    let (mut questions, mut next) = (Vec::new(), 0);
    let mut members: Vec<(u32, Vec<usize>)> = members(data).into_iter().collect();
    members.sort_unstable();
    for (_, mut left) in members {
        while let Some(first) = left.pop() {
            let size = sizes.next().unwrap_or(1);
            let blur: f32 = (0..4).map(|_| rng.random_range(-BLUR..BLUR)).sum();
            let near = |at: &usize| dot(data.vector(first), data.vector(*at));
            left.sort_by(|a, b| near(a).total_cmp(&near(b)));
            let others = left.split_off(left.len().saturating_sub(size));
            let (others, back): (Vec<_>, Vec<_>) = others.into_iter().partition(|at| near(at) + blur > ALIKE);
            left.extend(back);
            questions.extend(others.into_iter().chain([first]).map(|at| Asked { at, meaning: next }));
            next += 1;
        }
    }
    questions
}

/// Goes from class to class, always to the nearest one, and cuts the way into parts.
fn parts(data: &Data) -> HashMap<u32, usize> {
    let mut left: Vec<(u32, Vec<f32>)> = members(data)
        .into_iter()
        .filter(|(_, questions)| questions.len() >= MEMBERS)
        .map(|(label, questions)| {
            let mut middle = vec![0.0; data.dimensions];
            for at in questions {
                middle.iter_mut().zip(data.vector(at)).for_each(|(sum, value)| *sum += value);
            }
            let length = dot(&middle, &middle).sqrt().max(f32::MIN_POSITIVE);
            middle.iter_mut().for_each(|value| *value /= length);
            (label, middle)
        })
        .collect();
    left.sort_unstable_by_key(|&(label, _)| label);
    let count = left.len().max(1);
    let mut parts = HashMap::new();
    let mut here = left.first().map_or_else(Vec::new, |(_, middle)| middle.clone());
    for at in 0..left.len() {
        let near = |middle: &[f32]| dot(&here, middle);
        let Some(next) = (0..left.len()).max_by(|&a, &b| near(&left[a].1).total_cmp(&near(&left[b].1))) else { break };
        let (label, middle) = left.swap_remove(next);
        parts.insert(label, at * PARTS / count);
        here = middle;
    }
    parts
}

/// Keeps fewer questions of each class than of the one before, in an order of the classes drawn by chance.
fn popular(asked: &[Asked], rng: &mut impl Rng) -> Vec<Asked> {
    let mut ranks: Vec<u32> = asked.iter().map(|asked| asked.meaning).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks.shuffle(rng);
    let places: HashMap<u32, u32> = ranks.into_iter().zip(1..).collect();
    let mut sizes: HashMap<u32, u32> = HashMap::new();
    asked.iter().for_each(|asked| *sizes.entry(asked.meaning).or_default() += 1);
    let mut kept: HashMap<u32, u32> = HashMap::new();
    let keep = |asked: &&Asked| {
        let share = f64::from(places[&asked.meaning]).powf(-0.7);
        let kept = kept.entry(asked.meaning).or_default();
        *kept += 1;
        f64::from(*kept) <= (f64::from(sizes[&asked.meaning]) * share).max(1.0)
    };
    asked.iter().filter(keep).copied().collect()
}

fn members(data: &Data) -> HashMap<u32, Vec<usize>> {
    let mut members: HashMap<u32, Vec<usize>> = HashMap::new();
    data.labels.iter().enumerate().for_each(|(at, &label)| members.entry(label).or_default().push(at));
    members
}

fn index(data: &Data) -> (Index, HashMap<Slot, u32>) {
    let mut index = Index::new(NonZeroUsize::new(data.dimensions).unwrap_or(NonZeroUsize::MIN));
    let slots = data.labels.iter().enumerate();
    let slots = slots.filter_map(|(at, &label)| Some((index.insert(data.vector(at)).ok()?, label))).collect();
    (index, slots)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
