//! Which stored vectors are nearest to one that is asked for.

mod encode;
mod error;
mod kernel;
mod rows;
mod shortlist;
mod slots;

use std::num::NonZeroUsize;

use self::{
    encode::Encoder,
    kernel::Kernel,
    rows::{Precision, Rows},
    shortlist::Shortlist,
};

pub(crate) use self::slots::Slots;
pub use self::{
    error::{VectorError, VectorErrorKind},
    slots::Slot,
};

/// How many rows at least are compared exactly, however few are asked for.
///
/// Of the 256 rows that share the most sign bits with a query, the nearest of a million at a similarity of 0.8 and more is
/// one: `cargo bench -p bench --bench index` prints the share that is missed.
const SHORTLIST: usize = 256;
/// How many rows are compared exactly for each that is asked for.
const SHORTLIST_EACH: usize = 16;

/// A stored vector near to the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Names the stored vector.
    pub slot: Slot,
    /// The cosine of the angle between the two: 1 for the same direction, 0 for nothing in common.
    pub similarity: f32,
}

/// The vectors of one partition, in memory, and which of them are nearest to a query.
///
/// A query is compared with every row by the signs of its rotated vector, 64 at a time, and with the few that share the
/// most of them exactly. There is no graph: a vector is found as soon as it is inserted, gone as soon as it is removed, and
/// both cost the same at any size. Twins, clusters and hostile vectors cost no more than others.
///
/// 1. Vectors are made unit length. One that has no direction is refused ([`VectorError`]).
/// 2. They are rotated by a fixed random rotation first. So every sign carries as much as any other, also of embeddings with a
///    few great components and of sparse ones, and the count of differing signs follows the angle.
/// 3. Each row keeps its signs and one byte per dimension ([`Index::new`]), or four ([`Index::full`]). A row of 384
///    dimensions takes 452 bytes, or 1604. With bytes, similarities are off by some 0.0005, and by less the nearer the
///    vectors are: by 0.0002 at 0.9.
/// 4. What is found is exact in order and similarity up to that; what is missed was not among the rows compared exactly: at
///    least 256, and 16 for each neighbour asked for.
/// 5. The number of rows is the owner's to bound. [`Index::bytes`] says what they take.
///
/// # Example
///
/// ```
/// use std::num::NonZeroUsize;
/// use buttress_semantic_cache::Index;
///
/// let mut index = Index::new(NonZeroUsize::new(3).expect("three is not zero"));
/// let east = index.insert(&[1.0, 0.0, 0.0])?;
/// let north = index.insert(&[0.0, 2.0, 0.0])?;
///
/// let mut found = Vec::new();
/// index.nearest(&[5.0, 0.1, 0.0], 1, 0.9, &mut found);
/// assert_eq!(found[0].slot, east);
///
/// assert!(index.remove(east));
/// index.nearest(&[5.0, 0.1, 0.0], 1, 0.9, &mut found);
/// assert!(found.is_empty(), "north is near to nothing in the east");
/// assert!(index.contains(north) && !index.contains(east));
/// # Ok::<(), buttress_semantic_cache::VectorError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Index {
    encoder: Encoder,
    kernel: Kernel,
    rows: Rows,
    slots: Slots,
}

// === impl Index ===

impl Index {
    /// Creates an empty index of vectors of `dimensions`, kept as one byte per dimension.
    #[must_use]
    pub fn new(dimensions: NonZeroUsize) -> Self {
        Self::with_precision(dimensions, Precision::Bytes)
    }

    /// Creates an empty index of vectors of `dimensions`, kept as they are: four bytes per dimension.
    #[must_use]
    pub fn full(dimensions: NonZeroUsize) -> Self {
        Self::with_precision(dimensions, Precision::Full)
    }

    /// Adds `vector`, and returns what names it until it is removed.
    ///
    /// # Errors
    ///
    /// Refuses a vector of another length, one with a component that is no finite number, one without direction (all zero),
    /// and any beyond 2³² − 1 rows. The index is as before then.
    pub fn insert(&mut self, vector: &[f32]) -> Result<Slot, VectorError> {
        let row = u32::try_from(self.rows.len()).map_err(|_| VectorError::full())?;
        self.encoder.encode(self.kernel, vector)?;
        let slot = self.slots.claim(row).ok_or_else(VectorError::full)?;
        self.rows.push(self.kernel, self.encoder.vector(), self.encoder.signs(), slot.index());
        Ok(slot)
    }

    /// Removes the vector that `slot` names, and returns whether there was one.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let Some(row) = self.slots.release(slot) else { return false };
        if let Some(moved) = self.rows.swap_remove(row as usize) {
            self.slots.moved(moved, row);
        }
        true
    }

    /// Removes every vector. Slots given out so far name nothing from now on.
    pub fn clear(&mut self) {
        self.slots.release_all();
        self.rows.clear();
    }

    /// Puts into `found` the `count` vectors nearest to `query` of those with a similarity of `floor` and more, nearest first.
    ///
    /// A floor above what is expected of anything makes the search cheaper; −1 takes all. `found` is cleared first. A query
    /// that could not be inserted finds nothing.
    pub fn nearest(&self, query: &[f32], count: usize, floor: f32, found: &mut Vec<Neighbour>) {
        found.clear();
        let mut encoder = self.encoder.clone();
        if count == 0 || self.is_empty() || encoder.encode(self.kernel, query).is_err() {
            return;
        }
        let limit = SHORTLIST.max(count.saturating_mul(SHORTLIST_EACH)).min(self.len());
        let mut shortlist = Shortlist::new(limit, encoder.width(), floor);
        self.rows.scan(self.kernel, encoder.signs(), &mut shortlist);
        self.rows.compare(self.kernel, encoder.vector(), shortlist.rows(), |owner, similarity| {
            if similarity >= floor {
                found.push(Neighbour { slot: self.slots.named(owner), similarity });
            }
        });
        let nearer = |a: &Neighbour, b: &Neighbour| b.similarity.total_cmp(&a.similarity).then(a.slot.cmp(&b.slot));
        if found.len() > count {
            found.select_nth_unstable_by(count, nearer);
            found.truncate(count);
        }
        found.sort_unstable_by(nearer);
    }

    /// Returns whether `slot` names a vector.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.slots.row(slot).is_some()
    }

    /// Returns how many dimensions its vectors have.
    #[must_use]
    pub const fn dimensions(&self) -> NonZeroUsize {
        self.encoder.dimensions()
    }

    /// Returns how many vectors there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// Returns how many bytes it takes, with what it has reserved for rows to come.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.encoder.bytes() + self.rows.bytes() + self.slots.bytes()
    }

    fn with_precision(dimensions: NonZeroUsize, precision: Precision) -> Self {
        let encoder = Encoder::new(dimensions);
        let rows = Rows::new(encoder.width(), precision);
        Self { encoder, kernel: Kernel::detect(), rows, slots: Slots::default() }
    }
}
