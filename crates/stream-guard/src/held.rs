//! Bytes on their way: those held back, and those to be given at once.

use bytes::{Bytes, BytesMut};

/// The torn end of what was read: the beginning of an event that is not whole.
///
/// Its first piece is a slice of what came. Further pieces are copied together: small slices would each keep alive the buffer
/// that they were read into.
#[derive(Debug, Default)]
pub(crate) struct Held {
    first: Bytes,
    more: BytesMut,
}

/// What is to be given at once, in order. The reader of the body is never asked to wait between two of them.
#[derive(Debug, Default)]
pub(crate) struct Out {
    data: [Bytes; Self::ROOM],
    next: usize,
    end: usize,
}

// === impl Held ===

impl Held {
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.first = data;
        } else {
            self.more.extend_from_slice(&data);
        }
    }

    /// Moves the first `length` bytes to `out`.
    pub(crate) fn release(&mut self, length: usize, out: &mut Out) {
        let of_first = length.min(self.first.len());
        if of_first > 0 {
            out.push(self.first.split_to(of_first));
        }
        let of_more = (length - of_first).min(self.more.len());
        if of_more > 0 {
            out.push(self.more.split_to(of_more).freeze());
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Out ===

impl Out {
    /// Two pieces that were held, the whole part of a frame, and what ends the body.
    const ROOM: usize = 4;

    pub(crate) fn push(&mut self, data: Bytes) {
        if self.next == self.end {
            (self.next, self.end) = (0, 0);
        }
        self.data[self.end] = data;
        self.end += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let data = self.data[..self.end].get_mut(self.next)?;
        self.next += 1;
        Some(std::mem::take(data))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.next == self.end
    }

    pub(crate) fn len(&self) -> u64 {
        self.data.iter().map(|data| data.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(out: &mut Out) -> Vec<Bytes> {
        std::iter::from_fn(|| out.pop()).collect()
    }

    #[test]
    fn what_was_held_comes_out_in_order_and_its_first_piece_uncopied() {
        let (mut held, mut out) = (Held::default(), Out::default());
        let first = Bytes::from("abc".to_owned());
        held.push(first.clone());
        held.push("de".into());
        held.push("f".into());
        held.release(2, &mut out);
        assert_eq!((held.len(), out.len()), (4, 2));
        assert_eq!(out.pop().map(|data| data.as_ptr()), Some(first.as_ptr()));
        held.release(3, &mut out);
        assert_eq!(all(&mut out), ["c", "de"]);
        held.push("g".into());
        held.release(9, &mut out);
        assert_eq!(all(&mut out), ["fg"]);
        assert!(held.is_empty() && out.is_empty());
    }

    #[test]
    fn a_queue_that_was_emptied_has_all_its_room_again() {
        let mut out = Out::default();
        for _ in 0..3 {
            ["a", "b", "c", "d"].into_iter().for_each(|data| out.push(data.into()));
            assert_eq!(all(&mut out), ["a", "b", "c", "d"]);
        }
        assert_eq!(out.pop(), None);
    }
}
