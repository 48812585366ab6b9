//! The model itself: Devlin et al., BERT (2018), as an encoder of sentences.

use std::num::NonZeroUsize;

use fearless_simd::{Level, Simd, WithSimd};

use super::{
    math::{gelu, layer_norm, softmax},
    matrix::Linear,
};

/// An encoder: tokens in, one vector of unit length out.
#[derive(Debug)]
pub(super) struct Bert {
    pub(super) shape: Shape,
    /// A row for each token of the vocabulary.
    pub(super) words: Vec<f32>,
    /// A row for each place, with that of the first segment added: there is only one.
    pub(super) places: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
}

/// What `config.json` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) width: NonZeroUsize,
    pub(super) heads: usize,
    pub(super) most_tokens: usize,
    pub(super) epsilon: f32,
}

/// One layer of the encoder.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) attended: Linear,
    pub(super) attended_norm: Norm,
    pub(super) inner: Linear,
    pub(super) outer: Linear,
    pub(super) outer_norm: Norm,
}

/// Scale and offset of each column.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) offset: Vec<f32>,
}

struct Embed<'a>(&'a Bert, &'a [u32]);

/// What the layers write into: one row for each token.
struct Space {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    out: Vec<f32>,
    inner: Vec<f32>,
    scores: Vec<f32>,
}

// === impl Bert ===

impl Bert {
    /// Returns the vector of `tokens`, which are of the vocabulary, at least one and no more than `most_tokens`.
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        Level::new().dispatch(Embed(self, tokens))
    }

    pub(super) const fn dimensions(&self) -> NonZeroUsize {
        self.shape.width
    }

    pub(super) const fn most_tokens(&self) -> usize {
        self.shape.most_tokens
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, tokens: &[u32]) -> Vec<f32> {
        let width = self.shape.width.get();
        let mut rows = Vec::with_capacity(tokens.len() * width);
        for (token, place) in tokens.iter().zip(self.places.chunks_exact(width)) {
            let word = &self.words[*token as usize * width..][..width];
            rows.extend(word.iter().zip(place).map(|(word, place)| word + place));
        }
        self.norm.apply(&mut rows, self.shape.epsilon);
        let inner = self.layers.iter().map(|layer| layer.inner.outputs()).max().unwrap_or(0);
        let mut space = Space::new(tokens.len(), width, inner);
        for layer in &self.layers {
            layer.run(simd, self.shape, &mut rows, &mut space);
        }
        mean(&rows, width)
    }
}

// === impl Embed ===

impl WithSimd for Embed<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        self.0.run(simd, self.1)
    }
}

// === impl Layer ===

impl Layer {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, shape: Shape, rows: &mut [f32], space: &mut Space) {
        self.query.apply(simd, rows, &mut space.query);
        self.key.apply(simd, rows, &mut space.key);
        self.value.apply(simd, rows, &mut space.value);
        let width = shape.width.get();
        for head in 0..shape.heads {
            space.attend(width, head * width / shape.heads, width / shape.heads);
        }
        // The queries have been read: the rows that the heads made stand in their place.
        self.attended.apply(simd, &space.query, &mut space.out);
        add(rows, &space.out);
        self.attended_norm.apply(rows, shape.epsilon);
        self.inner.apply(simd, rows, &mut space.inner);
        for x in &mut space.inner {
            *x = gelu(*x);
        }
        self.outer.apply(simd, &space.inner, &mut space.out);
        add(rows, &space.out);
        self.outer_norm.apply(rows, shape.epsilon);
    }
}

// === impl Norm ===

impl Norm {
    #[inline(always)]
    fn apply(&self, rows: &mut [f32], epsilon: f32) {
        layer_norm(rows, self.scale.len(), &self.scale, &self.offset, epsilon);
    }
}

// === impl Space ===

impl Space {
    fn new(tokens: usize, width: usize, inner: usize) -> Self {
        let rows = || vec![0.0; tokens * width];
        let (query, key, value, out) = (rows(), rows(), rows(), rows());
        Self { query, key, value, out, inner: vec![0.0; tokens * inner], scores: vec![0.0; tokens] }
    }

    /// Lets each token look at all: replaces its query in the columns from `first` on by the mean of all values, weighted by how
    /// well their keys fit the query.
    #[inline(always)]
    fn attend(&mut self, width: usize, first: usize, columns: usize) {
        let Self { query, key, value, scores, .. } = self;
        let scale = 1.0 / (columns as f32).sqrt();
        for query in query.chunks_exact_mut(width) {
            let query = &mut query[first..][..columns];
            for (key, score) in key.chunks_exact(width).zip(scores.iter_mut()) {
                *score = dot(query, &key[first..][..columns]) * scale;
            }
            softmax(scores);
            query.fill(0.0);
            for (value, score) in value.chunks_exact(width).zip(scores.iter()) {
                for (sum, x) in query.iter_mut().zip(&value[first..][..columns]) {
                    *sum += score * x;
                }
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
fn add(rows: &mut [f32], others: &[f32]) {
    rows.iter_mut().zip(others).for_each(|(row, other)| *row += other);
}

/// Returns the direction of the mean of all rows.
#[inline(always)]
fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        add(&mut sum, row);
    }
    let length = dot(&sum, &sum).sqrt();
    sum.iter_mut().for_each(|x| *x /= length);
    sum
}
