//! Which rows are worth an exact comparison.

use std::f64::consts::PI;

use super::kernel;

/// So many standard deviations more signs may differ than are expected at the floor.
const DEVIATIONS: f64 = 4.5;
/// Of vectors with almost the same direction, rounding decides over a few signs.
const HIGHEST_FLOOR: f64 = 0.999;
/// So many distances are looked at together, most often in vain.
const GROUP: usize = 32;

/// The rows with the least distances of those offered: about `limit`, never more than four times as many.
///
/// It never sorts. A histogram says how many rows are within each distance, and the cut goes down as soon as those below it
/// suffice. So a row beyond the cut is passed over for good.
#[derive(Debug)]
pub(super) struct Shortlist {
    limit: usize,
    /// The greatest distance that still gets in.
    cut: u16,
    /// How many rows that got in have each distance.
    counts: Vec<u32>,
    /// How many rows that got in are within the cut.
    within: usize,
    held: Vec<(u16, u32)>,
}

// === impl Shortlist ===

impl Shortlist {
    /// Creates one for `limit` rows of `width` signs, of which those similar by less than `floor` need not get in.
    pub(super) fn new(limit: usize, width: usize, floor: f32) -> Self {
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        let cut = cut(width, f64::from(floor));
        Self { limit, cut, counts: vec![0; usize::from(width) + 1], within: 0, held: Vec::with_capacity(4 * limit) }
    }

    /// Offers the rows from `first` on, with their distances.
    #[inline(always)]
    pub(super) fn offer(&mut self, first: u32, distances: &[u16]) {
        let mut first = first;
        for group in distances.chunks(GROUP) {
            if kernel::any_within(group, self.cut) {
                self.offer_each(first, group);
            }
            first += GROUP as u32;
        }
    }

    /// Returns the rows that got in, and stayed.
    pub(super) fn rows(&mut self) -> impl Iterator<Item = u32> {
        self.drop_beyond_cut();
        self.held.iter().map(|(_, row)| *row)
    }

    #[inline(never)]
    fn offer_each(&mut self, first: u32, group: &[u16]) {
        for (row, distance) in (first..).zip(group) {
            // Twins beyond twice the limit stay out: any of them is as near as the others, as far as signs tell.
            if *distance < self.cut || (*distance == self.cut && self.within < 2 * self.limit) {
                self.push(*distance, row);
            }
        }
    }

    fn push(&mut self, distance: u16, row: u32) {
        if self.held.len() == 4 * self.limit {
            self.drop_beyond_cut();
        }
        self.held.push((distance, row));
        self.counts[usize::from(distance)] += 1;
        self.within += 1;
        loop {
            let at_cut = self.counts[usize::from(self.cut)] as usize;
            if self.cut == 0 || self.within - at_cut < self.limit {
                break;
            }
            self.within -= at_cut;
            self.cut -= 1;
        }
    }

    fn drop_beyond_cut(&mut self) {
        self.held.retain(|(distance, _)| *distance <= self.cut);
    }
}

/// Returns how many of `width` signs differ at most between vectors with a similarity of `floor`, save for one pair in 300,000.
fn cut(width: u16, floor: f64) -> u16 {
    if floor <= -1.0 {
        return width;
    }
    // A random plane separates two vectors with a probability of their angle / π.
    let apart = floor.clamp(-1.0, HIGHEST_FLOOR).acos() / PI;
    let signs = f64::from(width);
    let most = signs * apart + DEVIATIONS * (signs * apart * (1.0 - apart)).sqrt();
    (most as u16).min(width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_cut_is_where_the_angle_says() {
        assert_eq!((cut(384, 0.8), cut(384, 0.9), cut(1536, 0.8)), (114, 86, 385));
        assert_eq!((cut(384, -1.0), cut(384, -7.0)), (384, 384));
        assert!(cut(384, 1.0) < 20 && cut(384, 2.0) < 20);
        assert!(cut(384, f64::NAN) <= 384);
    }

    proptest! {
        #[test]
        fn the_nearest_are_held_and_never_too_many(
            distances in proptest::collection::vec(0_u16..=64, 0..600),
            limit in 1_usize..40,
            floor in -1.0_f32..1.0,
        ) {
            let mut shortlist = Shortlist::new(limit, 64, floor);
            let capacity = shortlist.held.capacity();
            let allowed = shortlist.cut;
            for (at, distances) in distances.chunks(100).enumerate() {
                shortlist.offer(at as u32 * 100, distances);
            }
            let held: Vec<u32> = shortlist.rows().collect();
            prop_assert_eq!(shortlist.held.capacity(), capacity);

            let mut sorted: Vec<u16> = distances.iter().copied().filter(|distance| *distance <= allowed).collect();
            sorted.sort_unstable();
            let sure = sorted.len().min(limit);
            prop_assert!(held.len() >= sure, "{} of {}", held.len(), sure);
            let mut nearest: Vec<u16> = held.iter().map(|row| distances[*row as usize]).collect();
            nearest.sort_unstable();
            prop_assert_eq!(&nearest[..sure], &sorted[..sure]);
            let mut unique = held.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), held.len());
        }
    }
}
