//! What becomes of a request for which there is no target.

use std::sync::atomic::Ordering;

use buttress_core::{Refusal, RefusalKind, Replay};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    call::{Call, Next},
    line::Place,
    shedding::Shedding,
    walk::Walk,
};

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    /// Says what follows where no target may be asked.
    pub(crate) fn nobody<Req>(&self, since: Instant, now: Instant) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
    {
        let fleet = self.layer.settings.shared.fleet_for_now();
        let candidates = self.choice(&fleet, false, None, self.moment(now)).among;
        let back = candidates.returns_at();
        let alone = || Refusal::new(RefusalKind::Unavailable, "every target is left alone for now");
        let Some(back) = back else {
            // Whoever keeps requests away does not say for how long.
            let away = candidates.is_kept_away();
            let none = || Refusal::new(RefusalKind::Unavailable, "no target is left to try").hopeless();
            return Next::Refuse(if away { alone().with_guessed_retry_after(Walk::GUESS) } else { none() });
        };
        if self.story.class.is_sheddable() {
            return Next::Refuse(self.shed(back, now));
        }
        match self.enter_line(since, back, now) {
            Some((place, turn)) => Next::Await(place, turn),
            None => Next::Refuse(alone().with_retry_after(back.saturating_duration_since(now))),
        }
    }

    /// Takes a place among those that wait for the first target to return, `back` then.
    fn enter_line(&self, since: Instant, back: Instant, now: Instant) -> Option<(Place, Instant)> {
        let line = self.layer.settings.shared.line.as_ref()?;
        // What is due already is kept away by something else, for nobody knows how long.
        let place = Some(back).filter(|back| now < *back);
        let place = place.and_then(|back| line.enter(self.story.class, since, back, self.story.deadline()));
        let count = if place.is_some() { &self.shedding().waited } else { &self.shedding().turned_away };
        count.fetch_add(1, Ordering::Relaxed);
        place
    }

    pub(crate) fn shed(&self, until: Instant, now: Instant) -> Refusal {
        self.shedding().shed.fetch_add(1, Ordering::Relaxed);
        debug!(class = self.story.class.as_str(), "shed");
        // The caller may come again. The layers of this process would only make it worse.
        let refusal = Refusal::new(RefusalKind::Overloaded, "there is not enough for all, others come first");
        refusal.with_retry_after(until.saturating_duration_since(now)).hopeless().retryable()
    }

    pub(crate) fn shedding(&self) -> &Shedding {
        &self.layer.settings.shared.shedding
    }
}
