//! Vectors that were asked for lately, within a bound of bytes.

use std::collections::{HashMap, VecDeque};

use super::Embedding;

/// What a text is known by: a keyed hash of 128 bits, so that nobody who does not know the key finds two texts with one.
pub(super) type Key = u128;

/// Keeps vectors of one length by key; those asked for since they were last in turn stay, when others make room.
#[derive(Debug)]
pub(super) struct Recent {
    most: usize,
    entries: HashMap<Key, Entry>,
    /// Every key once, in the order of their turns.
    turns: VecDeque<Key>,
}

#[derive(Debug)]
struct Entry {
    embedding: Embedding,
    asked: bool,
}

// === impl Recent ===

impl Recent {
    /// Creates one that holds `bytes` of vectors with `dimensions`, what they take in its tables included.
    pub(super) fn new(bytes: usize, dimensions: usize) -> Self {
        // A table of hashes is at least 7/16 full, after it has grown; the vector counts two references.
        let each = dimensions * 4 + 16 + (size_of::<(Key, Entry)>() + 1) * 16 / 7 + 2 * size_of::<Key>();
        Self { most: bytes / each, entries: HashMap::new(), turns: VecDeque::new() }
    }

    pub(super) fn insert(&mut self, key: Key, embedding: Embedding) {
        if self.most == 0 || self.entries.contains_key(&key) {
            return;
        }
        while self.entries.len() >= self.most {
            self.make_room();
        }
        self.entries.insert(key, Entry { embedding, asked: false });
        self.turns.push_back(key);
    }

    pub(super) fn find(&mut self, key: Key) -> Option<Embedding> {
        let entry = self.entries.get_mut(&key)?;
        entry.asked = true;
        Some(Embedding::clone(&entry.embedding))
    }

    /// Gives a turn to the next key: one that was asked for waits for another, one that was not goes.
    fn make_room(&mut self) {
        let Some(key) = self.turns.pop_front() else { return };
        match self.entries.get_mut(&key) {
            Some(entry) if entry.asked => {
                entry.asked = false;
                self.turns.push_back(key);
            }
            _ => drop(self.entries.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(at: u16) -> Embedding {
        vec![f32::from(at); 100].into()
    }

    #[test]
    fn what_is_asked_for_stays_within_the_bound() {
        let mut recent = Recent::new(64 * 1024, 100);
        assert!((80..164).contains(&recent.most), "{}", recent.most);
        recent.insert(7, vector(7));
        for at in 1000..3000 {
            recent.insert(u128::from(at), vector(at));
            assert_eq!(recent.find(7).as_deref().map(|v| v[0]), Some(7.0));
        }
        assert_eq!((recent.entries.len(), recent.turns.len()), (recent.most, recent.most));
        assert!(recent.find(1000).is_none());
        assert!(recent.find(2999).is_some());
    }

    #[test]
    fn no_room_holds_nothing() {
        let mut recent = Recent::new(10, 100);
        recent.insert(1, vector(1));
        assert!(recent.find(1).is_none());
        assert_eq!(recent.entries.len(), 0);
    }
}
