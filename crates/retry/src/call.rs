//! What all attempts of one request share.

use std::{sync::Arc, time::Duration};

use buttress_core::{Attempt, CallContext, Class, Classify, Mark, Outcome, Replay, Target, Verdict};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Budget, Policies, RetryLayer,
    backoff::Streak,
    budget::{Entry, Ledger, begin_all},
    counts::Stop,
    marks,
    policy::Failure,
};

/// What all attempts of one request share.
pub(crate) struct Call<S, R, C, P, Saved> {
    /// Never made ready: it is cloned for each further attempt, so that a wait holds no place in the inner service.
    pub(crate) service: S,
    layer: Arc<RetryLayer<R, C, P>>,
    saved: Saved,
    pub(crate) made: u32,
    /// The budgets count this call as under way.
    counted: bool,
    tracked: Option<Tracked>,
    /// Boxed, since a call that succeeds at once never needs it, and every call moves this struct.
    more: Option<Box<More>>,
}

/// The context of a call, and the attempt under way.
struct Tracked {
    context: CallContext,
    begun: Instant,
    /// How many attempts the trail held when this one began.
    held: u32,
}

/// What only a call needs that failed, or that has a deadline and no context.
#[derive(Default)]
struct More {
    ledger: Ledger,
    /// The layer's own deadline, for requests that carry no context.
    deadline: Option<Instant>,
    streak: Streak,
    /// The attempt before this one, until it is in the trail.
    ended: Option<Attempt>,
    /// Why there is no further attempt, and how long the server asked to be left alone.
    stopped: Option<(Stop, Option<Duration>)>,
}

// === impl Call ===

impl<S, R, C, P, Saved> Call<S, R, C, P, Saved> {
    #[inline]
    pub(crate) fn new(
        service: S,
        layer: Arc<RetryLayer<R, C, P>>,
        saved: Saved,
        context: Option<CallContext>,
        deadline: Option<Instant>,
    ) -> Self {
        let budgets = layer.settings.budgets();
        let counted = !budgets.is_empty();
        if counted {
            begin_all(budgets);
        }
        let tracked = context.map(Tracked::begin);
        // A context holds the deadline itself.
        let own = deadline.filter(|_| tracked.is_none());
        let more = own.map(|own| Box::new(More { deadline: Some(own), ..More::default() }));
        Self { service, layer, saved, made: 0, counted, tracked, more }
    }

    /// Hears that the wait is over.
    pub(crate) fn begin_retry(&mut self) {
        self.layer.settings.counters.retry();
        let more = self.more();
        more.ledger.retry_begins();
        let ended = more.ended.take();
        if let (Some(attempt), Some(tracked)) = (ended, &self.tracked) {
            tracked.context.record(attempt);
        }
        self.tracked = self.tracked.take().map(|tracked| Tracked::begin(tracked.context));
    }

    #[inline]
    fn close(&mut self) {
        // Asked first: most calls have no budget, and should not look for one.
        if self.counted {
            self.uncount();
        }
    }

    #[inline(never)]
    fn uncount(&mut self) {
        self.counted = false;
        self.put_back();
        self.each_budget(Budget::call_ended);
    }

    /// Puts back what was taken for a retry that has not begun.
    fn put_back(&mut self) {
        if let Some(more) = &mut self.more {
            more.ledger.put_back(self.layer.settings.budgets());
        }
    }

    /// Calls `act` with each budget and what this call has in it: nothing, if it has not retried.
    fn each_budget(&mut self, act: impl Fn(&Budget, &mut Entry)) {
        let budgets = self.layer.settings.budgets();
        match &mut self.more {
            Some(more) => more.ledger.each(budgets, act),
            None => budgets.iter().for_each(|budget| act(budget, &mut Entry::default())),
        }
    }

    fn context(&self) -> Option<&CallContext> {
        self.tracked.as_ref().map(|tracked| &tracked.context)
    }

    /// Returns when and with what to try again after `result`, or `None` if it is final.
    #[inline]
    pub(crate) fn next<Req, Res, Err>(&mut self, result: &Result<Res, Err>) -> Option<(Duration, R::Request)>
    where
        R: Replay<Req, Saved = Saved>,
        C: Classify<Res, Err>,
        P: Policies<Saved>,
    {
        // Nobody else wants to hear of it.
        if self.tracked.is_none() && self.more.is_none() && self.layer.classify.is_success(result.as_ref()) {
            if self.counted {
                self.each_budget(|budget, entry| budget.attempt_ended(entry, Verdict::Success));
            }
            return None;
        }
        self.judge(result)
    }

