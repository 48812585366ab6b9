//! Why a call was not let in.

use std::{
    error::Error,
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use buttress_core::{Refusal, RefusalKind};

use crate::{Limit, Shortage, shortage::Stand};

/// Why a call was not let in. It is in the extensions of the response that refuses.
#[derive(Clone, Debug)]
pub struct RateLimited {
    reason: Reason,
    shortage: Option<Shortage>,
    /// Counted with those who wait before it.
    wait: Option<Duration>,
    /// How the limits stood, where that is not in the shortage.
    stand: Option<Arc<Stand>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is not enough, and it may not wait, or not for long enough, or too many do.
    Short,
    /// It had begun to wait, and was not served.
    Late,
    /// Its deadline had passed when it came.
    Deadline,
    /// Redis is away, and nobody passes without it.
    #[cfg(feature = "redis")]
    Away,
}

// === impl RateLimited ===

impl RateLimited {
    pub(crate) const fn new(reason: Reason, shortage: Option<Shortage>, wait: Option<Duration>) -> Self {
        Self { reason, shortage, wait, stand: None }
    }

    /// Asks how the limits stand, if that is not known from the shortage.
    pub(crate) fn or_stand(mut self, stand: impl FnOnce() -> Stand) -> Self {
        if self.shortage.is_none() {
            self.stand = Some(Arc::new(stand()));
        }
        self
    }

    /// Returns the limits that had too little left; of a call that can never pass, those that are too small for it.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.shortage.iter().flat_map(Shortage::limits)
    }

    /// Returns after how long the call can pass, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    /// Returns whether the call asks for more than there can ever be at once.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.shortage.as_ref().is_some_and(Shortage::is_never)
    }

    /// Returns whether a [quota](Limit::quota) is used up.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        !self.is_never() && self.shortage.as_ref().is_some_and(Shortage::is_quota)
    }

    /// Returns whether the call's deadline had passed before it came.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.reason == Reason::Deadline
    }

    /// Returns whether the call was refused because [shared limits](crate::TokenBucketLayer) could not be asked for, as with
    /// `WhenAway::FailClosed`. Never without feature `redis`.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self.reason {
            #[cfg(feature = "redis")]
            Reason::Away => true,
            Reason::Short | Reason::Late | Reason::Deadline => false,
        }
    }

    pub(crate) fn stand(&self) -> Option<&Stand> {
        self.shortage.as_ref().map(Shortage::stand).or(self.stand.as_deref())
    }

    pub(crate) fn wait_at(&self, at: usize) -> Option<u64> {
        self.shortage.as_ref()?.wait_at(at)
    }

    fn kind(&self) -> RefusalKind {
        match () {
            () if self.is_deadline() => RefusalKind::DeadlineExceeded,
            () if self.is_away() => RefusalKind::Unavailable,
            () if self.is_never() => RefusalKind::TooLarge,
            () if self.is_quota() => RefusalKind::QuotaExhausted,
            () => RefusalKind::RateLimited,
        }
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            RefusalKind::DeadlineExceeded => "the deadline passed before the call could wait for its turn",
            RefusalKind::TooLarge => "the request is larger than can ever be let in",
            RefusalKind::QuotaExhausted => "the quota is used up",
            RefusalKind::Unavailable => "the store of the rate limits is away",
            _ if self.reason == Reason::Late => "the rate limit is reached, and there was not enough in time",
            _ => "the rate limit is reached",
        })?;
        for (at, (limit, phrase)) in self.shortage.iter().flat_map(Shortage::phrases).enumerate() {
            f.write_str(if at == 0 { ": " } else { ", " })?;
            f.write_str(phrase)?;
            if self.is_never() {
                write!(f, ", {} at once", limit.capacity())?;
            }
        }
        Ok(())
    }
}

impl Error for RateLimited {}

impl From<&RateLimited> for Refusal {
    fn from(error: &RateLimited) -> Self {
        // Of a length that hardly any message has, so that it is written at once.
        let mut message = String::with_capacity(160);
        let _ = write!(message, "{error}"); // A String takes all that is written.
        let refusal = Self::new(error.kind(), message);
        match (error.kind(), error.wait) {
            (RefusalKind::RateLimited, Some(wait)) => refusal.with_retry_after(wait).retryable(),
            (RefusalKind::RateLimited, None) => refusal.retryable(),
            (RefusalKind::Unavailable, _) => refusal.with_guessed_retry_after(Duration::from_secs(1)).retryable(),
            // It is worth knowing when, and not worth asking before.
            (RefusalKind::QuotaExhausted, Some(wait)) => refusal.with_retry_after(wait).hopeless(),
            _ => refusal.hopeless(),
        }
    }
}
