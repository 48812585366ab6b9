//! Where vectors come from.

use std::fs;

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};

/// Vectors that can be had again, so that a million of them need not be held.
pub(crate) trait Source {
    fn rows(&self) -> usize;
    fn dimensions(&self) -> usize;
    fn vector(&self, row: usize) -> Vec<f32>;
    fn queries(&self) -> Vec<Query>;
}

/// A query, and the similarities of the nearest ten vectors that it was compared with, nearest first.
pub(crate) struct Query {
    vector: Vec<f32>,
    best: [f32; 10],
}

/// Synthetic vectors of low rank: 64 factors of many dimensions, and noise.
pub(crate) struct Texts {
    rows: usize,
    factors: Vec<Vec<f32>>,
}

/// Vectors from a file: one of eight is a query, the rest are the rows.
pub(crate) struct Files {
    rows: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
}

const FACTORS: usize = 64;
const QUERIES: usize = 200;
const SEED: u64 = 0x0b07_7e55;

// === impl Query ===

impl Query {
    fn new(mut vector: Vec<f32>) -> Self {
        normalise(&mut vector);
        Self { vector, best: [-1.0; 10] }
    }

    pub(crate) fn compare(&mut self, vector: &[f32]) {
        let similarity = dot(&self.vector, vector);
        if similarity > self.best[9] {
            let at = self.best.partition_point(|best| *best >= similarity);
            self.best[at..].rotate_right(1);
            self.best[at] = similarity;
        }
    }

    pub(crate) fn vector(&self) -> &[f32] {
        &self.vector
    }

    pub(crate) const fn best(&self) -> &[f32; 10] {
        &self.best
    }
}

// === impl Texts ===

impl Texts {
    pub(crate) fn new(rows: usize, dimensions: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(SEED);
        Self { rows, factors: (0..FACTORS).map(|_| uniform(&mut random, dimensions)).collect() }
    }

    fn draw(&self, seed: u64) -> Vec<f32> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut vector = uniform(&mut random, self.dimensions());
        for factor in &self.factors {
            let weight = random.random_range(-1.0..1.0);
            vector.iter_mut().zip(factor).for_each(|(x, part)| *x += weight * part);
        }
        normalise(&mut vector);
        vector
    }
}

impl Source for Texts {
    fn rows(&self) -> usize {
        self.rows
    }

    fn dimensions(&self) -> usize {
        self.factors[0].len()
    }

    fn vector(&self, row: usize) -> Vec<f32> {
        self.draw(SEED + 1 + row as u64)
    }

    /// Half of them near to a row, by 0.80 to 0.99.
    fn queries(&self) -> Vec<Query> {
        let query = |at: usize| {
            let other = self.draw(at as u64);
            if at % 2 == 1 {
                return Query::new(other);
            }
            let row = self.vector(at * self.rows / QUERIES);
            let similarity = 0.8 + 0.19 * at as f32 / QUERIES as f32;
            let along = dot(&row, &other);
            let mut aside: Vec<f32> = other.iter().zip(&row).map(|(o, r)| o - along * r).collect();
            normalise(&mut aside);
            let sideways = (1.0 - similarity * similarity).sqrt();
            Query::new(row.iter().zip(&aside).map(|(r, a)| similarity * r + sideways * a).collect())
        };
        (0..QUERIES).map(query).collect()
    }
}

// === impl Files ===

impl Files {
    pub(crate) fn read(path: &str, dimensions: usize) -> Self {
        let bytes = fs::read(path).expect("the file can be read");
        let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let mut vectors: Vec<Vec<f32>> = numbers.chunks_exact(dimensions).map(<[f32]>::to_vec).collect();
        vectors.iter_mut().for_each(|vector| normalise(vector));
        let mut random = SmallRng::seed_from_u64(SEED);
        for last in (1..vectors.len()).rev() {
            vectors.swap(last, random.random_range(0..=last));
        }
        let rows = vectors.split_off(vectors.len() / 8);
        Self { rows, queries: vectors }
    }
}

impl Source for Files {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn dimensions(&self) -> usize {
        self.rows[0].len()
    }

    fn vector(&self, row: usize) -> Vec<f32> {
        self.rows[row].clone()
    }

    fn queries(&self) -> Vec<Query> {
        self.queries.iter().cloned().map(Query::new).collect()
    }
}

fn uniform(random: &mut SmallRng, count: usize) -> Vec<f32> {
    // Two numbers from each draw; the last bits of a `f32` do not matter here.
    let mut vector = Vec::with_capacity(count + 1);
    while vector.len() < count {
        let bits = random.next_u64();
        vector.extend([bits as u32, (bits >> 32) as u32].map(|bits| bits as f32 / 2.0_f32.powi(31) - 1.0));
    }
    vector.truncate(count);
    vector
}

fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}