    #[inline(never)]
    fn judge<Req, Res, Err>(&mut self, result: &Result<Res, Err>) -> Option<(Duration, R::Request)>
    where
        R: Replay<Req, Saved = Saved>,
        C: Classify<Res, Err>,
        P: Policies<Saved>,
    {
        self.made = self.made.saturating_add(1);
        let class = self.layer.classify.classify(result.as_ref());
        self.record::<Req>(&class);
        self.each_budget(|budget, entry| budget.attempt_ended(entry, class.verdict));
        if class.verdict == Verdict::Success {
            if self.made > 1 {
                self.layer.settings.counters.recovered();
            }
            return None;
        }
        let Class { verdict, outcome, .. } = class;
        match self.decide(&class) {
            Ok((wait, request)) => {
                debug!(%verdict, %outcome, attempt = self.made, wait_ms = wait.as_millis(), "retrying");
                Some((wait, request))
            }
            Err(stop) => {
                self.layer.settings.counters.stop(stop);
                self.more().stopped = Some((stop, class.hint.after));
                debug!(%verdict, %outcome, attempt = self.made, reason = stop.as_str(), "not retrying");
                None
            }
        }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn decide<Req>(&mut self, class: &Class) -> Result<(Duration, R::Request), Stop>
    where
        R: Replay<Req, Saved = Saved>,
        P: Policies<Saved>,
    {
        let layer = Arc::clone(&self.layer);
        if let Some(tracked) = &self.tracked {
            layer.replay.complete(&mut self.saved, &tracked.context);
        }
        let head = layer.replay.kept(&self.saved);
        let policy = head.and_then(|head| head.extensions().get().copied());
        let policy = policy.unwrap_or_else(|| layer.policies.policy(&self.saved));
        let own = self.more.as_ref().and_then(|more| more.deadline);
        let deadline = self.context().map_or(own, CallContext::deadline);
        let mut streak = self.more.as_ref().map_or_else(Streak::default, |more| more.streak);
        streak.failures = streak.failures.saturating_add(1);
        let failure = Failure {
            class: *class,
            made: self.made.saturating_add(self.context().map_or(0, CallContext::client_retries)),
            streak,
            idempotent: layer.replay.is_idempotent(&self.saved),
            marked: head.is_some_and(marks::is_retry),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let wait = layer.settings.decide(&policy, failure)?;
        let request = self.take(class.verdict)?;
        self.more().streak = match class.hint.after {
            // Who was told how long to wait starts again from the beginning (gRPC proposal A6).
            Some(_) => Streak::default(),
            None => Streak { last_wait: wait, ..streak },
        };
        Ok((wait, request))
    }

    /// Takes a retry from budgets and allowance, and makes the request once more.
    fn take<Req>(&mut self, verdict: Verdict) -> Result<R::Request, Stop>
    where
        R: Replay<Req, Saved = Saved>,
    {
        // Asked before the request is made again: that ends the failed attempt's body, which may still be on its way.
        if self.context().is_some_and(|context| context.attempts_left() == 0) {
            return Err(Stop::Allowance);
        }
        let layer = Arc::clone(&self.layer);
        if !self.more().ledger.take_retry(layer.settings.budgets(), verdict) {
            return Err(Stop::Budget);
        }
        let request = self.layer.replay.again(&self.saved).map_err(|_| Stop::NotReplayable);
        let granted = request.and_then(|request| match self.context() {
            Some(context) if !context.take_attempt() => Err(Stop::Allowance),
            _ => Ok(request),
        });
        match granted {
            Ok(mut request) => {
                // A request that is aimed already is on its way in a walk of a layer further out.
                if let (Some(context), None) = (self.context(), self.aim()) {
                    context.begin_walk();
                }
                if let Some(head) = self.layer.replay.outbound(&mut request) {
                    marks::mark(head, self.made);
                }
                Ok(request)
            }
            Err(stop) => {
                self.put_back();
                Err(stop)
            }
        }
    }

    /// Returns where a layer further out sends this request.
    fn aim<Req>(&self) -> Option<&Target>
    where
        R: Replay<Req, Saved = Saved>,
    {
        self.layer.replay.kept(&self.saved)?.extensions().get()
    }

    /// Adds the attempt to the trail, unless a layer further in, which knows the target, has done so, or has refused.
    ///
    /// Where a layer further out has aimed the request, that layer adds the last attempt, and any other is added when the
    /// next one begins.
    fn record<Req>(&mut self, class: &Class)
    where
        R: Replay<Req, Saved = Saved>,
    {
        let Some(Tracked { context, begun, held }) = &self.tracked else { return };
        if context.attempts_made() != *held || matches!(class.outcome, Outcome::Refused(_)) {
            return;
        }
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(*begun);
        match self.aim().cloned() {
            None => context.record(Attempt::new(None, class.verdict, class.outcome, elapsed)),
            Some(_) if class.verdict == Verdict::Success => {}
            Some(target) => self.more().ended = Some(Attempt::ended(target, *class, elapsed, now)),
        }
    }

    #[inline]
    pub(crate) fn finish<Req, Res, Err>(&mut self, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
    {
        // Now, and not when the future is dropped: some callers keep a future that has ended.
        self.close();
        if let Ok(response) = &mut result {
            if let (Some(context), 2..) = (self.context(), self.made) {
                R::Mark::mark(response, None, context);
            }
            match self.more.as_ref().and_then(|more| more.stopped) {
                Some((stop, after)) if stop.is_giving_up() => R::Mark::give_up(response, after),
                Some((Stop::HintTooLong, Some(after))) => R::Mark::stay_away(response, after),
                _ => {}
            }
        }
        result
    }
}

impl<S, R, C, P, Saved> Drop for Call<S, R, C, P, Saved> {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Tracked ===

impl Tracked {
    fn begin(context: CallContext) -> Self {
        Self { begun: Instant::now(), held: context.attempts_made(), context }
    }
}
