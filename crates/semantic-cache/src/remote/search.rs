//! Where questions are searched for.

use buttress_redis::Error;
use tracing::{info, warn};

use super::{Remote, page::BOUND};
use crate::Meaning;

/// Where a replica searches for questions that mean the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Search {
    /// In its own memory.
    #[default]
    Here,
    /// In its own memory, until it is known whether Redis can.
    Pending,
    /// In Redis.
    Redis,
    /// In its own memory: Redis has no vector sets (it is older than 8), or does not let this user have them.
    Missing,
    /// In its own memory: values are sealed, and vectors cannot be.
    Sealed,
    /// In its own memory: this [`Meaning`] can do nothing else, or there is none.
    Unable,
}

// === impl Search ===

impl Search {
    /// Returns its name, for labels of metrics and fields of events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Pending => "pending",
            Self::Redis => "redis",
            Self::Missing => "missing",
            Self::Sealed => "sealed",
            Self::Unable => "unable",
        }
    }
}

// === impl Remote ===

impl Remote {
    /// Finds out where to search, each time that Redis may be another one. Returns whether it is elsewhere than before.
    pub(super) async fn settle_search(&self, meaning: Option<&dyn Meaning>) -> Result<bool, Error> {
        let before = self.search();
        let after = match before {
            Search::Here | Search::Sealed | Search::Unable => return Ok(false),
            Search::Pending | Search::Redis | Search::Missing => self.probe().await?,
        };
        if before == after {
            return Ok(false);
        }
        let elsewhere = after == Search::Redis;
        let after =
            if meaning.is_some_and(|meaning| meaning.search_elsewhere(elsewhere)) { after } else { Search::Unable };
        self.search_by(after);
        match after {
            Search::Redis => info!("questions are searched for in redis"),
            Search::Missing => warn!("redis has no vector sets: questions are searched for in this replica's memory"),
            _ => warn!("no meaning searches in redis: questions are searched for in this replica's memory"),
        }
        Ok(true)
    }

    async fn probe(&self) -> Result<Search, Error> {
        let call = self.scripts.probe.call(&[&self.places.probe]);
        let can: u8 = self.log.invoke_within(&call, BOUND).await?;
        Ok(if can == 1 { Search::Redis } else { Search::Missing })
    }
}
