//! A tower layer that answers a question again that was answered before: the same one, or one that means the same.

mod index;

pub use self::index::{Index, Neighbour, Slot, VectorError, VectorErrorKind};
