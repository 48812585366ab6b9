//! Follows the log of what the others do.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use buttress_redis::{Error, redis};
use tokio::{
    join,
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    Lesson, Remote, Search,
    at::At,
    era::Era,
    format,
    link::random_word,
    notice::{self, Kind, LESSON, Notice, What},
    page::{self, BOUND, PAGE, Page},
    writer::{CLASSES, EXPERIENCE},
};
use crate::{Fingerprint, Meaning, shared::Shared};

/// Follows the log, and does here what was done elsewhere.
pub(super) struct Follower {
    remote: Arc<Remote>,
    shared: Weak<Shared>,
    meaning: Option<Arc<dyn Meaning>>,
    at: Option<At>,
    /// When the log was read last.
    heard: Instant,
    /// Whether it is to be asked how things are before more is read.
    unsure: bool,
    space: Option<Fingerprint>,
    /// What was read already of the log after `at`.
    ahead: Option<Page>,
}

/// Some of the log was missed.
struct Gap;

/// After how many entries of a page the other work has its turn.
const AT_ONCE: usize = 32;
const PAUSE: Duration = Duration::from_millis(50);
/// Who has heard nothing for so long does not vouch for what is here, if the log is gone. The others tell for longer what they
/// told before it went.
const TRUSTED: Duration = Duration::from_secs(60);

// === impl Follower ===

impl Follower {
    pub(super) fn new(remote: Arc<Remote>, shared: Weak<Shared>, meaning: Option<Arc<dyn Meaning>>) -> Self {
        Self { remote, shared, meaning, at: None, heard: Instant::now(), unsure: true, space: None, ahead: None }
    }

    pub(super) async fn run(mut self) {
        // Who asks before there is a connection waits out a pause for nothing. The other one is waited for as well: who follows
        // the log is taken to be able to ask for answers.
        drop(timeout(BOUND, self.remote.log.connected()).await);
        drop(timeout(BOUND, self.remote.redis.connected()).await);
        while self.shared.strong_count() > 0 {
            if let Err(error) = self.step().await {
                self.remote.follow(false);
                self.unsure = true;
                self.ahead = None;
                debug!(%error, "the log is not followed");
                sleep(PAUSE).await;
            }
        }
        self.remote.follow(false);
    }

    async fn step(&mut self) -> Result<(), Error> {
        if self.unsure {
            self.greet().await?;
            self.unsure = false;
        }
        let page = match (self.ahead.take(), &self.at) {
            (Some(page), _) => page,
            (None, Some(at)) => page::read(&self.remote, &at.cursor).await?,
            (None, None) => Page::new(),
        };
        self.heard = Instant::now();
        let outcome = if page.is_empty() { self.check().await? } else { self.take_in(page).await? };
        if outcome.is_err() {
            debug!("some of the log was missed");
            self.remote.follow(false);
            self.remote.counters.gaps.one();
            // What was forgotten meanwhile is not known, and what was learned neither.
            self.at = None;
            self.ahead = None;
            self.unsure = true;
            if let Some(meaning) = &self.meaning {
                meaning.clear();
            }
        }
        Ok(())
    }

