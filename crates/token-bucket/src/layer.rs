//! The layer and its settings.

use std::{error::Error, fmt, num::NonZeroUsize, sync::Arc};

use buttress_core::{HttpRefusal, Label};
use tower_layer::Layer;

use crate::{
    AsTheyCome, Callers, HttpProtocol, Limits, LimitsHandle, OneRequest, OneTier, PlainProtocol, Queue, Secret,
    Settling, Shared, TokenBucket, Untold,
    limiter::{Limiter, Settings},
};

/// Limits what calls take in each time: requests, tokens, money. See the [crate docs](crate).
///
/// `M` says what a refusal becomes, `P` what a call is, `C` who calls, and `E` what a call will cost.
///
/// The methods that set how the buckets work ([`max_keys`](Self::max_keys), [`queue`](Self::queue), [`settling`](Self::settling),
/// [`tiered`](Self::tiered)) make them anew: set the layer up first, then clone it or take a [`handle`](Self::handle).
#[derive(Clone, Debug)]
pub struct TokenBucketLayer<M = HttpRefusal, P = HttpProtocol, C = Callers, E = OneRequest> {
    settings: Settings,
    desk: Desk<M, P, C, E>,
}

/// What deals with callers.
#[derive(Clone, Debug)]
pub(crate) struct Desk<M, P, C, E> {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) secret: Secret,
    pub(crate) refusal: M,
    pub(crate) protocol: P,
    pub(crate) caller: C,
    pub(crate) estimate: E,
}

/// What is wrong with tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierError(Fault);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    TooMany,
    Name,
    SameName,
    #[cfg(feature = "redis")]
    Inexact,
}

const MOST_TIERS: usize = 1_024;

// === impl TokenBucketLayer ===

impl TokenBucketLayer {
    /// Creates a layer for HTTP with one bucket for all calls, which takes one request for each and lets nobody wait.
    #[must_use]
    pub fn new(limits: impl Into<Limits>) -> Self {
        let default = Label::try_new("default").expect("it is a label");
        let settings = Settings {
            tiers: vec![(default, limits.into())],
            max_keys: 100_000,
            queue: Queue::NONE,
            settling: Settling::default(),
            #[cfg(feature = "redis")]
            shared: None,
        };
        let desk = Desk {
            limiter: Limiter::new(&settings),
            secret: Secret::random(),
            refusal: HttpRefusal,
            protocol: HttpProtocol::default(),
            caller: Callers { key: Shared, tier: OneTier, share: AsTheyCome },
            estimate: OneRequest,
        };
        Self { settings, desk }
    }
}

impl<M, P, C, E> TokenBucketLayer<M, P, C, E> {
    /// Sets how many keys are kept, 100,000 by default. For a new one, keys are forgotten whose buckets are full, which loses
    /// nothing. If none is, all new keys take from one bucket that they share.
    #[must_use]
    pub fn max_keys(self, most: NonZeroUsize) -> Self {
        self.set(|settings| settings.max_keys = most.get())
    }

    /// Lets calls wait. Nobody does by default.
    #[must_use]
    pub fn queue(self, queue: Queue) -> Self {
        self.set(|settings| settings.queue = queue)
    }

    /// Sets what is charged for calls that do not end well.
    #[must_use]
    pub fn settling(self, settling: Settling) -> Self {
        self.set(|settings| settings.settling = settling)
    }

    /// Takes from buckets in Redis that replicas share, by the [secret](Self::secret) of `shared`: see
    /// [`SharedLimits`](crate::SharedLimits). Spawn the [work in the background](LimitsHandle::sharing).
    ///
    /// # Errors
    ///
    /// Returns which limit cannot be shared, since a script cannot compute with it exactly.
    #[cfg(feature = "redis")]
    pub fn shared(mut self, shared: crate::SharedLimits) -> Result<Self, crate::ShareError> {
        self.settings.tiers.iter().try_for_each(|(_, limits)| limits.exact().map(drop))?;
        self.desk.secret = shared.secret;
        Ok(self.set(|settings| settings.shared = Some(shared)))
    }

    /// Sets by what keys are hashed: drawn at random by default.
    #[must_use]
    pub const fn secret(mut self, secret: Secret) -> Self {
        self.desk.secret = secret;
        self
    }

    /// Sets what a request will cost: see [`Estimate`](crate::Estimate).
    #[must_use]
    pub fn estimate<E2>(self, estimate: E2) -> TokenBucketLayer<M, P, C, E2> {
        self.with(|refusal, protocol, caller, _| (refusal, protocol, caller, estimate))
    }

    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> TokenBucketLayer<M2, P, C, E> {
        self.with(|_, protocol, caller, estimate| (refusal, protocol, caller, estimate))
    }

    /// Sets what a call is, where it is neither HTTP nor plain: see [`Protocol`](crate::Protocol) and
    /// [`Cover`](crate::Cover).
    #[must_use]
    pub fn protocol<P2>(self, protocol: P2) -> TokenBucketLayer<M, P2, C, E> {
        self.with(|refusal, _, caller, estimate| (refusal, protocol, caller, estimate))
    }

