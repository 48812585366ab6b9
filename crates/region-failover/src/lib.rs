//! A tower layer that tries another target at once when one fails.
//!
//! A target is a region, a deployment, a provider, a replica: anything that can serve the same request. The inner service
//! is one client for all of them; the layer fits each attempt to its target by a [`Rewrite`](buttress_core::Rewrite).
//!
//! # What it does
//!
//! 1. A target is chosen by a [`Policy`]: in the order given, by default; or by latency, load and health; by weight, cost,
//!    turn, or a key. An attempt that fails moves on to another target at once, with no wait: waiting is for a retry layer
//!    further out, which then walks the targets again.
//! 2. A failure moves on if its [`Verdict`] says that another target may do better. A caller's fault or a filtered prompt
//!    goes straight back; a prompt that is too long for one target goes only to one that is known to hold more.
//! 3. What may have been done and cannot be repeated is not sent twice: a request that is not idempotent (by method, or by
//!    an `Idempotency-Key`) moves on only if the failed attempt never began.
//!    [`RegionFailoverLayer::repeat_all`] lifts this for services where repeating does no harm.
//! 4. No target is tried twice in one walk, and one that shares a failure domain with a failed one only after all others.
//!    Each attempt after the first draws on the one allowance in the
//!    [`CallContext`], which retry and hedging draw on too. No attempt begins after the deadline of the context.
//! 5. An attempt that brings no head of an answer within [`RegionFailoverLayer::attempt_timeout`], or by the deadline, is
//!    dropped. The answer's body is not timed here.
//! 6. The request is sent to each target as it came: method, path, query, headers and body, fitted by the rewrite. A
//!    target that the rewrite refuses is passed over; it costs no attempt.
//! 7. The response's extensions name the target that answered ([`ServedBy`](buttress_core::ServedBy)) and hold the
//!    context with the trail of attempts. The request's extensions hold the [`Target`] during each
//!    attempt, for layers further in.
//!
//! 8. What one request meets counts for those that follow. A target that asked for time is left alone until then by all of
//!    them; one without credit or with a dead credential for minutes; a model that a target does not have is not asked of it
//!    for a while. Five failures in a row, or little but failures, are an outage: the target then sees a single request now
//!    and then, and returns, slowly, after it has served for a while ([`HealthPolicy`]). A caller that had no time is no
//!    fault of the target's. Where a reader of the body speaks in an [`AnswerReport`], an answer counts as a success, or as
//!    what it was, only at its end, and the request is pending until then.
//! 9. Where all targets are out, the one that is due back first is asked: it is better than none. What a target asked for
//!    itself is kept all the same. A server that is behind goes on with what nobody waits for any more, and would stay behind if
//!    it were asked as much as ever. So, from when a target is out until nothing was lost for twice as long as it takes to return,
//!    only so many requests wait for its answers as it is seen to take: ten to begin with; one after each that took too long; one
//!    more for each that was answered, up to half of what was lost; then one more a round
//!    ([RFC 5681](https://www.rfc-editor.org/rfc/rfc5681), for a target in place of a connection). The next ones go
//!    elsewhere, wait (rule 16), or are refused with the time after which to come again.
//! 10. [`Handle`] lists, weighs, drains, ejects, restores and replaces targets while requests are under way. Its list tells
//!     who is an outlier (rule 11), and what part of its weight each target counts for; [`Handle::levels`] what each priority
//!     got, gets and can carry.
//! 11. A target that says in its answer ([`Headroom`]) that a limit is used up is left alone until that is whole again, for an
//!     hour at most; one with less than 2 % left of a limit counts for a tenth of its weight until then. So does one that
//!     fails at least three times as often as the median of the others and at least one time in twenty, of 20 requests or
//!     more within the last 20 s; the one that fails least is never among them. With the policies that know no weight, it is
//!     there for every tenth request. A target that comes back takes up its load as slowly with every policy.
//! 12. [`Handle::prober`] returns a worker that looks at the targets by probes that cost nothing. Those can put a target out,
//!     and bring the next look at it forward; only requests bring it back.
//! 13. With [`RegionFailoverLayer::hedge`], a request that may be repeated, was never tried before, and takes longer than the
//!     95th percentile of its [route](HedgeRoute) is sent to a second target, of another failure domain, that takes up its
//!     whole load. The first success wins; the other attempt is dropped, and stands in the trail as cancelled. If one fails,
//!     the other goes on; if both do, the walk goes on. A second attempt is one of the allowance, and costs at most 2 % more
//!     load; there is none while a fifth of the last 128 requests were slow, before 100 were seen, or while the request's
//!     body is still on its way. A target whose requests are slow more often in a row than by chance once in ten thousand
//!     times is in doubt: each further one counts as a latency twice as long, up to 256 times. [`Policy::Balanced`] and
//!     [`Policy::Cheapest`] then send it one request in 150 at most in the place of a target that is in no doubt, until one or
//!     two of them are answered in time.
//!
//! 14. No more requests are sent to a target than it said that it can take ([`Headroom::fewest`]) until that limit returns,
//!     those counted that are on their way. The next ones go elsewhere.
//! 15. Where there is not enough for all, what matters least is refused first ([`Criticality`], in the request's extensions; who
//!     says nothing is critical). While all targets are out or left alone, sheddable requests are refused at once, with the
//!     time at which the first target returns; rule 9 is for the others alone. A request that found nobody to ask, or only
//!     targets with too much to do, also keeps those that matter less away for a second after that, and for twice as long each
//!     time it happens again soon, 32 s at most: what comes back is not theirs to take. `Sheddable` leaves a target with less
//!     than 2 % of a limit to all others. [`Handle::sheds`] counts.
//! 16. With [`RegionFailoverLayer::wait_for_return`], a critical request that finds all targets left alone by their own word, or
//!     with as much as they may be asked, waits for the first to return, if that is within its deadline and a time that is set; a set number at most wait at a
//!     time. They are let go 10 ms apart, `CriticalPlus` first, so that a target that turns the first away is not run over.
//!
//! 17. A target may have [several credentials](buttress_core::Target::with_credentials), by name. The [`Target`] that the rewrite
//!     is given [says which](buttress_core::Target::credential). One that is dead or has no quota left is left alone by itself,
//!     and another one of the same target may be tried at once; the target and its failure domain have not failed. Where
//!     [each has limits of its own](buttress_core::Target::with_limits_by_credential), they are used in turn, and one that is over
//!     its rate is left alone by itself too. So it is where the end of a body tells it later. Any other failure is the
//!     target's.
//!
//! # When it refuses
//!
//! When several targets failed, no single answer is the truth. The layer then answers itself: `429` if all of them were
//! throttling, with the soonest of their hints, and `503` otherwise; `504` if the deadline passed. If all of them are left
//! alone for now, it is `503` with the time at which the first returns, and no attempt; so it is for a request that is shed,
//! which its caller, and no layer of the same process, is told to send again. If only one target was tried and it answered,
//! or all say that they do not have the model, that answer is returned as it came.
//!
//! # Cancellation
//!
//! Dropping the future drops the attempts under way, and with them the requests to their targets; one that waits for a target
//! gives back its place.
//!
//! # Cost
//!
//! Always ready: a target cannot be chosen before the request is seen, so each attempt makes a clone of the inner service
//! ready. One [`CallContext`], where no layer further out has made it and the request has a head to hold it, or its first
//! attempt fails; one clone of request and service per attempt. An HTTP answer that says who gave it takes four allocations, an
//! attempt that says where it goes one. A timer is registered only for an attempt that is not
//! answered at once. Choosing allocates nothing, locks nothing of a target with one credential that simply serves, and with
//! [`Policy::Ordered`] or [`Policy::Balanced`] looks at a few targets, however many there are; the other policies look at
//! all. What is known of a target is a few hundred bytes, and at most 64 names of models that it lacks. With hedging, a
//! request takes two short looks at its route, of which there are 256 at most, at 400 bytes each; a second attempt is one
//! box.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{Http, Payload, ServedBy, Target};
//! use buttress_region_failover::RegionFailoverLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = RegionFailoverLayer::try_new([Target::named("east")?, Target::named("west")?])?.replay(Http);
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|request: Request<Payload>| async move {
//!     let target = request.extensions().get::<Target>().expect("the layer aims each attempt");
//!     let status = if target.name().as_str() == "east" { 503 } else { 200 };
//!     Ok::<_, Infallible>(Response::builder().status(status).body(Payload::default()).unwrap())
//! }));
//!
//! let response = service.oneshot(Request::get("/").body(Payload::default())?).await?;
//!
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.extensions().get::<ServedBy>().unwrap().target.name().as_str(), "west");
//! # Ok(()) }
//! ```
//!
//! [`Verdict`]: buttress_core::Verdict
//! [`CallContext`]: buttress_core::CallContext
//! [`AnswerReport`]: buttress_core::AnswerReport
//! [`Target`]: buttress_core::Target
//! [`Headroom`]: buttress_core::Headroom
//! [`Headroom::fewest`]: buttress_core::Headroom::fewest
//! [`Criticality`]: buttress_core::Criticality

mod affinity;
mod aim;
mod aiming;
mod attending;
mod call;
mod candidates;
mod choice;
mod congestion;
mod credentials;
mod doubt;
mod ended;
mod epoch;
mod error;
mod faces;
mod fleet;
mod future;
mod glance;
mod handle;
mod health;
mod health_policy;
mod hedge;
mod hedging;
mod known;
mod latency;
mod layer;
mod levels;
mod line;
mod load;
mod member;
mod policy;
mod prober;
mod running;
mod second;
mod service;
mod shared;
mod shedding;
mod shortage;
mod sketch;
mod standing;
mod story;
#[cfg(test)]
mod vectors;
mod vitals;
mod walk;
mod weight;
mod window;

pub use self::{
    affinity::Affinity,
    error::ConfigError,
    future::ResponseFuture,
    handle::{CredentialReport, Handle, LevelReport, TargetReport},
    health_policy::HealthPolicy,
    hedge::{Hedge, HedgeCounts, HedgeRoute},
    layer::{RegionFailoverLayer, Unchanged},
    policy::Policy,
    prober::{Prober, Probing},
    service::RegionFailover,
    shared::Admit,
    shedding::ShedCounts,
    vitals::Stance,
};