    /// Finds out how things are in Redis, and where to go on.
    async fn greet(&mut self) -> Result<(), Error> {
        let remote = &self.remote;
        let call = remote.scripts.hello.call(&[&remote.places.book]).arg(random_word());
        let (run, clock, number, now_ms) = remote.log.invoke_within::<(String, u64, u64, u64)>(&call, BOUND).await?;
        if remote.settle_search(self.meaning.as_deref()).await? {
            // It has dropped what it knew: all is read again.
            self.space = None;
        }
        let space = self.meaning.as_ref().and_then(|meaning| meaning.space());
        let same_space = self.space == space;
        let first = self.at.is_none();
        // What was forgotten and told by then: the clock of the book, and the number of the last entry of the log.
        let mut known = (clock, number);
        let doubtful = match &self.at {
            Some(at) if at.run == run && at.number.unwrap_or(0) <= number && same_space => return Ok(()),
            // A failover has lost some, or the vectors are of another kind now: all is read again.
            Some(at) if at.run == run => {
                if let Some(meaning) = &self.meaning {
                    meaning.clear();
                }
                !same_space || at.number.unwrap_or(0) > number
            }
            // It has forgotten everything. The others tell it again what they forgot.
            Some(_) => {
                remote.forgets().again(self.heard);
                remote.forgetting.store(!remote.forgets().is_empty(), std::sync::atomic::Ordering::Release);
                remote.outbox.more.notify_one();
                // What they have told already was not heard of here: it is read from the first entry on.
                known = (0, 0);
                Instant::now().saturating_duration_since(self.heard) > TRUSTED
            }
            // At the beginning, or when some of the log was missed: unless nothing was forgotten that was not heard of.
            None => clock > remote.era().as_ref().filter(|era| era.run() == run).map_or(0, Era::last),
        };
        let (clock, goal) = known;
        self.begin(&run, clock, doubtful);
        self.space = space;
        let cursor = "0-0".to_owned();
        self.at = Some(At { run, cursor, number: None, goal, now_ms, missing: None });
        if first { self.take_up().await } else { Ok(()) }
    }

    /// Begins with a run of Redis. What is here stays only if nothing can have been forgotten that was not heard of.
    fn begin(&self, run: &str, clock: u64, doubtful: bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut books = shared.books();
        if doubtful {
            books.store.epochs.forget_all();
        } else {
            books.store.epochs.tick();
        }
        let here = books.store.epochs.now();
        drop(books);
        *self.remote.era() = Some(Era::new(run, here, clock));
    }

    /// Takes up what was learned before, unless something was learned here already.
    async fn take_up(&self) -> Result<(), Error> {
        let (Some(meaning), Some(space)) = (&self.meaning, &self.space) else { return Ok(()) };
        let remote = &self.remote;
        let place = remote.places.policy(space);
        let classes: Vec<u64> = remote.log.query_within(redis::cmd("HKEYS").arg(&place), BOUND).await?;
        for class in classes.into_iter().take(CLASSES).filter(|class| !meaning.classes().contains(class)) {
            let length: usize = remote.log.query_within(redis::cmd("HSTRLEN").arg(&place).arg(class), BOUND).await?;
            if length > EXPERIENCE {
                remote.counters.too_large.one();
                continue;
            }
            let value: Vec<u8> = remote.log.query_within(redis::cmd("HGET").arg(&place).arg(class), BOUND).await?;
            let context = remote.places.of_policy(space, class);
            match format::unpack(&value, &context, remote.seal.as_deref(), EXPERIENCE) {
                Ok(bytes) => meaning.take_up(class, &bytes),
                Err(_) => remote.counters.broken.one(),
            }
        }
        Ok(())
    }

    /// Finds out whether there is nothing to read because there is nothing.
    async fn check(&mut self) -> Result<Result<(), Gap>, Error> {
        let Some(at) = &mut self.at else { return Ok(Ok(())) };
        let mut ask = redis::cmd("HMGET");
        ask.arg(&self.remote.places.book).arg("run").arg("n");
        let (run, last): (Option<String>, Option<u64>) = self.remote.log.query_within(&ask, BOUND).await?;
        let last = last.unwrap_or(0);
        // What was in the log before is not there any more, and has been accounted for.
        let number = at.last();
        at.number = Some(number);
        let space = self.meaning.as_ref().and_then(|meaning| meaning.space());
        if run.as_ref() != Some(&at.run) || last < number || space != self.space {
            self.unsure = true;
            return Ok(Ok(()));
        }
        // What came between the two questions is read next time, if it is there.
        if at.missing.is_some_and(|missing| missing > number) {
            return Ok(Err(Gap));
        }
        at.missing = Some(last);
        if last == number {
            self.remote.follow(true);
        }
        Ok(Ok(()))
    }

