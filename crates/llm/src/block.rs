//! An event of an event stream, as long as its parts are still coming.

use std::mem;

use crate::{SseEvent, StreamError, buffer::Buffer, field::Field};

/// What is held of an event.
#[derive(Debug, Default)]
pub(crate) struct Block {
    name: Held,
    data: Held,
    id: Held,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Buffer,
    set: bool,
}

/// What the chunk has of an event. It goes before what is held.
#[derive(Clone, Copy, Default)]
pub(crate) struct Near<'c> {
    pub(crate) name: Option<&'c [u8]>,
    pub(crate) data: Option<&'c [u8]>,
    pub(crate) id: Option<&'c [u8]>,
}

// === impl Block ===

impl Block {
    /// Whether a cut would tear an event.
    pub(crate) const fn is_open(&self) -> bool {
        self.name.set || self.data.set || self.id.set
    }

    pub(crate) const fn has_data(&self) -> bool {
        self.data.set
    }

    pub(crate) const fn reserved(&self) -> usize {
        self.name.bytes.reserved() + self.data.bytes.reserved() + self.id.bytes.reserved()
    }

    /// Checks that the event, with what is near, is within `limit`.
    pub(crate) const fn check(&self, near: Near<'_>, more: usize, limit: usize) -> Result<(), StreamError> {
        let size = self.name.len(near.name) + self.data.len(near.data) + self.id.len(near.id) + more;
        if size > limit { Err(StreamError::event(limit)) } else { Ok(()) }
    }

    /// Copies what is near, which has been checked. If that has data, none is held.
    pub(crate) fn keep(&mut self, near: Near<'_>) {
        for (held, bytes) in [(&mut self.name, near.name), (&mut self.id, near.id), (&mut self.data, near.data)] {
            if let Some(bytes) = bytes {
                held.bytes.replace(bytes);
                held.set = true;
            }
        }
    }

    /// Copies `value`, if there is room for it; nothing is near.
    pub(crate) fn set(&mut self, field: Field, value: &[u8], limit: usize) -> Result<(), StreamError> {
        let mut near = Near::default();
        near.set(field, value);
        if field == Field::Data && self.data.set {
            self.check(near, self.data.bytes.len() + 1, limit)?;
            self.data.bytes.push(b"\n", limit);
            self.data.bytes.push(value, limit);
        } else {
            self.check(near, 0, limit)?;
            self.keep(near);
        }
        Ok(())
    }

    pub(crate) fn event<'s, 'c: 's>(&'s self, near: Near<'c>) -> SseEvent<'s> {
        SseEvent {
            name: near.name.or_else(|| self.name.value()).filter(|name| !name.is_empty()),
            data: near.data.or_else(|| self.data.value()).unwrap_or_default(),
            id: near.id.or_else(|| self.id.value()),
        }
    }

    pub(crate) fn clear(&mut self) {
        for held in [&mut self.name, &mut self.data, &mut self.id] {
            if mem::take(&mut held.set) {
                held.bytes.clear();
            }
        }
    }
}

// === impl Held ===

impl Held {
    fn value(&self) -> Option<&[u8]> {
        self.set.then(|| self.bytes.bytes())
    }

    /// The length of what is near, or else of what is held.
    const fn len(&self, near: Option<&[u8]>) -> usize {
        match near {
            Some(near) => near.len(),
            None => self.bytes.len(),
        }
    }
}

// === impl Near ===

impl<'c> Near<'c> {
    pub(crate) const fn set(&mut self, field: Field, value: &'c [u8]) {
        match field {
            Field::Name => self.name = Some(value),
            Field::Data => self.data = Some(value),
            Field::Id => self.id = Some(value),
            Field::End | Field::Comment | Field::Retry(_) | Field::Stray | Field::Other => {}
        }
    }
}
