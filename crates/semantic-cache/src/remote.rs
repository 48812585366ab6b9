//! Answers that replicas share.
//!
//! Without the feature `redis` there is nothing that could be called here, and what calls it costs nothing.

#[cfg(feature = "redis")]
mod adopt;
#[cfg(feature = "redis")]
mod answers;
#[cfg(feature = "redis")]
mod at;
#[cfg(feature = "redis")]
mod counts;
#[cfg(feature = "redis")]
mod entry;
#[cfg(feature = "redis")]
mod era;
#[cfg(feature = "redis")]
mod follower;
#[cfg(feature = "redis")]
mod forgets;
#[cfg(feature = "redis")]
mod format;
#[cfg(feature = "seal")]
mod key_ring;
mod lesson;
#[cfg(feature = "redis")]
mod link;
#[cfg(feature = "redis")]
mod near;
#[cfg(feature = "redis")]
mod notice;
#[cfg(feature = "redis")]
mod outbox;
#[cfg(feature = "redis")]
mod page;
#[cfg(feature = "redis")]
mod place;
#[cfg(feature = "redis")]
mod recall;
#[cfg(feature = "redis")]
mod scripts;
#[cfg(feature = "redis")]
mod seal;
#[cfg(feature = "redis")]
mod search;
#[cfg(feature = "redis")]
mod sharing;
#[cfg(feature = "redis")]
mod vectors;
#[cfg(feature = "redis")]
mod wire;
#[cfg(feature = "redis")]
mod writer;

use std::pin::Pin;

use crate::{Key, Mark, Scope, semantic::Known};

#[cfg(feature = "seal")]
pub use self::key_ring::KeyRing;
pub use self::lesson::{Lesson, Taught};
#[cfg(feature = "redis")]
pub(crate) use self::{adopt::Deleted, link::Remote};
#[cfg(feature = "redis")]
pub use self::{answers::SharedAnswers, counts::SharedCounts, seal::Seal, search::Search, sharing::Sharing};

/// What is looked for elsewhere.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "there is no elsewhere"))]
pub(crate) struct Want {
    pub(crate) key: Key,
    pub(crate) scope: Scope,
    pub(crate) tenant: Mark,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "there is no elsewhere"))]
pub(crate) enum Recalled {
    /// It is here now.
    Here,
    /// There is none.
    Absent,
    /// Nobody can tell.
    Unknown,
}

/// Looks for an answer elsewhere.
pub(crate) type Recalling = Pin<Box<dyn Future<Output = Recalled> + Send>>;

/// The questions nearest to one.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "there is no elsewhere"))]
pub(crate) enum Near {
    /// Whoever asks has them in its own memory.
    Here,
    /// They are these.
    There(Vec<Known<Key>>),
    /// Nobody can tell.
    Unknown,
}

/// Looks for the questions nearest to one elsewhere.
pub(crate) type Nearing = Pin<Box<dyn Future<Output = Near> + Send>>;

/// What does not exist without the feature `redis`.
#[cfg(not(feature = "redis"))]
#[derive(Debug)]
pub(crate) enum Remote {}

#[cfg(not(feature = "redis"))]
mod nowhere {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::{Lesson, Nearing, Recalling, Remote, Want};
    use crate::{Asked, Fingerprint, Key, Mark, Scope, Stored, freshness::Span, shared::Shared};

    // === impl Remote ===

    impl Remote {
        pub(crate) const fn is_there(&self) -> bool {
            match *self {}
        }

        pub(crate) fn recall(self: &Arc<Self>, _: &Arc<Shared>, _: Want) -> Recalling {
            match **self {}
        }

        pub(crate) fn near(self: &Arc<Self>, _: Scope, _: &Fingerprint, _: &[f32]) -> Nearing {
            match **self {}
        }

        pub(crate) const fn keep(&self, _: &Asked, _: &Arc<Stored>, _: u64, _: Span, _: Instant) {
            match *self {}
        }

        pub(crate) const fn forget(&self, _: Key) {
            match *self {}
        }

        pub(crate) const fn forget_all_of(&self, _: Mark) {
            match *self {}
        }

        pub(crate) const fn forget_everything(&self) {
            match *self {}
        }

        pub(crate) fn tell(&self, _: Lesson, _: Option<Instant>) {
            match *self {}
        }
    }
}