    /// Does what a page tells. Where there is more, that comes meanwhile: to read the answer of Redis takes as long as to do what
    /// it tells.
    async fn take_in(&mut self, page: Page) -> Result<Result<(), Gap>, Error> {
        let full = page.last().filter(|_| page.len() >= PAGE);
        let Some(cursor) = full.map(|(cursor, _)| cursor.clone()) else { return Ok(self.apply(page).await) };
        let remote = Arc::clone(&self.remote);
        let (ahead, outcome) = join!(page::read(&remote, &cursor), self.apply(page));
        // That some was missed goes before that no more could be read.
        if outcome.is_ok() {
            self.ahead = Some(ahead?);
        }
        Ok(outcome)
    }

    async fn apply(&mut self, page: Page) -> Result<(), Gap> {
        for (at, (name, fields)) in page.into_iter().enumerate() {
            if at % AT_ONCE == AT_ONCE - 1 {
                yield_now().await;
            }
            let Some(at) = &mut self.at else { return Ok(()) };
            let written_ms = name.split_once('-').and_then(|(ms, _)| ms.parse().ok()).unwrap_or(0);
            at.cursor = name;
            at.missing = None;
            let Some(notice) = Notice::read(fields).filter(|notice| notice.run == at.run.as_bytes()) else { continue };
            // Up to the goal, what was forgotten is accounted for, and what is missing was trimmed.
            if notice.number > at.last() + 1 {
                return Err(Gap);
            }
            at.number = Some(notice.number);
            let (goal, now_ms) = (at.goal, at.now_ms);
            self.remote.counters.heard.one();
            let own = notice.origin == self.remote.origin.as_bytes();
            match notice.kind {
                Kind::Forget(what) => self.forget(what, &notice, own),
                Kind::Lesson if own && notice.number > goal => {}
                Kind::Lesson => self.learn(&notice, written_ms, now_ms),
                Kind::Unknown => {}
            }
        }
        if self.at.as_ref().is_some_and(|at| at.number >= Some(at.goal)) {
            self.remote.follow(true);
        }
        Ok(())
    }

    fn forget(&self, what: What, notice: &Notice, own: bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        // What was forgotten before it began to read is accounted for.
        let known = self.remote.era().as_ref().map_or(0, Era::last);
        if notice.clock <= known {
            return;
        }
        let mut books = shared.books();
        // What was forgotten here was forgotten when that was said. What came since stays.
        books.store.epochs.tick();
        match what {
            _ if own => {}
            What::All => books.store.epochs.forget_all(),
            What::Mark => match notice.mark() {
                Some(mark) => books.store.epochs.forget(mark),
                None => books.store.epochs.forget_all(),
            },
            What::Key => {
                if let Some(key) = notice.key() {
                    books.deleted.note(key);
                    books.store.forget(&key);
                }
            }
        }
        let here = books.store.epochs.now();
        drop(books);
        if let Some(era) = self.remote.era().as_mut() {
            era.heard(here, notice.clock);
        }
        if let (What::Key, Some(key), Some(meaning)) = (what, notice.key(), &self.meaning) {
            meaning.hear(Lesson::Gone(key));
        }
    }

    fn learn(&self, notice: &Notice, written_ms: u64, now_ms: u64) {
        let Some(meaning) = &self.meaning else { return };
        let remote = &self.remote;
        // What was told before questions were searched for in Redis. They are not known here.
        if remote.search() == Search::Redis {
            return;
        }
        let payload = format::unpack(&notice.payload, &remote.places.of_lesson(), remote.seal.as_deref(), LESSON);
        let Some(lesson) = payload.ok().and_then(|bytes| notice::read(&bytes)) else {
            return remote.counters.broken.one();
        };
        if let Lesson::Asked(taught) = &lesson {
            let ends_ms = written_ms.saturating_add(super::entry::millis(taught.lasting));
            if Some(&taught.space) != self.space.as_ref() || ends_ms <= now_ms {
                return;
            }
        }
        meaning.hear(lesson);
    }
}
