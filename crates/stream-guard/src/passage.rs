//! How far an answer has come, and how far it has gone out.

use bytes::Bytes;

use crate::held::{Held, Out};

/// The bytes of an answer on their way: read, held back while they are torn, given out.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    /// How far it has come.
    seen: u64,
    /// How far it may go out.
    cut: u64,
    /// How far it has gone out.
    given: u64,
    held: Held,
    out: Out,
}

// === impl Passage ===

impl Passage {
    /// So many bytes came.
    pub(crate) const fn arrive(&mut self, length: usize) {
        self.seen += length as u64;
    }

    /// All before `at` is whole.
    pub(crate) fn cut_at(&mut self, at: u64) {
        self.cut = self.cut.max(at);
    }

    /// Lets out what is whole, up to and of `data`, the last that came. Of the rest, nothing waits where `holds` says so.
    pub(crate) fn pass(&mut self, mut data: Bytes, holds: impl FnOnce() -> bool) {
        let length = data.len();
        let base = self.seen - length as u64;
        self.release(self.cut.min(base));
        let whole = usize::try_from(self.cut.saturating_sub(base)).map_or(length, |whole| whole.min(length));
        if whole == length || !holds() {
            self.release_all();
            self.put(data);
            return;
        }
        if whole > 0 {
            self.put(data.split_to(whole));
        }
        self.held.push(data);
    }

    /// Lets out what was held back.
    pub(crate) fn release_all(&mut self) {
        self.release(self.given + self.held.len() as u64);
    }

    /// Puts `closing` in the place of what was held back.
    pub(crate) fn close(&mut self, closing: Bytes) {
        self.held.clear();
        self.out.push(closing);
    }

    /// Takes what is to be given next.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        self.out.pop()
    }

    pub(crate) const fn has_next(&self) -> bool {
        !self.out.is_empty()
    }

    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns whether no event has gone out in part.
    pub(crate) const fn is_clean(&self) -> bool {
        self.given <= self.cut
    }

    pub(crate) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns how many bytes were read and not given.
    pub(crate) fn waiting(&self) -> u64 {
        self.out.len() + self.held.len() as u64
    }

    fn put(&mut self, data: Bytes) {
        self.given += data.len() as u64;
        self.out.push(data);
    }

    fn release(&mut self, upto: u64) {
        let length = upto.saturating_sub(self.given);
        self.held.release(usize::try_from(length).unwrap_or(usize::MAX), &mut self.out);
        self.given += length;
    }
}
