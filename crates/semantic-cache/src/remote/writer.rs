//! Writes what waits, in the background.

use std::{
    collections::HashMap,
    hash::Hasher as _,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use buttress_redis::{Error, Invocation, redis};
use futures_util::future::join_all;
use siphasher::sip::SipHasher13;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{
    Lesson, Remote, Search, Want,
    entry::{self, millis},
    forgets::Forget,
    format,
    link::{random_word, wall_ms},
    notice,
    outbox::{Due, Parcel},
    place::marks_bytes,
};
use crate::{Meaning, shared::Shared};

/// Writes what waits.
pub(super) struct Writer {
    pub(super) remote: Arc<Remote>,
    pub(super) shared: Weak<Shared>,
    pub(super) meaning: Option<Arc<dyn Meaning>>,
    /// What was saved last of each class.
    pub(super) saved: HashMap<u64, u64>,
}

/// How often it is looked whether Redis is back, and whether anybody is left.
const TICK: Duration = Duration::from_millis(50);
/// How long Redis may take for a batch. Nobody waits for it.
const BOUND: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 64;
/// After how many batches the other work has its turn.
const BATCHES: usize = 64;
const BYTES_AT_ONCE: usize = 4 << 20;
/// For how long what was forgotten by its key is not kept again by a call that began before.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// The longest experience that is saved, in bytes, and for how many classes.
pub(super) const EXPERIENCE: usize = 4 << 20;
pub(super) const CLASSES: usize = 64;
/// For how long experience is kept that nobody saves anew.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

// === impl Writer ===

impl Writer {
    pub(super) async fn run(mut self) {
        let mut saving = Instant::now() + self.remote.limits.saving;
        loop {
            // Neither outcome tells more than that it is time to look.
            drop(timeout(TICK, self.remote.outbox.more.notified()).await);
            for _ in 0..BATCHES {
                if !self.write().await {
                    break;
                }
            }
            if self.shared.strong_count() == 0 {
                while self.write().await {}
                return;
            }
            if Instant::now() >= saving && self.remote.is_there() {
                self.save().await;
                self.trim().await;
                saving = Instant::now() + self.remote.limits.saving;
            }
        }
    }

    /// Writes a batch. Returns whether there may be more to write, and Redis to take it.
    async fn write(&self) -> bool {
        if !self.remote.redis.status().is_connected() || !self.forget().await {
            return false;
        }
        let Some(run) = self.remote.era().as_ref().map(|era| era.run().to_owned()) else { return false };
        let batch = self.remote.outbox.first(AT_ONCE, BYTES_AT_ONCE);
        let number = batch.len();
        let calls = batch.into_iter().filter_map(|due| self.call(due, &run));
        // Sent in their order: an answer is there before anybody hears of it.
        let results = join_all(calls.map(async |call| self.invoke(&call).await)).await;
        self.remote.outbox.done();
        let counters = &self.remote.counters;
        for result in &results {
            match result {
                Ok(0) => counters.outdated.one(),
                Ok(_) => counters.written.one(),
                Err(error) => {
                    debug!(%error, "not written");
                    counters.dropped.one();
                }
            }
        }
        number > 0
    }

    async fn invoke(&self, call: &Invocation) -> Result<u8, Error> {
        self.remote.redis.invoke_within(call, BOUND).await
    }

    /// Makes the call that writes it. What cannot or need not be written is counted here.
    fn call(&self, due: Due, run: &str) -> Option<Invocation> {
        let counters = &self.remote.counters;
        match due {
            Due::Answer(parcel) => {
                let born = self.remote.era().as_ref().filter(|era| era.run() == run)?.there(parcel.born);
                let Some(born) = born else {
                    counters.outdated.one();
                    return None;
                };
                let call = self.answer(&parcel, run, born);
                if call.is_none() {
                    counters.dropped.one();
                }
                call
            }
            Due::Lesson(lesson, until) => {
                let call = self.lesson(lesson, until, run);
                if call.is_none() {
                    counters.dropped.one();
                }
                call
            }
        }
    }

    fn answer(&self, parcel: &Parcel, run: &str, born: u64) -> Option<Invocation> {
        let Parcel { key, scope, marks, answer, span, came, .. } = parcel;
        let remote = &self.remote;
        let age = Instant::now().saturating_duration_since(*came);
        let left = millis(span.longest().saturating_sub(age));
        let marks_bytes = marks_bytes(marks);
        let want = Want { key: *key, scope: *scope, tenant: *marks.first()? };
        let bytes = entry::write(answer, span, wall_ms().saturating_sub(millis(age)));
        if left == 0 || bytes.len() > remote.limits.value_bytes {
            return None;
        }
        let value = format::pack(&bytes, &remote.places.of_answer(&want, &marks_bytes), remote.seal.as_deref())?;
        let call = remote.scripts.keep.call(&[&remote.places.book, &remote.places.answer(key)]);
        Some(call.arg(run).arg(born).arg(marks_bytes).arg(millis(age)).arg(left).arg(value))
    }

    fn lesson(&self, mut lesson: Lesson, until: Option<Instant>, run: &str) -> Option<Invocation> {
        let remote = &self.remote;
        match &lesson {
            _ if remote.search() != Search::Redis => {}
            Lesson::Asked(taught) => return remote.learning(taught, run),
            Lesson::Judged { key, right, served } => return Some(remote.judging(key, *right, *served, run)),
            Lesson::Gone(_) => {}
        }
        if let (Lesson::Asked(taught), Some(until)) = (&mut lesson, until) {
            taught.lasting = taught.lasting.min(until.saturating_duration_since(Instant::now()));
        }
        let bytes = notice::write(&lesson)?;
        let payload = format::pack(&bytes, &remote.places.of_lesson(), remote.seal.as_deref())?;
        let call = remote.scripts.tell.call(&[&remote.places.book, &remote.places.log]);
        Some(call.arg(run).arg(&remote.origin).arg("lesson").arg(remote.limits.log_entries).arg(payload))
    }

    /// Tells what is to be forgotten. Returns whether all was.
    async fn forget(&self) -> bool {
        let remote = &self.remote;
        loop {
            let (batch, last) = remote.forgets().first(AT_ONCE);
            if batch.is_empty() {
                return true;
            }
            let calls: Vec<_> = batch.iter().map(|forget| self.forgetting(forget)).collect();
            let results = join_all(calls.iter().map(|call| self.invoke(call))).await;
            if let Some(error) = results.into_iter().find_map(Result::err) {
                debug!(%error, "the others do not know yet what is to be forgotten");
                return false;
            }
            let mut forgets = remote.forgets();
            forgets.known(last, Instant::now());
            remote.forgetting.store(!forgets.is_empty(), Ordering::Release);
        }
    }

    fn forgetting(&self, forget: &Forget) -> Invocation {
        let remote = &self.remote;
        let (kind, bytes, answer) = match forget {
            Forget::Key(key) => ("key", key.to_bytes().to_vec(), remote.places.answer(key)),
            Forget::Mark(mark) => ("mark", mark.to_bytes().to_vec(), remote.places.book.clone()),
            Forget::All => ("all", Vec::new(), remote.places.book.clone()),
        };
        let call = remote.scripts.forget.call(&[&remote.places.book, &remote.places.log, &answer]);
        let call = call.arg(random_word()).arg(&remote.origin).arg(kind).arg(bytes);
        // The book has fields besides those of marks.
        call.arg(remote.limits.marks + 5).arg(remote.limits.log_entries).arg(millis(FORGOTTEN))
    }

    /// Saves what was learned, where it has changed.
    async fn save(&mut self) {
        let Some(meaning) = &self.meaning else { return };
        let Some(space) = meaning.space() else { return };
        let remote = &self.remote;
        for class in meaning.classes().into_iter().take(CLASSES) {
            let Some(bytes) = meaning.experience(class).filter(|bytes| bytes.len() <= EXPERIENCE) else { continue };
            let mut hasher = SipHasher13::new();
            hasher.write(&bytes);
            let hash = hasher.finish();
            if self.saved.get(&class) == Some(&hash) {
                continue;
            }
            let context = remote.places.of_policy(&space, class);
            let Some(value) = format::pack(&bytes, &context, remote.seal.as_deref()) else { continue };
            let place = remote.places.policy(&space);
            let mut pipeline = redis::pipe();
            pipeline.cmd("HSET").arg(&place).arg(class).arg(value).ignore();
            pipeline.cmd("PEXPIRE").arg(&place).arg(millis(KEPT_FOR)).ignore();
            match remote.redis.pipeline_within::<()>(&pipeline, BOUND).await {
                Ok(()) => drop(self.saved.insert(class, hash)),
                Err(error) => return debug!(%error, "experience not saved"),
            }
        }
    }

    /// Removes from the log what is older than any answer.
    async fn trim(&self) {
        let places = &self.remote.places;
        let call = self.remote.scripts.trim.call(&[&places.book, &places.log]);
        if let Err(error) = self.invoke(&call).await {
            debug!(%error, "log not trimmed");
        }
    }
}
