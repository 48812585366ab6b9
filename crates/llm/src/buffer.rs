//! Bytes that are kept from one chunk to the next.

use std::fmt;

/// Holds bytes, and gives back room that is more than a usual event needs.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u8>);

/// Room that a buffer keeps for the next line or event. What a longer one took is given back.
const KEPT: usize = 4 * 1024;

const FIRST_ROOM: usize = 512;

// === impl Buffer ===

impl Buffer {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends `bytes`. Room grows by doubling, and never beyond `limit`, which the caller keeps to.
    pub(crate) fn push(&mut self, bytes: &[u8], limit: usize) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let room = needed.max(self.0.capacity() * 2).max(FIRST_ROOM).min(limit);
            self.0.reserve_exact(room.max(needed) - self.0.len());
        }
        self.0.extend_from_slice(bytes);
    }

    /// Holds `bytes` in place of what it held, with no room to grow.
    pub(crate) fn replace(&mut self, bytes: &[u8]) {
        self.clear();
        self.push(bytes, bytes.len());
    }

    /// Empties it, and gives room back that is more than a usual event needs.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
        if self.0.capacity() > KEPT {
            self.0 = Vec::new();
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn reserved(&self) -> usize {
        self.0.capacity()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What passes through is the caller's business.
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_buffer_never_has_more_room_than_its_limit(limit in 0..100_000_usize, parts in prop::collection::vec(0..5_000_usize, 0..50)) {
            let mut buffer = Buffer::default();
            for part in parts {
                buffer.push(&vec![0; part.min(limit - buffer.len())], limit);
                prop_assert!(buffer.reserved() <= limit);
            }
            buffer.clear();
            prop_assert!(buffer.reserved() <= KEPT);
        }
    }
}
