//! What all attempts of one request share.

use std::{sync::Arc, time::Duration};

use buttress_core::{
    Attempt, Attend, Class, Classify, Label, Mark, Outcome, Refusal, RefusalKind, Refuse, Replay, Rewrite, Rewritten,
    ServedBy, Target, TransportErrorKind, Verdict,
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Affinity, HedgeRoute, RegionFailoverLayer,
    aim::{Aim, UnderWay},
    candidates::{Candidates, Wish},
    choice::Choice,
    fleet::Fleet,
    member::{Ended, Member},
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
    /// The targets there were when the request came.
    fleet: Arc<Fleet>,
    pub(crate) saved: Saved,
    pub(crate) story: Story,
    pub(crate) keys: Keys,
    walk: Walk,
    pub(crate) slow: Slow,
}

/// What follows a failed attempt.
pub(crate) enum Next<Req> {
    Attempt(Aim, Req),
    /// Nothing for now: another attempt is under way.
    Wait,
    /// Nothing: the attempt's own result is returned. `true` if it is the target's, and not the refusal of a layer further in.
    AsItCame(bool),
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
        let fleet = layer.settings.shared.fleet();
        Self { service, layer, fleet, saved, story, keys, walk: Walk::new(), slow: Slow::Unasked }
    }

    pub(crate) fn start<Req>(&mut self, first: R::Request) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let now = Instant::now();
        self.attempt(Some(first), None, now).unwrap_or_else(|refusal| {
            let candidates = self.choice(false, None, now).among;
            let alone = || Refusal::new(RefusalKind::Unavailable, "every target is left alone for now");
            let passed_over = || match candidates.returns_at() {
                Some(at) => alone().with_retry_after(at.saturating_duration_since(now)),
                // Whoever keeps requests away does not say for how long.
                None if candidates.is_kept_away() => alone().with_guessed_retry_after(Walk::GUESS),
                None => Refusal::new(RefusalKind::Unavailable, "no target is left to try").hopeless(),
            };
            Next::Refuse(refusal.unwrap_or_else(passed_over))
        })
    }

    /// Aims a request at a target that takes it: `first`, or a further one. Fails with the last target's refusal if none
    /// does. `beside` is where the request is under way already.
    pub(crate) fn attempt<Req>(
        &mut self,
        mut first: Option<R::Request>,
        beside: Option<&Target>,
        now: Instant,
    ) -> Result<Next<R::Request>, Option<Refusal>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let mut refused = None;
        while let Some(member) = self.choose(beside, now) {
            let layer = &*self.layer;
            let target = member.target();
            // Made again only now: that ends the failed attempt's body, which may still be on its way.
            let Some(mut request) = first.take().or_else(|| layer.replay.again(&self.saved).ok()) else { break };
            if self.story.is_over(now) {
                return Err(Some(deadline_passed()));
            }
            layer.replay.aim(&mut request, target);
            let refusal = match layer.rewrite.rewrite(request, target) {
                Ok(Rewritten { request, model, .. })
                    if !model.as_ref().is_some_and(|model| member.lacks(model, now)) =>
                {
                    return Ok(Next::Attempt(self.aim(member, model, now), request));
                }
                Ok(_) => Refusal::new(RefusalKind::NotFound, "no target has the model").hopeless(),
                Err(refusal) => refusal,
            };
            debug!(upstream = %target.name(), reason = refusal.kind().code(), "target passed over");
            self.walk.passed.push(target.name().clone());
            refused = Some(refusal);
        }
        Err(refused)
    }

    fn choose<Req>(&self, beside: Option<&Target>, now: Instant) -> Option<Arc<Member>>
    where
        R: Replay<Req, Saved = Saved>,
    {
        let choice = self.choice(self.is_repeatable(), beside, now);
        if beside.is_some() { choice.make_second().cloned() } else { choice.make().cloned() }
    }

    pub(crate) fn is_repeatable<Req>(&self) -> bool
    where
        R: Replay<Req, Saved = Saved>,
    {
        self.layer.settings.repeat_all || self.layer.replay.is_idempotent(&self.saved)
    }

    fn choice<'a>(&'a self, repeatable: bool, beside: Option<&'a Target>, now: Instant) -> Choice<'a> {
        let (settings, walk) = (&self.layer.settings, &self.walk);
        let wish = Wish {
            story: &self.story,
            fresh: self.story.attempts_made() == 0,
            passed: &walk.passed,
            key: self.keys.affinity.map(Affinity::key),
            context_over: walk.context_over,
            repeatable,
            beside,
        };
        let among = Candidates { fleet: &self.fleet, admit: settings.admit.as_deref(), wish, now };
        Choice { among, policy: settings.policy, dice: &settings.shared.dice }
    }

    fn aim(&self, member: Arc<Member>, model: Option<Label>, begun: Instant) -> Aim {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let timeout = self.story.attempt_timeout().unwrap_or(self.layer.settings.attempt_timeout);
        // A timeout beyond what a clock can hold is no timeout; a day is as good.
        let own = begun.checked_add(timeout).unwrap_or(begun + DAY);
        let until = self.story.deadline().map_or(own, |deadline| deadline.min(own));
        Aim { member, model, begun, until, patient: until == own }
    }

    /// Says what follows an attempt; a `result` of `None` says that its time was over.
    /// `more` says that another attempt is under way.
    pub(crate) fn after<Req, Res, Err>(
        &mut self,
        under_way: &mut UnderWay,
        result: Option<Result<&Res, &Err>>,
        more: bool,
    ) -> Next<R::Request>
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
        let now = Instant::now();
        if let (Verdict::Success, Some(Ok(response))) = (class.verdict, result) {
            let attend = || -> Arc<dyn Attend> { Arc::clone(&under_way.to.member) as _ };
            under_way.goes_on = R::Mark::report(response).is_some_and(|report| report.attend(attend()));
        }
        let headroom = result.and_then(|result| R::Mark::headroom(result.ok()?));
        let to = &under_way.to;
        let ended = Ended {
            class,
            model: to.model.as_ref(),
            elapsed: now.saturating_duration_since(to.begun),
            goes_on: under_way.goes_on,
            headroom,
        };
        self.note(to, &ended, result.is_none(), now);
        if class.verdict != Verdict::Success || R::Mark::MARKS || self.story.told().is_some() {
            self.story.record(Attempt::ended(under_way.to.member.target().clone(), class, ended.elapsed, now));
        }
        let to = &under_way.to;
        let served = !matches!(class.outcome, Outcome::Refused(_));
        if class.verdict == Verdict::Success || (result.is_some() && !self.may_go_elsewhere(to, class)) {
            return Next::AsItCame(served);
        }
        self.walk.failed(class);
        if more {
            return Next::Wait;
        }
        if self.story.is_over(now) {
            return Next::Refuse(deadline_passed());
        }
        if let Some(next) = self.elsewhere(class, now) {
            return next;
        }
        if class.verdict == Verdict::ContextTooLong {
            return Next::AsItCame(served);
        }
        match self.walk.sum(answered, self.only_tried(to)) {
            Verdicts::AsItCame => Next::AsItCame(served),
            Verdicts::Sum(refusal) => Next::Refuse(refusal),
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

    fn elsewhere<Req>(&mut self, class: Class, now: Instant) -> Option<Next<R::Request>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        if (class.begun && !self.is_repeatable()) || self.story.attempts_left() == 0 {
            return None;
        }
        let next = self.attempt(None, None, now).ok()?;
        // Taken last, since a target that the rewrite refuses costs no attempt.
        self.story.take_attempt().then_some(next)
    }

    /// Notes what an attempt came to for the requests that follow.
    fn note(&self, to: &Aim, ended: &Ended<'_>, timed_out: bool, now: Instant) {
        let Ended { class, elapsed, .. } = *ended;
        let Class { verdict, outcome, .. } = class;
        let target = to.member.target();
        debug!(upstream = %target.name(), %verdict, %outcome, elapsed_ms = elapsed.as_millis(), "attempt ended");
        if timed_out && !to.patient {
            // A caller without time is no fault of the target's.
            to.member.abandoned(elapsed, now);
            return;
        }
        // A refusal of a layer further in says nothing of the target that the layer does not know itself.
        if !matches!(outcome, Outcome::Refused(_)) && to.member.note(&self.layer.settings.rests, ended, now) {
            self.fleet.changed();
        }
    }

    pub(crate) fn answer<Req, Res, Err>(&mut self, by: Option<Aim>, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
    {
        if let (Ok(response), true) = (&mut result, R::Mark::MARKS) {
            let served_by = by.map(|Aim { member, model, .. }| ServedBy { target: member.target().clone(), model });
            R::Mark::mark(response, served_by.as_ref(), self.story.context());
        }
        result
    }

    pub(crate) fn refuse<Req, Res, Err>(&mut self, refusal: Refusal) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
        M: Refuse<Refusal, Res, Err>,
    {
        let mut result = self.layer.refusal.refuse(refusal);
        if let (Ok(response), true) = (&mut result, R::Mark::MARKS) {
            R::Mark::mark(response, None, self.story.context());
        }
        result
    }
}

fn deadline_passed() -> Refusal {
    Refusal::new(RefusalKind::DeadlineExceeded, "the deadline passed before a target answered")
        .with_guessed_retry_after(Walk::GUESS)
}
