//! The second attempt of a request that takes long.

use std::sync::Arc;

use buttress_core::{Attempt, Class, Outcome, Replay, Rewrite, Verdict};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    aim::{Aim, UnderWay},
    call::{Call, Next},
};

/// Whether the first attempt takes long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slow {
    /// Nobody asks, or any more.
    Unasked,
    Watched,
    Found,
}

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    /// Returns when the request is slow, if it is on its first attempt and may be sent to a second target.
    pub(crate) fn slow_at(&mut self, to: &Aim) -> Option<Instant> {
        let hedging = self.layer.settings.shared.hedging.as_ref()?;
        if self.story.attempts_made() > 0 {
            return None;
        }
        self.slow = Slow::Watched;
        to.begun.at.checked_add(hedging.begin(self.keys.route)?)
    }

    /// Aims a slow request at a second target, if all that speaks for it holds.
    #[cold]
    #[inline(never)]
    pub(crate) fn hedge<Req>(&mut self, first: &Aim) -> Option<(Aim, R::Request)>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        self.slow = Slow::Found;
        let layer = Arc::clone(&self.layer);
        let hedging = layer.settings.shared.hedging.as_ref()?;
        if !hedging.take(self.keys.route) {
            return None;
        }
        let can = self.is_repeatable() && layer.replay.is_sent(&self.saved) && self.story.attempts_left() > 0;
        let target = first.member.target();
        let next = if can { self.attempt(&mut None, Some(target), self.moment(Instant::now())).ok() } else { None };
        match next {
            // Taken last, since a target that the rewrite refuses costs no attempt.
            Some(Next::Attempt(to, request)) if self.story.take_attempt() => {
                debug!(upstream = %to.member.target().name(), slow = %target.name(), "second attempt");
                Some((to, request))
            }
            _ => {
                hedging.give_back();
                None
            }
        }
    }

    /// Notes how long the first attempt took, or that it took at least so long. One that failed soon says nothing.
    pub(crate) fn noted(&mut self, first: &Aim, answered: bool) {
        let slow = match std::mem::replace(&mut self.slow, Slow::Unasked) {
            Slow::Watched if answered => false,
            Slow::Found => true,
            Slow::Watched | Slow::Unasked => return,
        };
        if let Some(hedging) = &self.layer.settings.shared.hedging {
            let now = Instant::now();
            let took = now.saturating_duration_since(first.begun.at);
            hedging.took(self.keys.route, took, slow);
            if slow {
                first.member.lagged(first.begun.at, took, hedging.settings().by_chance(), now);
            } else {
                first.member.kept_up(first.begun.at);
            }
        }
    }

    pub(crate) fn second_ended(&self, won: bool) {
        if let Some(hedging) = &self.layer.settings.shared.hedging {
            hedging.ended(won);
        }
    }

    /// Records an attempt that is dropped because another one was faster.
    pub(crate) fn lost(&mut self, under_way: &UnderWay) {
        let (to, now) = (&under_way.to, Instant::now());
        let class = Class::new(Verdict::Cancelled, Outcome::Word("cancelled"));
        let elapsed = now.saturating_duration_since(to.begun.at);
        self.story.record(Attempt::ended(to.target().clone(), class, elapsed, now));
    }
}
