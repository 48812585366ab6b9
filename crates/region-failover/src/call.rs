//! What all attempts of one request share.

use std::{sync::Arc, time::Duration};

use buttress_core::{
    Attempt, Class, Classify, Label, Mark, Outcome, Refusal, RefusalKind, Replay, Rewrite, TransportErrorKind, Verdict,
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Affinity, HedgeRoute, RegionFailoverLayer,
    aim::{Aim, UnderWay},
    attending::attending,
    ended::Ended,
    epoch::Moment,
    line::Place,
    second::Slow,
    story::Story,
    walk::{Verdicts, Walk},
};

/// What the layer reads of a request that came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) affinity: Option<Affinity>,
    pub(crate) route: Option<HedgeRoute>,
}

/// What all attempts of one request share.
pub(crate) struct Call<S, R, W, C, M, Saved> {
    pub(crate) service: S,
    pub(crate) layer: Arc<RegionFailoverLayer<R, W, C, M>>,
    pub(crate) saved: Saved,
    pub(crate) story: Story,
    pub(crate) keys: Keys,
    pub(crate) walk: Walk,
    pub(crate) slow: Slow,
}

/// What follows a failed attempt.
pub(crate) enum Next<Req> {
    Attempt(Aim, Req),
    /// Nothing until then: the first target returns.
    Await(Place, Instant),
    /// Nothing for now: another attempt is under way.
    Wait,
    Refuse(Refusal),
}

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    pub(crate) fn new(
        service: S,
        layer: Arc<RegionFailoverLayer<R, W, C, M>>,
        saved: Saved,
        story: Story,
        keys: Keys,
    ) -> Self {
        Self { service, layer, saved, story, keys, walk: Walk::new(), slow: Slow::Unasked }
    }

    /// Begins with `first`, which stays where it is if the request has to wait; `waited` tells since when it did so already.
    #[inline(always)]
    pub(crate) fn start<Req>(&mut self, first: &mut Option<R::Request>, waited: Option<Instant>) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let now = Instant::now();
        if let Some(until) = self.shedding().sheds(self.story.class, now) {
            return Next::Refuse(self.shed(until, now));
        }
        match self.attempt(first, None, self.moment(now)) {
            Ok(next) => next,
            Err(Some(refusal)) => Next::Refuse(refusal),
            Err(None) => self.nobody(waited.unwrap_or(now), now),
        }
    }

    /// Begins again, after it waited since then.
    #[cold]
    #[inline(never)]
    pub(crate) fn start_again<Req>(
        &mut self,
        first: &mut Option<R::Request>,
        since: Option<Instant>,
    ) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        self.start(first, since)
    }

    #[inline]
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        self.layer.settings.shared.epoch.moment(at)
    }

    /// Says what follows an attempt; a `result` of `None` says that its time was over.
    /// `more` says that another attempt is under way.
    ///
    /// `Ok` says that nothing does, and that its own result is returned: `true` if that is the target's, and not the refusal of a
    /// layer further in. So all that most attempts come to is small.
    #[inline(always)]
    pub(crate) fn after<Req, Res, Err>(
        &mut self,
        under_way: &mut UnderWay,
        result: Option<Result<&Res, &Err>>,
        more: bool,
    ) -> Result<bool, Next<R::Request>>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
        W: Rewrite<R::Request>,
        C: Classify<Res, Err>,
    {
        let answered = matches!(result, Some(Ok(_)));
        let class = match result {
            Some(result) => self.layer.classify.classify(result),
            None => Class::transport(TransportErrorKind::Timeout),
        };
        let moment = self.moment(Instant::now());
        let now = moment.at;
        if let (Verdict::Success, Some(Ok(response))) = (class.verdict, result) {
            let report = R::Mark::report(response);
            under_way.goes_on = report.is_some_and(|report| report.attend(attending(&under_way.to)));
        }
        let headroom = result.and_then(|result| R::Mark::headroom(result.ok()?));
        let to = &under_way.to;
        let target = to.target();
        let ended = Ended {
            class,
            model: to.model.as_ref(),
            elapsed: Duration::from_nanos(moment.nanos.saturating_sub(to.begun.nanos)),
            at: Some(moment.nanos),
            goes_on: under_way.goes_on,
            headroom,
            credential: target.credential().map(|_| to.face),
            blames_credential: target.blames_credential(class.verdict),
        };
        self.note(to, &ended, result.is_none(), now);
        if class.verdict != Verdict::Success || R::Mark::MARKS || self.story.told().is_some() {
            self.story.record(Attempt::ended(target.clone(), class, ended.elapsed, now));
        }
        let served = !matches!(class.outcome, Outcome::Refused(_));
        if class.verdict == Verdict::Success || (result.is_some() && !self.may_go_elsewhere(to, class)) {
            return Ok(served);
        }
        self.walk.failed(class);
        if more {
            return Err(Next::Wait);
        }
        if self.story.is_over(now) {
            return Err(Next::Refuse(deadline_passed()));
        }
        if let Some(next) = self.elsewhere(class, now) {
            return Err(next);
        }
        if class.verdict == Verdict::ContextTooLong {
            return Ok(served);
        }
        if self.walk.all_throttled() {
            self.shedding().found_short(self.story.class, now);
        }
        match self.walk.sum(answered, self.only_tried(to)) {
            Verdicts::AsItCame => Ok(served),
            Verdicts::Sum(refusal) => Err(Next::Refuse(refusal)),
        }
    }

    /// Returns whether the request was tried nowhere else, however often: what one target says last is the truth.
    fn only_tried(&self, to: &Aim) -> bool {
        let name = to.member.target().name();
        let here = |attempt: &Attempt| attempt.target.as_ref().is_none_or(|target| target.name() == name);
        self.story.told().is_none_or(|context| context.with_trail(|trail| trail.iter().all(here)))
    }

    /// A request that is too long for one target may fit into another one, where that is known to hold more.
    fn may_go_elsewhere(&mut self, to: &Aim, class: Class) -> bool {
        match (class.verdict, to.member.target().context()) {
            (Verdict::ContextTooLong, Some(tokens)) => {
                self.walk.context_over = self.walk.context_over.max(tokens.get());
                true
            }
            (verdict, _) => verdict.try_elsewhere(),
        }
    }

    #[cold]
    #[inline(never)]
    fn elsewhere<Req>(&mut self, class: Class, now: Instant) -> Option<Next<R::Request>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        if (class.begun && !self.is_repeatable()) || self.story.attempts_left() == 0 {
            return None;
        }
        let next = self.attempt(&mut None, None, self.moment(now)).ok()?;
        // Taken last, since a target that the rewrite refuses costs no attempt.
        self.story.take_attempt().then_some(next)
    }

    /// Notes what an attempt came to for the requests that follow.
    fn note(&self, to: &Aim, ended: &Ended<'_>, timed_out: bool, now: Instant) {
        let Ended { class, elapsed, .. } = *ended;
        let Class { verdict, outcome, .. } = class;
        let target = to.target();
        debug!(
            upstream = %target.name(),
            credential = target.credential().map(Label::as_str),
            %verdict,
            %outcome,
            elapsed_ms = elapsed.as_millis(),
            "attempt ended"
        );
        if timed_out && !to.patient {
            // A caller without time is no fault of the target's.
            to.member.abandoned(elapsed, now);
            return;
        }
        // A refusal of a layer further in says nothing of the target that the layer does not know itself.
        if matches!(outcome, Outcome::Refused(_)) {
            to.member.turned_back();
        } else if to.member.note(&self.layer.settings.rests, ended, now) {
            self.layer.settings.shared.fleet_for_now().changed();
        }
    }
}

pub(crate) fn deadline_passed() -> Refusal {
    Refusal::new(RefusalKind::DeadlineExceeded, "the deadline passed before a target answered")
        .with_guessed_retry_after(Walk::GUESS)
}