    /// Makes this a layer for a service without HTTP, where `refusal` says how to refuse: see
    /// [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn plain<M2>(self, refusal: M2) -> TokenBucketLayer<M2, PlainProtocol<Untold>, C, E> {
        self.protocol(PlainProtocol::default()).on_refusal(refusal)
    }

    /// Returns a handle of the buckets.
    #[must_use]
    pub fn handle(&self) -> LimitsHandle {
        LimitsHandle { limiter: Arc::clone(&self.desk.limiter), secret: self.desk.secret }
    }

    fn set(mut self, f: impl FnOnce(&mut Settings)) -> Self {
        f(&mut self.settings);
        self.desk.limiter = Limiter::new(&self.settings);
        self
    }

    fn with<M2, P2, C2, E2>(self, f: impl FnOnce(M, P, C, E) -> (M2, P2, C2, E2)) -> TokenBucketLayer<M2, P2, C2, E2> {
        let Self { settings, desk: Desk { limiter, secret, refusal, protocol, caller, estimate } } = self;
        let (refusal, protocol, caller, estimate) = f(refusal, protocol, caller, estimate);
        TokenBucketLayer { settings, desk: Desk { limiter, secret, refusal, protocol, caller, estimate } }
    }

    fn with_caller<C2>(self, f: impl FnOnce(C) -> C2) -> TokenBucketLayer<M, P, C2, E> {
        self.with(|refusal, protocol, caller, estimate| (refusal, protocol, f(caller), estimate))
    }
}

impl<M, P, K, T, W, E> TokenBucketLayer<M, P, Callers<K, T, W>, E> {
    /// Gives each key buckets of its own: see [`Key`](crate::Key).
    #[must_use]
    pub fn keyed<K2>(self, key: K2) -> TokenBucketLayer<M, P, Callers<K2, T, W>, E> {
        self.with_caller(|Callers { tier, share, .. }| Callers { key, tier, share })
    }

    /// Gives each tier limits of its own, instead of those that the layer was created with: `tier` says by number which of
    /// `tiers` a request comes under. A key that moves to another tier keeps what it has used of limits that both tiers have by name;
    /// where callers can choose their tier, all should have the same names.
    ///
    /// # Errors
    ///
    /// Returns what is wrong if there are no tiers or more than 1,024, or if two have one name, or one is no
    /// [`Label`]; and if limits are to be shared that cannot be.
    pub fn tiered<'a, T2>(
        self,
        tiers: impl IntoIterator<Item = (&'a str, Limits)>,
        tier: T2,
    ) -> Result<TokenBucketLayer<M, P, Callers<K, T2, W>, E>, TierError> {
        let mut named: Vec<(Label, Limits)> = Vec::new();
        for (name, limits) in tiers {
            let name = Label::try_new(name).map_err(|_| TierError(Fault::Name))?;
            match () {
                () if named.iter().any(|(known, _)| *known == name) => return Err(TierError(Fault::SameName)),
                () if named.len() == MOST_TIERS => return Err(TierError(Fault::TooMany)),
                () => named.push((name, limits)),
            }
        }
        if named.is_empty() {
            return Err(TierError(Fault::None));
        }
        #[cfg(feature = "redis")]
        if self.settings.shared.is_some() && named.iter().any(|(_, limits)| limits.exact().is_err()) {
            return Err(TierError(Fault::Inexact));
        }
        let layer = self.set(|settings| settings.tiers = named);
        Ok(layer.with_caller(|Callers { key, share, .. }| Callers { key, tier, share }))
    }

    /// Serves flows by weight that wait for one bucket: see [`Share`](crate::Share) and [`queue`](Self::queue).
    #[must_use]
    pub fn share<W2>(self, share: W2) -> TokenBucketLayer<M, P, Callers<K, T, W2>, E> {
        self.with_caller(|Callers { key, tier, .. }| Callers { key, tier, share })
    }
}

impl<M, C, E> TokenBucketLayer<M, HttpProtocol, C, E> {
    /// Tells every caller of its rates, and not only those that are refused. It costs two allocations a
    /// call, and two more where the header map must grow.
    #[must_use]
    pub const fn announce(mut self) -> Self {
        self.desk.protocol.announce = true;
        self
    }

    /// Goes by what answers say is left ([`Headroom`](buttress_core::Headroom) in their extensions, where a reader of providers'
    /// headers leaves it): levels of requests and tokens that are higher are lowered to it, at once and again when the call is settled.
    /// For a layer beneath a target, whose limits are the provider's: the provider counts also what others send, and what it
    /// counts otherwise. No level is ever raised.
    #[must_use]
    pub const fn heed_headroom(mut self) -> Self {
        self.desk.protocol.heed = true;
        self
    }
}

impl<M, U, C, E> TokenBucketLayer<M, PlainProtocol<U>, C, E> {
    /// Sets what an answer says of what it has cost: see [`TellUsage`](crate::TellUsage).
    #[must_use]
    pub fn usage<U2>(self, usage: U2) -> TokenBucketLayer<M, PlainProtocol<U2>, C, E> {
        self.protocol(PlainProtocol { usage })
    }
}

impl<S, M: Clone, P: Clone, C: Clone, E: Clone> Layer<S> for TokenBucketLayer<M, P, C, E> {
    type Service = TokenBucket<S, M, P, C, E>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenBucket::new(inner, Arc::new(self.desk.clone()))
    }
}

// === impl TierError ===

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Fault::None => "tiers: there are none",
            Fault::TooMany => "tiers: there are more than 1024",
            Fault::Name => "name of a tier: it must be 1 to 128 visible ASCII characters without commas and semicolons",
            Fault::SameName => "tiers: two have the same name",
            #[cfg(feature = "redis")]
            Fault::Inexact => "tiers: a limit is too large to be shared; see `SharedLimits`",
        })
    }
}

impl Error for TierError {}
