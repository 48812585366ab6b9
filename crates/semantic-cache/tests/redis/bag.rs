//! An embedder whose vectors can be foretold.

use std::{num::NonZeroUsize, sync::Arc};

use buttress_semantic_cache::{ByMeaning, EmbedFuture, Embedder, Embedding, Fingerprint, Policy};
use buttress_testkit::RedisServer;

use super::support::*;

/// Each word has a direction.
pub(crate) struct Bag(Fingerprint);

impl Bag {
    pub(crate) fn new(version: &str) -> Self {
        Self(Fingerprint::new("bag", version, NonZeroUsize::new(256).expect("not zero")))
    }
}

impl Embedder for Bag {
    fn fingerprint(&self) -> &Fingerprint {
        &self.0
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        let mut vector = vec![0.0; 256];
        for word in text.split(' ') {
            let hash = word.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
            vector[(hash >> 3) as usize % 256] += 1.0;
        }
        let vector: Embedding = vector.into();
        Box::pin(async move { Ok(vector) })
    }
}

pub(crate) fn meaning(version: &str) -> Arc<ByMeaning<Bag>> {
    Arc::new(ByMeaning::new(Policy::threshold(0.85).expect("it makes sense"), Bag::new(version)))
}

pub(crate) const ASKED: &str = "how do I reset the password of my account";
pub(crate) const LIKE: &str = "please how do I reset the password of my account";

pub(crate) async fn start(server: &RedisServer) -> (Replica, Arc<ByMeaning<Bag>>) {
    let meaning = meaning("1");
    (Replica::with_meaning(server.url(), meaning.clone()).await, meaning)
}

pub(crate) fn known(meaning: &ByMeaning<Bag>) -> usize {
    meaning.with_memory(|memory| memory.len())
}
