//! The work in the background.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Remote, SharedAnswers, SharedCounts, follower::Follower, writer::Writer};
use crate::{CacheHandle, SemanticCacheLayer};

/// Writes answers to Redis, and follows the log of what other replicas do. Made by
/// [`SemanticCacheLayer::sharing`], to be spawned or polled beside other work: without it, nothing is shared.
///
/// It completes when the layer, its services and handles are gone and all is written that can be.
///
/// # Cancel safety
///
/// Dropping it loses what has not been written, and from then on nothing is shared.
#[must_use = "without it, nothing is shared"]
pub struct Sharing(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Whatever becomes of the work, nobody asks Redis when nobody follows the log.
struct Followed(Arc<Remote>);

// === impl Sharing ===

impl Future for Sharing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing").finish_non_exhaustive()
    }
}

// === impl Followed ===

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.follow(false);
    }
}

// === impl SemanticCacheLayer ===

impl<T, A, M, C> SemanticCacheLayer<T, A, M, C> {
    /// Lets replicas share their answers: see [`SharedAnswers`]. Set the bounds of local memory and the [meaning](Self::meaning) first,
    /// and let the [work](Self::sharing) run.
    #[must_use]
    pub fn shared(mut self, answers: SharedAnswers) -> Self {
        self.keeper.remote = Some(Remote::new(answers));
        self
    }

    /// Returns the work in the background, to be run once for all clones of a layer. Without [`shared`](Self::shared), there is nothing to
    /// do.
    pub fn sharing(&self) -> Sharing {
        let (shared, meaning) = (Arc::downgrade(&self.keeper.shared), self.keeper.meaning.clone());
        let work = self.keeper.remote.clone().map(|remote| {
            let followed = Followed(Arc::clone(&remote));
            let follower = Follower::new(Arc::clone(&remote), shared.clone(), meaning.clone());
            let writer = Writer { remote, shared, meaning, saved: HashMap::new() };
            (followed, follower, writer)
        });
        Sharing(Box::pin(async move {
            if let Some((_followed, follower, writer)) = work {
                tokio::join!(follower.run(), writer.run());
            }
        }))
    }
}

// === impl CacheHandle ===

impl CacheHandle {
    /// Returns what was done with Redis, if answers are shared.
    #[must_use]
    pub fn shared_counts(&self) -> Option<SharedCounts> {
        self.remote.as_ref().map(|remote| remote.counts())
    }

    /// Completes when the log of what other replicas do has been read, so that their answers can be had; at once if none are shared. If
    /// Redis never comes, this never completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn following(&self) {
        if let Some(remote) = &self.remote {
            remote.following().await;
        }
    }
}
