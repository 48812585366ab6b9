//! The rows themselves, in chunks, with no gap between them.

use super::{
    kernel::{self, Kernel},
    shortlist::Shortlist,
};

/// A chunk of 384 dimensions takes 440 KiB: little to reserve for a great index, and never moved as it grows.
const CHUNK: usize = 1024;

/// Rows, numbered from 0. One that is removed gives its number to the last.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    width: usize,
    precision: Precision,
    len: usize,
    /// All full, but for the last that has rows; at most one after it has none.
    chunks: Vec<Chunk>,
}

/// How exactly vectors are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Precision {
    Bytes,
    Full,
}

#[derive(Clone, Debug)]
struct Chunk {
    signs: Vec<u64>,
    vectors: Vectors,
    /// Which slot names each row.
    owners: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Vectors {
    /// The codes of a row, times its scale, are the vector.
    Bytes(Vec<i8>, Vec<f32>),
    Full(Vec<f32>),
}

// === impl Rows ===

impl Rows {
    pub(super) const fn new(width: usize, precision: Precision) -> Self {
        Self { width, precision, len: 0, chunks: Vec::new() }
    }

    pub(super) fn push(&mut self, kernel: Kernel, vector: &[f32], signs: &[u64], owner: u32) {
        let at = self.len / CHUNK;
        if at == self.chunks.len() {
            // A small index grows step by step; in one that has filled a chunk before, another will fill as well.
            let rows = if at == 0 { 0 } else { CHUNK };
            self.chunks.push(Chunk::new(rows, self.width, self.precision));
        }
        self.chunks[at].push(kernel, vector, signs, owner);
        self.len += 1;
    }

    /// Removes `row`, and returns the owner of the row that now has its number, if that is another.
    pub(super) fn swap_remove(&mut self, row: usize) -> Option<u32> {
        self.len -= 1;
        let (last_chunk, last) = (self.len / CHUNK, self.len % CHUNK);
        let moved = if row == self.len {
            None
        } else {
            let (chunk, at) = (row / CHUNK, row % CHUNK);
            let (head, tail) = self.chunks.split_at_mut(last_chunk);
            match head.get_mut(chunk) {
                Some(chunk) => chunk.copy_from(at, &tail[0], last, self.width),
                None => tail[0].copy_within(last, at, self.width),
            }
            Some(self.chunks[chunk].owners[at])
        };
        self.chunks[last_chunk].truncate(last, self.width);
        // One empty chunk stays, so that coming and going at its edge does not allocate each time.
        self.chunks.truncate(self.len.div_ceil(CHUNK) + 1);
        moved
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.chunks.clear();
    }

    /// Offers every row to `shortlist`.
    pub(super) fn scan(&self, kernel: Kernel, signs: &[u64], shortlist: &mut Shortlist) {
        let mut distances = [0; CHUNK];
        let mut first = 0;
        for chunk in &self.chunks {
            let distances = &mut distances[..chunk.owners.len()];
            kernel.run_counting(
                #[inline(always)]
                || {
                    kernel::distances(&chunk.signs, signs, distances);
                    shortlist.offer(first, distances);
                },
            );
            first += CHUNK as u32;
        }
    }

    /// Tells `each` the owner and the similarity to `vector` of each of `rows`.
    pub(super) fn compare(
        &self,
        kernel: Kernel,
        vector: &[f32],
        rows: impl Iterator<Item = u32>,
        mut each: impl FnMut(u32, f32),
    ) {
        kernel.run(
            #[inline(always)]
            || {
                for row in rows {
                    let chunk = &self.chunks[row as usize / CHUNK];
                    let at = row as usize % CHUNK;
                    let similarity = match &chunk.vectors {
                        Vectors::Bytes(codes, scales) => {
                            kernel::dot_codes(vector, &codes[at * self.width..][..self.width]) * scales[at]
                        }
                        Vectors::Full(vectors) => kernel::dot(vector, &vectors[at * self.width..][..self.width]),
                    };
                    each(chunk.owners[at], similarity.clamp(-1.0, 1.0));
                }
            },
        );
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.chunks.iter().map(Chunk::bytes).sum::<usize>()
    }
}

// === impl Chunk ===

impl Chunk {
    fn new(rows: usize, width: usize, precision: Precision) -> Self {
        let vectors = match precision {
            Precision::Bytes => Vectors::Bytes(Vec::with_capacity(rows * width), Vec::with_capacity(rows)),
            Precision::Full => Vectors::Full(Vec::with_capacity(rows * width)),
        };
        Self { signs: Vec::with_capacity(rows * width / 64), vectors, owners: Vec::with_capacity(rows) }
    }

    fn push(&mut self, kernel: Kernel, vector: &[f32], signs: &[u64], owner: u32) {
        match &mut self.vectors {
            Vectors::Bytes(codes, scales) => {
                let start = codes.len();
                codes.resize(start + vector.len(), 0);
                let codes = &mut codes[start..];
                let length = kernel.run(
                    #[inline(always)]
                    || kernel::quantise(vector, codes),
                );
                // Unit length again: what is equal stays similar by 1.
                scales.push(1.0 / length);
            }
            Vectors::Full(vectors) => vectors.extend_from_slice(vector),
        }
        self.signs.extend_from_slice(signs);
        self.owners.push(owner);
    }

    /// Makes the row `at` what the row `from` of `other` is.
    fn copy_from(&mut self, at: usize, other: &Self, from: usize, width: usize) {
        let words = width / 64;
        self.signs[at * words..][..words].copy_from_slice(&other.signs[from * words..][..words]);
        self.owners[at] = other.owners[from];
        match (&mut self.vectors, &other.vectors) {
            (Vectors::Bytes(codes, scales), Vectors::Bytes(other_codes, other_scales)) => {
                codes[at * width..][..width].copy_from_slice(&other_codes[from * width..][..width]);
                scales[at] = other_scales[from];
            }
            (Vectors::Full(vectors), Vectors::Full(others)) => {
                vectors[at * width..][..width].copy_from_slice(&others[from * width..][..width]);
            }
            _ => unreachable!("all chunks of an index have one precision"),
        }
    }

    /// Makes the row `at` what the row `from` is.
    fn copy_within(&mut self, from: usize, at: usize, width: usize) {
        let words = width / 64;
        self.signs.copy_within(from * words..(from + 1) * words, at * words);
        self.owners[at] = self.owners[from];
        match &mut self.vectors {
            Vectors::Bytes(codes, scales) => {
                codes.copy_within(from * width..(from + 1) * width, at * width);
                scales[at] = scales[from];
            }
            Vectors::Full(vectors) => vectors.copy_within(from * width..(from + 1) * width, at * width),
        }
    }

    fn truncate(&mut self, rows: usize, width: usize) {
        self.signs.truncate(rows * width / 64);
        self.owners.truncate(rows);
        match &mut self.vectors {
            Vectors::Bytes(codes, scales) => {
                codes.truncate(rows * width);
                scales.truncate(rows);
            }
            Vectors::Full(vectors) => vectors.truncate(rows * width),
        }
    }

    fn bytes(&self) -> usize {
        let vectors = match &self.vectors {
            Vectors::Bytes(codes, scales) => codes.capacity() + scales.capacity() * 4,
            Vectors::Full(vectors) => vectors.capacity() * 4,
        };
        self.signs.capacity() * 8 + self.owners.capacity() * 4 + vectors
    }
}
