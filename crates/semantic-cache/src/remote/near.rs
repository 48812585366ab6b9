//! Looks for the questions nearest to one in Redis.

use std::{
    future::ready,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use buttress_redis::{Error, Invocation, redis};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Near, Nearing, Remote, Search, Taught, format,
    vectors::{self, Element, SAID, Told},
};
use crate::{
    Fingerprint, Key, Scope,
    semantic::{Known, NEIGHBOURS, name},
};

/// What is asked for.
struct Quest {
    scope: Scope,
    space: Fingerprint,
    blob: Vec<u8>,
}

/// What a question may be longer than what is in it.
const FRAME: usize = 64;
/// The most questions with one answer, and the other fields of its hash.
const FIELDS: usize = 256 + 8;

// === impl Remote ===

impl Remote {
    /// Looks for the questions nearest to a vector, within the patience for one answer in all.
    ///
    /// It takes two round trips: vectors are searched beside Redis' main thread, and a script reads of what was found what is still
    /// there. What is not is removed.
    pub(crate) fn near(self: &Arc<Self>, scope: Scope, space: &Fingerprint, vector: &[f32]) -> Nearing {
        if self.search() != Search::Redis {
            return Box::pin(ready(Near::Here));
        }
        let Some(blob) = vectors::blob(vector) else { return Box::pin(ready(Near::There(Vec::new()))) };
        if !self.is_there() || self.forgetting.load(Ordering::Acquire) {
            self.counters.unavailable.one();
            return Box::pin(ready(Near::Unknown));
        }
        let (remote, quest) = (Arc::clone(self), Quest { scope, space: space.clone(), blob });
        Box::pin(async move {
            match remote.nearest(&quest, Instant::now() + remote.limits.patience).await {
                Ok(known) => {
                    remote.counters.searched.one();
                    Near::There(known)
                }
                Err(error) => {
                    debug!(%error, "not searched");
                    remote.counters.unavailable.one();
                    Near::Unknown
                }
            }
        })
    }

    async fn nearest(&self, quest: &Quest, until: Instant) -> Result<Vec<Known<Key>>, Error> {
        let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut search = redis::cmd("VSIM");
        search.arg(self.places.vectors(&quest.scope, &quest.space)).arg("FP32").arg(&quest.blob);
        search.arg("WITHSCORES").arg("COUNT").arg(NEIGHBOURS);
        let found = vectors::found(self.redis.query_within(&search, left()).await?, NEIGHBOURS);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let told: Vec<Told> = self.redis.invoke_within(&self.ask(quest, &found), left()).await?;
        Ok(found.into_iter().zip(told).filter_map(|(found, told)| self.known(found, &told)).collect())
    }

    fn ask(&self, quest: &Quest, found: &[(Element, f32)]) -> Invocation {
        let Quest { scope, space, .. } = quest;
        let mut keys =
            vec![self.places.book.clone(), self.places.vectors(scope, space), self.places.ages(scope, space)];
        keys.extend(found.iter().map(|(element, _)| self.places.answer(&element.answer)));
        let call = self.scripts.know.call(&keys).arg(SAID + FRAME);
        found.iter().fold(call, |call, (element, _)| call.arg(&element.to_bytes()[..]))
    }

    fn known(&self, (element, similarity): (Element, f32), told: &Told) -> Option<Known<Key>> {
        if told.0.is_empty() {
            self.counters.stale.one();
            return None;
        }
        let bytes = format::unpack(&told.0, &self.places.of_question(&element), None, SAID).ok();
        let said = bytes.and_then(|bytes| vectors::said(&bytes));
        if said.is_none() {
            self.counters.broken.one();
        }
        said.map(|said| Known::new(element, similarity, said, told))
    }

    /// Makes the call that adds a question with its answer. Nothing if it cannot be searched for.
    pub(super) fn learning(&self, taught: &Taught, run: &str) -> Option<Invocation> {
        let Taught { key, scope, sender, text, vector, space, .. } = taught;
        let element = Element { answer: *key, name: name(key, text) };
        let blob = vectors::blob(vector).filter(|_| vector.len() == space.dimensions().get())?;
        let said = format::pack(&vectors::say(*sender, text)?, &self.places.of_question(&element), None)?;
        let (vectors, ages) = (self.places.vectors(scope, space), self.places.ages(scope, space));
        let call = self.scripts.learn.call(&[&self.places.book, &self.places.answer(key), &vectors, &ages]);
        let call = call.arg(run).arg(&element.name[..]).arg(&element.to_bytes()[..]).arg(blob).arg(said);
        Some(call.arg(self.limits.questions).arg(FIELDS))
    }

    /// Makes the call that notes that an answer was compared with a fresh one.
    pub(super) fn judging(&self, key: &Key, right: bool, served: bool, run: &str) -> Invocation {
        let call = self.scripts.judge.call(&[&self.places.book, &self.places.answer(key)]);
        call.arg(run).arg(u8::from(right)).arg(u8::from(served))
    }
}
