//! How an attempt finds its target.

use std::{sync::Arc, time::Duration};

use buttress_core::{Label, Refusal, RefusalKind, Replay, Rewrite, Rewritten, Target};
use tracing::debug;

use crate::{
    Affinity,
    aim::Aim,
    call::{Call, Next, deadline_passed},
    candidates::{Candidates, Wish},
    choice::Choice,
    epoch::Moment,
    fleet::Fleet,
    member::Member,
};

/// A target that was chosen, and what was claimed of it.
struct Found {
    member: Arc<Member>,
    /// Which of its credentials it is shown.
    face: usize,
}

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    /// Aims a request at a target that takes it: `first`, or a further one. Fails with the last target's refusal if none
    /// does. `beside` is where the request is under way already.
    #[inline(always)]
    pub(crate) fn attempt<Req>(
        &mut self,
        first: &mut Option<R::Request>,
        beside: Option<&Target>,
        now: Moment,
    ) -> Result<Next<R::Request>, Option<Refusal>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let mut refused = None;
        while let Some(found) = self.choose(beside, now) {
            let layer = &*self.layer;
            let (member, target) = (&found.member, &found.member.faces()[found.face]);
            // Made again only now: that ends the failed attempt's body, which may still be on its way.
            let again = || {
                if let Some(context) = self.story.told() {
                    layer.replay.complete(&mut self.saved, context);
                }
                layer.replay.again(&self.saved).ok()
            };
            let Some(mut request) = first.take().or_else(again) else {
                member.unclaim();
                break;
            };
            if self.story.is_over(now.at) {
                member.unclaim();
                return Err(Some(deadline_passed()));
            }
            layer.replay.aim(&mut request, target);
            let refusal = match layer.rewrite.rewrite(request, target) {
                Ok(Rewritten { request, model, .. })
                    if !model.as_ref().is_some_and(|model| member.lacks(model, now.at)) =>
                {
                    return Ok(Next::Attempt(self.aim(found, model, now), request));
                }
                Ok(_) => Refusal::new(RefusalKind::NotFound, "no target has the model").hopeless(),
                Err(refusal) => refusal,
            };
            debug!(upstream = %target.name(), reason = refusal.kind().code(), "target passed over");
            member.unclaim();
            self.walk.passed.push(target.name().clone());
            refused = Some(refusal);
        }
        Err(refused)
    }

    #[inline(always)]
    fn choose<Req>(&self, beside: Option<&Target>, now: Moment) -> Option<Found>
    where
        R: Replay<Req, Saved = Saved>,
    {
        let fleet = self.layer.settings.shared.fleet_for_now();
        let choice = self.choice(&fleet, self.is_repeatable(), beside, now);
        loop {
            let member = if beside.is_some() { choice.make_second()? } else { choice.make()? };
            // Another request may just have taken the last that there was. Then this target is no choice any more.
            if let Some(face) = member.face(now.at, |face| choice.among.is_untried(face))
                && member.claim(now.at)
            {
                return Some(Found { member: Arc::clone(member), face });
            }
        }
    }

    pub(crate) fn is_repeatable<Req>(&self) -> bool
    where
        R: Replay<Req, Saved = Saved>,
    {
        self.layer.settings.repeat_all || self.layer.replay.is_idempotent(&self.saved)
    }

    pub(crate) fn choice<'a>(
        &'a self,
        fleet: &'a Fleet,
        repeatable: bool,
        beside: Option<&'a Target>,
        now: Moment,
    ) -> Choice<'a> {
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
        let among = Candidates { fleet, admit: settings.admit.as_deref(), wish, now };
        let (dice, shedding) = (&settings.shared.dice, &settings.shared.shedding);
        Choice { among, policy: settings.policy, dice, shedding }
    }

    #[inline(always)]
    fn aim(&self, Found { member, face }: Found, model: Option<Label>, begun: Moment) -> Aim {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let bounds = self.story.bounds();
        let timeout = bounds.attempt_timeout.unwrap_or(self.layer.settings.attempt_timeout);
        // A timeout beyond what a clock can hold is no timeout; a day is as good.
        let own = begun.at.checked_add(timeout).unwrap_or_else(|| begun.at + DAY);
        let until = bounds.deadline.map_or(own, |deadline| deadline.min(own));
        Aim { member, face, model, begun, until, patient: until == own }
    }
}
