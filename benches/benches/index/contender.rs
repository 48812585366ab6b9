//! What can find the nearest vectors.

use std::num::NonZeroUsize;

use buttress_semantic_cache::{Index, Neighbour, Slot};

/// An index under measurement. Rows are inserted in order, from 0.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    fn insert(&mut self, row: usize, vector: &[f32]);
    fn remove(&mut self, row: usize);
    /// Finds the nearest with a similarity of `floor` and more. What was found is kept until the next search.
    fn nearest(&mut self, query: &[f32], count: usize, floor: f32);
    /// Returns the similarities of what was found, nearest first.
    fn found(&self) -> Vec<f32>;
    fn bytes(&self) -> usize;
}

pub(crate) struct Ours {
    name: &'static str,
    index: Index,
    slots: Vec<Slot>,
    found: Vec<Neighbour>,
}

#[cfg(buttress_usearch)]
pub(crate) struct Usearch {
    index: usearch::Index,
    found: Vec<f32>,
}

// === impl Ours ===

impl Ours {
    pub(crate) fn bytes(dimensions: usize) -> Self {
        Self::new("Index::new", Index::new(NonZeroUsize::new(dimensions).expect("not zero")))
    }

    pub(crate) fn full(dimensions: usize) -> Self {
        Self::new("Index::full", Index::full(NonZeroUsize::new(dimensions).expect("not zero")))
    }

    const fn new(name: &'static str, index: Index) -> Self {
        Self { name, index, slots: Vec::new(), found: Vec::new() }
    }
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn insert(&mut self, _: usize, vector: &[f32]) {
        self.slots.push(self.index.insert(vector).expect("it has a direction"));
    }

    fn remove(&mut self, row: usize) {
        assert!(self.index.remove(self.slots[row]));
    }

    fn nearest(&mut self, query: &[f32], count: usize, floor: f32) {
        self.index.nearest(query, count, floor, &mut self.found);
    }

    fn found(&self) -> Vec<f32> {
        self.found.iter().map(|found| found.similarity).collect()
    }

    fn bytes(&self) -> usize {
        self.index.bytes()
    }
}

// === impl Usearch ===

#[cfg(buttress_usearch)]
impl Usearch {
    pub(crate) fn new(dimensions: usize, rows: usize) -> Self {
        let options = usearch::IndexOptions {
            dimensions,
            metric: usearch::MetricKind::Cos,
            quantization: usearch::ScalarKind::F32,
            ..Default::default()
        };
        let index = usearch::Index::new(&options).expect("the options are allowed");
        index.reserve(rows).expect("there is memory");
        Self { index, found: Vec::new() }
    }
}

#[cfg(buttress_usearch)]
impl Contender for Usearch {
    fn name(&self) -> &'static str {
        "usearch f32"
    }

    fn insert(&mut self, row: usize, vector: &[f32]) {
        self.index.add(row as u64, vector).expect("there is room");
    }

    fn remove(&mut self, row: usize) {
        assert_eq!(self.index.remove(row as u64).expect("it removes"), 1);
    }

    fn nearest(&mut self, query: &[f32], count: usize, floor: f32) {
        let found = self.index.search(query, count).expect("it searches");
        self.found.clear();
        self.found
            .extend(found.distances.iter().map(|distance| 1.0 - distance).filter(|similarity| *similarity >= floor));
    }

    fn found(&self) -> Vec<f32> {
        self.found.clone()
    }

    fn bytes(&self) -> usize {
        self.index.memory_usage()
    }
}
