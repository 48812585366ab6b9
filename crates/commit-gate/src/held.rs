//! What is held back of an answer.

use bytes::{Bytes, BytesMut};

/// The data that is held back, in one piece.
///
/// The first piece is kept as it came. From the second one on they are copied together: small slices would each keep alive
/// the buffer that they were read into, and a bound on bytes would be none on memory.
#[derive(Debug, Default)]
pub(crate) struct Held {
    first: Bytes,
    all: BytesMut,
}

// === impl Held ===

impl Held {
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.all.is_empty() {
            if self.first.is_empty() {
                self.first = data;
                return;
            }
            self.all.reserve(self.first.len() + data.len());
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&data);
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied_and_several_become_one() {
        let piece = Bytes::from_static(b"ab");
        let mut held = Held::default();
        assert!(Held::default().into_bytes().is_empty());
        held.push(Bytes::new());
        held.push(piece.clone());
        held.push(Bytes::new());
        let mut more = Held::default();
        more.push(piece.clone());
        assert_eq!(more.into_bytes().as_ptr(), piece.as_ptr());
        held.push("c".into());
        held.push("d".into());
        assert_eq!(held.into_bytes(), "abcd");
    }
}
