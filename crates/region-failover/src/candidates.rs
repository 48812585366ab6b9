//! The targets that come into question for a request.

use std::{ops::Range, sync::Arc};

use buttress_core::{CallContext, Criticality, Label, Target};
use tokio::time::Instant;

use crate::{
    Admit,
    epoch::Moment,
    fleet::Fleet,
    member::Member,
    standing::{Share, Standing},
    story::Story,
    walk::Walk,
};

/// The targets that come into question for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) admit: Option<&'a dyn Admit>,
    pub(crate) wish: Wish<'a>,
    pub(crate) now: Moment,
}

/// What a request wants of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) story: &'a Story,
    /// Nothing was tried before.
    pub(crate) fresh: bool,
    /// The targets that could not take this request, in this walk.
    pub(crate) passed: &'a [Label],
    /// What requests that should meet the same target have in common.
    pub(crate) key: Option<u64>,
    /// More than this many tokens must fit.
    pub(crate) context_over: u64,
    /// It could go elsewhere if it fails: then it may see how a target is that is out.
    pub(crate) repeatable: bool,
    /// Where it is under way already.
    pub(crate) beside: Option<&'a Target>,
}

/// Which targets come into question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domains {
    /// Those that share no failure domain with one that failed.
    Other,
    Any,
}

/// A target that serves, and what one look at it told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Up<'a> {
    pub(crate) member: &'a Arc<Member>,
    pub(crate) share: Share,
}

// === impl Wish ===

impl Wish<'_> {
    /// Whether it leaves the little that there is at a target to those that matter more.
    fn spares(&self, share: Share) -> bool {
        self.story.class == Criticality::Sheddable && share.scarce.is_some()
    }
}

// === impl Candidates ===

impl<'a> Candidates<'a> {
    /// Returns when the first target may be asked that the request could go to, were it not left alone for now.
    pub(crate) fn returns_at(&self) -> Option<Instant> {
        // Nobody knows when one that has as much as it may be asked has been answered.
        let soon = self.now.at.checked_add(Walk::GUESS);
        let at = |member: &Arc<Member>| match member.standing(self.now.at) {
            Standing::Out(_) | Standing::Up(_) if member.is_congested(self.now.at) => soon,
            Standing::Parked(at) | Standing::Out(at) => Some(at),
            Standing::Up(share) if self.wish.spares(share) => share.scarce,
            Standing::Up(_) | Standing::Drained => None,
        };
        self.fleet.members().iter().filter(|member| self.fits(member)).filter_map(at).min()
    }

    /// Returns whether a target that serves, and was not tried, is only kept from the request by those who are asked first.
    pub(crate) fn is_kept_away(&self) -> bool {
        let all = Self { admit: None, ..*self };
        self.admit.is_some() && all.ups(0..self.fleet.members().len(), Domains::Any).next().is_some()
    }

    /// The members in `range` that serve and may be asked by this request.
    pub(crate) fn ups(&self, range: Range<usize>, domains: Domains) -> impl Iterator<Item = Up<'a>> + use<'a> {
        let candidates = *self;
        let members = candidates.fleet.members().get(range).unwrap_or_default().iter();
        members.filter_map(move |member| candidates.up(member, domains))
    }

    /// Returns `member` if it serves and may be asked by this request.
    #[inline]
    pub(crate) fn up(&self, member: &'a Arc<Member>, domains: Domains) -> Option<Up<'a>> {
        match member.standing(self.now.at) {
            Standing::Up(share) if !self.wish.spares(share) && self.is_open(member, domains) => {
                // One that was out is not asked for more than it is seen to take, whatever the others are.
                member.has_room(share.most).then_some(Up { member, share })
            }
            _ => None,
        }
    }

    /// Whether the request may go to `member`, whatever its health.
    #[inline]
    pub(crate) fn is_open(&self, member: &Member, domains: Domains) -> bool {
        if self.asks_nothing() && member.has_one_face() { self.admits(member) } else { self.is_fit(member, domains) }
    }

    /// Whether any target is as good as another to the request: almost always.
    #[inline]
    pub(crate) fn asks_nothing(&self) -> bool {
        let Wish { fresh, passed, context_over, beside, .. } = self.wish;
        fresh && passed.is_empty() && context_over == 0 && beside.is_none()
    }

    #[inline]
    pub(crate) fn admits(&self, member: &Member) -> bool {
        self.admit.is_none_or(|admit| admit.admits(member.target(), self.now.at))
    }

    fn is_fit(&self, member: &Member, domains: Domains) -> bool {
        let target = member.target();
        let tried = |context: &CallContext| domains == Domains::Other && context.tried(target.failure_domain());
        self.fits(member)
            && (self.wish.fresh || !self.wish.story.told().is_some_and(tried))
            && member.has_face(self.now.at, |face| self.is_untried(face))
            && self.admits(member)
    }

    /// Whether the request may go to a target with the credential that it is to be shown.
    pub(crate) fn is_untried(&self, face: &Target) -> bool {
        let tried = |context: &CallContext| context.tried_target(face) || context.barred(face, self.now.at);
        // A request without a failure behind it need not be asked.
        self.wish.fresh || !self.wish.story.told().is_some_and(tried)
    }

    fn fits(&self, member: &Member) -> bool {
        let Wish { passed, context_over, beside, .. } = self.wish;
        let target = member.target();
        let holds = || target.context().is_some_and(|tokens| tokens.get() > context_over);
        let apart = |other: &Target| target.name() != other.name() && target.failure_domain() != other.failure_domain();
        (context_over == 0 || holds()) && !passed.contains(target.name()) && beside.is_none_or(apart)
    }
}
