//! Looks for an answer in Redis.

use std::{future::ready, sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{
    Recalled, Recalling, Remote, Want,
    adopt::Foreign,
    entry, format,
    format::Flaw,
    link::wall_ms,
    place::{marks_bytes, marks_of},
};
use crate::shared::Shared;

/// What Redis says: whether it is there, its age in milliseconds, its marks, and its value.
type Told = (u8, i64, Vec<u8>, Vec<u8>);

/// Clocks of two servers, before and after a failover, may differ by so much.
const SKEW_MS: i64 = 1_000;
/// What a value may be longer than what is in it: how it is framed, and sealed.
const FRAME: usize = 1_024;

// === impl Remote ===

impl Remote {
    /// Looks for an answer in Redis, and takes it into local memory.
    pub(crate) fn recall(self: &Arc<Self>, shared: &Arc<Shared>, want: Want) -> Recalling {
        // In this order: what is forgotten from now on is seen by one or the other.
        let since = shared.since();
        if !self.is_there() || self.forgetting.load(Ordering::Acquire) {
            self.counters.unavailable.one();
            return Box::pin(ready(Recalled::Unknown));
        }
        let (remote, shared) = (Arc::clone(self), Arc::clone(shared));
        Box::pin(async move {
            let most = remote.limits.value_bytes.saturating_add(FRAME);
            let call = remote.scripts.recall.call(&[&remote.places.book, &remote.places.answer(&want.key)]).arg(most);
            let told = match remote.redis.invoke_within::<Told>(&call, remote.limits.patience).await {
                Ok(told) => told,
                Err(error) => {
                    debug!(%error, "not recalled");
                    remote.counters.unavailable.one();
                    return Recalled::Unknown;
                }
            };
            let counter = match remote.read(&want, told) {
                Ok(foreign) => {
                    if shared.adopt(foreign, since, Instant::now()) {
                        remote.counters.recalled.one();
                        return Recalled::Here;
                    }
                    &remote.counters.absent
                }
                Err(None) => &remote.counters.absent,
                Err(Some(Flaw::Broken)) => &remote.counters.broken,
                Err(Some(Flaw::TooLarge)) => &remote.counters.too_large,
            };
            counter.one();
            Recalled::Absent
        })
    }

    fn read(&self, want: &Want, (found, age, marks, value): Told) -> Result<Foreign, Option<Flaw>> {
        match found {
            1 => {}
            2 => return Err(Some(Flaw::TooLarge)),
            _ => return Err(None),
        }
        let broken = Some(Flaw::Broken);
        let marks = marks_of(&marks).ok_or(broken)?;
        if marks.first() != Some(&want.tenant) || age < -SKEW_MS {
            return Err(broken);
        }
        let context = self.places.of_answer(want, &marks_bytes(&marks));
        let bytes = format::unpack(&value, &context, self.seal.as_deref(), self.limits.value_bytes).map_err(Some)?;
        let entry::Entry { answer, span, came_ms } = entry::read(&bytes).ok_or(broken)?;
        // Neither the clock of Redis nor that of this machine can make it younger by itself.
        let by_wall = wall_ms().saturating_sub(came_ms);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0).max(by_wall));
        if age >= span.longest() {
            return Err(None);
        }
        Ok(Foreign { key: want.key, marks, answer: Arc::new(answer), age, span })
    }
}
