//! The index, against a list that compares everything with everything.

use std::num::NonZeroUsize;

use buttress_semantic_cache::{Index, Neighbour, Slot, VectorErrorKind};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

fn index(dimensions: usize) -> Index {
    Index::new(NonZeroUsize::new(dimensions).expect("dimensions are not zero"))
}

fn full(dimensions: usize) -> Index {
    Index::full(NonZeroUsize::new(dimensions).expect("dimensions are not zero"))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

fn nearest(index: &Index, query: &[f32], count: usize, floor: f32) -> Vec<Neighbour> {
    let mut found = Vec::new();
    index.nearest(query, count, floor, &mut found);
    found
}

/// Vectors as embedding models make them: few factors, many dimensions, some noise.
struct Texts {
    random: StdRng,
    factors: Vec<Vec<f32>>,
}

impl Texts {
    fn new(seed: u64, dimensions: usize, factors: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let factors = (0..factors).map(|_| uniform(&mut random, dimensions)).collect();
        Self { random, factors }
    }

    fn vector(&mut self) -> Vec<f32> {
        let weights = uniform(&mut self.random, self.factors.len());
        let mut vector = uniform(&mut self.random, self.factors[0].len());
        for (weight, factor) in weights.iter().zip(&self.factors) {
            for (x, part) in vector.iter_mut().zip(factor) {
                *x += weight * part;
            }
        }
        vector
    }

    /// Returns a vector whose similarity to `vector` is about `similarity`.
    fn near(&mut self, vector: &[f32], similarity: f32) -> Vec<f32> {
        let other = self.vector();
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let along = cosine(vector, &other) * length(&other) / length(vector);
        let aside: Vec<f32> = other.iter().zip(vector).map(|(o, v)| o - along * v).collect();
        let sideways = (1.0 - similarity * similarity).sqrt() * length(vector) / length(&aside);
        vector.iter().zip(&aside).map(|(v, a)| similarity * v + sideways * a).collect()
    }
}

fn uniform(random: &mut StdRng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Returns the share of queries whose nearest vector was found, of those that have one with a similarity of `least`.
fn recall(index: &mut Index, seed: u64, least: f32) -> f64 {
    let dimensions = index.dimensions().get();
    let mut texts = Texts::new(seed, dimensions, 64);
    let stored: Vec<Vec<f32>> = (0..3000).map(|_| unit(texts.vector())).collect();
    for vector in &stored {
        index.insert(vector).expect("it has a direction");
    }
    let (mut asked, mut right) = (0_u32, 0_u32);
    for at in 0..250 {
        let similarity = least + (0.999 - least) * (at % 20) as f32 / 20.0;
        let query = unit(texts.near(&stored[at * 10], similarity));
        let similarities = stored.iter().map(|vector| vector.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>());
        let best = similarities.fold(-1.0, f32::max);
        if best < least {
            continue;
        }
        asked += 1;
        let found = nearest(index, &query, 1, least - 0.01);
        right += u32::from(found.first().is_some_and(|found| (found.similarity - best).abs() < 0.003));
    }
    assert!(asked > 220, "the test asks for neighbours that are there");
    f64::from(right) / f64::from(asked)
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

#[test]
fn what_is_similar_by_nine_tenths_is_found() {
    assert!(recall(&mut index(384), 1, 0.9) >= 0.995);
    assert!(recall(&mut full(384), 1, 0.9) >= 0.995);
}

#[test]
fn what_is_similar_by_eight_tenths_is_found() {
    assert!(recall(&mut index(384), 2, 0.8) >= 0.995);
    assert!(recall(&mut full(384), 2, 0.8) >= 0.995);
    assert!(recall(&mut index(100), 2, 0.8) >= 0.995, "dimensions that fill no words");
}

#[test]
fn what_all_vectors_have_in_common_hides_nothing() {
    let mut index = index(384);
    let mut texts = Texts::new(3, 384, 64);
    // One direction and one outlying dimension that all share, so that any two are similar by about 0.7.
    let stored: Vec<Vec<f32>> = (0..3000)
        .map(|_| {
            let mut vector = texts.vector();
            vector.iter_mut().for_each(|x| *x += 2.7);
            vector[17] += 60.0;
            vector
        })
        .collect();
    let alike = cosine(&stored[0], &stored[1]);
    assert!((0.55..0.85).contains(&alike), "{alike}");
    let slots: Vec<Slot> = stored.iter().map(|vector| index.insert(vector).expect("it has a direction")).collect();
    let right = (0..300)
        .filter(|at| {
            let query = texts.near(&stored[*at], 0.95);
            nearest(&index, &query, 1, 0.9).first().is_some_and(|found| found.slot == slots[*at])
        })
        .count();
    assert!(right >= 299, "{right} of 300 were found");
}

#[test]
fn sparse_vectors_are_told_apart() {
    let mut index = index(512);
    let mut random = StdRng::seed_from_u64(4);
    let stored: Vec<Vec<f32>> = (0..3000)
        .map(|_| {
            let mut vector = vec![0.0; 512];
            (0..12).for_each(|_| vector[random.random_range(0..512)] = 1.0);
            vector
        })
        .collect();
    let slots: Vec<Slot> = stored.iter().map(|vector| index.insert(vector).expect("it has a direction")).collect();
    for (at, vector) in stored.iter().enumerate().step_by(30) {
        let mut query = vector.clone();
        let dropped = query.iter().position(|x| *x > 0.0).expect("some component is set");
        query[dropped] = 0.0;
        assert_eq!(nearest(&index, &query, 1, 0.8)[0].slot, slots[at]);
    }
}

#[test]
fn neighbours_come_nearest_first_and_above_the_floor() {
    let mut index = full(8);
    let slots: Vec<Slot> = (0..8_u8)
        .map(|at| {
            let mut vector = [0.0; 8];
            vector[0] = 1.0;
            vector[1] = f32::from(at) / 4.0;
            index.insert(&vector).expect("it has a direction")
        })
        .collect();
    let query = [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let all = nearest(&index, &query, 100, -1.0);
    assert_eq!(all.iter().map(|found| found.slot).collect::<Vec<_>>(), slots);
    assert!((all[4].similarity - 0.5_f32.sqrt()).abs() < 1e-5);
    assert_eq!(nearest(&index, &query, 3, -1.0), all[..3]);
    assert_eq!(nearest(&index, &query, 100, 0.7), all[..5]);
    assert_eq!(nearest(&index, &query, 0, -1.0), []);
    assert_eq!(nearest(&index, &query, 5, f32::NAN), []);
}

#[test]
fn twins_are_as_similar_as_can_be() {
    for mut index in [index(384), full(384)] {
        let vector = Texts::new(5, 384, 4).vector();
        for _ in 0..5000 {
            index.insert(&vector).expect("it has a direction");
        }
        let found = nearest(&index, &vector, 10, 0.99);
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|found| found.similarity > 0.9999), "{found:?}");
    }
}

#[test]
fn vectors_without_a_direction_are_refused() {
    let mut index = index(3);
    let kind = |index: &mut Index, vector: &[f32]| index.insert(vector).map_err(|error| error.kind());
    assert_eq!(kind(&mut index, &[1.0, 2.0]), Err(VectorErrorKind::Dimensions { expected: 3, found: 2 }));
    assert_eq!(kind(&mut index, &[]), Err(VectorErrorKind::Dimensions { expected: 3, found: 0 }));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(kind(&mut index, &[1.0, bad, 0.0]), Err(VectorErrorKind::NotFinite));
    }
    assert_eq!(kind(&mut index, &[0.0, -0.0, 0.0]), Err(VectorErrorKind::Zero));
    assert!(index.is_empty());

    index.insert(&[1.0, 2.0, 3.0]).expect("it has a direction");
    for query in [&[f32::NAN, 0.0, 0.0] as &[f32], &[0.0; 3], &[1.0; 4]] {
        assert_eq!(nearest(&index, query, 5, -1.0), []);
    }
}

#[test]
fn huge_and_tiny_vectors_keep_their_directions() {
    for size in [f32::MAX, 1e20, 1e-20, f32::MIN_POSITIVE, 1e-43] {
        let mut index = index(4);
        let slot = index.insert(&[size, size, 0.0, 0.0]).expect("it has a direction");
        let found = nearest(&index, &[1.0, 1.0, 0.0, 0.0], 1, 0.99);
        assert_eq!(found.first().map(|found| found.slot), Some(slot), "{size:e}");
        let aside = nearest(&index, &[size, -size, 0.0, 0.0], 1, -1.0);
        assert!(aside[0].similarity.abs() < 0.01, "{size:e}: {}", aside[0].similarity);
    }
}

#[test]
fn a_million_comings_and_goings_leave_nothing_behind() {
    let mut index = index(16);
    let mut random = StdRng::seed_from_u64(6);
    let mut live = std::collections::VecDeque::new();
    let mut most = 0;
    for at in 0..1_000_000 {
        let vector: [f32; 16] = std::array::from_fn(|_| random.random::<f32>() - 0.5);
        live.push_back(index.insert(&vector).expect("it has a direction"));
        if live.len() > 3000 {
            let gone = live.pop_front().expect("there are 3001");
            assert!(index.remove(gone));
        }
        if at == 10_000 {
            most = index.bytes();
        }
    }
    assert_eq!(index.len(), 3000);
    assert!(index.bytes() <= most, "{} bytes after a million, {most} after ten thousand", index.bytes());
    assert!(live.iter().all(|slot| index.contains(*slot)));
    index.clear();
    assert!(index.is_empty() && !index.contains(live[0]));
    assert!(index.bytes() < 100_000, "{} bytes for no rows", index.bytes());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<f32>),
    Remove(usize),
    Again(usize),
    Find(Vec<f32>),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let vector = || proptest::collection::vec(-4_i8..=4, 5).prop_map(|v| v.into_iter().map(f32::from).collect());
    let step = prop_oneof![
        60 => vector().prop_map(Step::Insert),
        20 => any::<usize>().prop_map(Step::Remove),
        10 => any::<usize>().prop_map(Step::Again),
        20 => vector().prop_map(Step::Find),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_the_index_knows_what_a_list_knows(steps in steps(), bytes in any::<bool>()) {
        let mut index = if bytes { index(5) } else { full(5) };
        let mut list: Vec<(Slot, Vec<f32>)> = Vec::new();
        let mut gone: Vec<Slot> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(vector) => match index.insert(&vector) {
                    Ok(slot) => {
                        prop_assert!(!gone.contains(&slot), "a name is used once");
                        list.push((slot, vector));
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), VectorErrorKind::Zero);
                        prop_assert!(vector.iter().all(|x| *x == 0.0));
                    }
                },
                Step::Remove(at) if !list.is_empty() => {
                    let (slot, _) = list.swap_remove(at % list.len());
                    prop_assert!(index.remove(slot));
                    gone.push(slot);
                }
                Step::Again(at) if !gone.is_empty() => prop_assert!(!index.remove(gone[at % gone.len()])),
                Step::Find(query) if query.iter().any(|x| *x != 0.0) => {
                    // As many as a shortlist holds for sure.
                    let found = nearest(&index, &query, 400, -1.0);
                    prop_assert_eq!(found.len(), list.len());
                    prop_assert!(found.is_sorted_by(|a, b| a.similarity >= b.similarity));
                    for neighbour in found {
                        let (_, vector) = list.iter().find(|(slot, _)| *slot == neighbour.slot).expect("it is live");
                        prop_assert!((cosine(vector, &query) - neighbour.similarity).abs() < 0.02);
                    }
                }
                Step::Clear => {
                    index.clear();
                    gone.extend(list.drain(..).map(|(slot, _)| slot));
                }
                Step::Remove(_) | Step::Again(_) | Step::Find(_) => {}
            }
            prop_assert_eq!(index.len(), list.len());
        }
        for (slot, _) in &list {
            prop_assert!(index.contains(*slot));
        }
    }
}
