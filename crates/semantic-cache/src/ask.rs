//! What a request asks, and whether the cache may deal with it.

use std::{fmt, hash::Hash, time::Duration};

use http::Request;

use crate::{Freshness, Key, KeyHasher, Mark, Scope};

/// What a request asks, as the cache knows it.
#[derive(Clone)]
pub struct Asked {
    pub(crate) key: Key,
    pub(crate) scope: Scope,
    pub(crate) text: Option<Box<str>>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) principal: Option<u64>,
    pub(crate) shape: Shape,
    pub(crate) ttl: Option<Duration>,
    pub(crate) freshness: Option<Freshness>,
    #[cfg(feature = "llm")]
    pub(crate) format: Option<buttress_llm::Format>,
}

/// The form that the answer is asked for in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// Whether as a stream.
    pub stream: bool,
    /// Whether a stream is to tell what it used.
    pub usage: bool,
}

/// Why the cache leaves a request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// Nobody said whose it is.
    NoTenant,
    /// It is not of a kind that is cached, or cannot be understood.
    Kind,
    /// It has tools, or calls of them.
    Tools,
    /// The model is to choose its words at random.
    Sampled,
    /// There is something besides text.
    Media,
    /// Several answers are asked for, or what the model was thinking of them.
    Several,
    /// It goes on from what the provider remembers.
    Stateful,
    /// It seems to hold what is somebody's own: an address, a number, a key.
    Personal,
    /// The caller wants none of it: `no-store`.
    NoStore,
    /// Whoever reads the question says so: the cache is off for its like.
    Off,
    /// A judge asks it: see [`Judging`](crate::Judging).
    Judging,
}

/// Reads the question of a request. `llm::Conversations` does it for language models (feature `llm`),
/// [`ByQuestion`] for anything else.
pub trait Ask<Req> {
    /// Reads the question. `hasher` has been told whose it is.
    ///
    /// # Errors
    ///
    /// Returns why the cache is to leave it alone.
    fn ask(&self, request: &Req, hasher: Asking) -> Result<Asked, Bypass>;
}

/// The tenant of a question that is being read. [`Ask`] makes a [`Asked`] of it.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    tenant: Mark,
}

/// A closure `Fn(&Request<B>) -> Option<K>` tells all that the answer depends on: two requests of one tenant have the same answer
/// if it tells the same. See [`Ask`].
#[derive(Clone, Copy)]
pub struct ByQuestion<F>(pub F);

// === impl Asked ===

impl Asked {
    /// Says in which form the answer is asked for.
    #[must_use]
    pub const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Says which of several principals asks, where they share answers: by an opaque fingerprint of the user or the key. An answer found by
    /// its meaning is given to another one only after [enough](crate::Policy::min_principals) had it of their own.
    #[must_use]
    pub const fn asked_by(mut self, principal: u64) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Adds something that the answer can be forgotten by, up to [`Self::MARKS`]. What is more is ignored.
    #[must_use]
    pub fn marked(mut self, mark: Mark) -> Self {
        if self.marks.len() < Self::MARKS {
            self.marks.push(mark);
        }
        self
    }

    /// Sets how long the answer is fresh, instead of what the layer says.
    #[must_use]
    pub const fn fresh_for(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets how long the answer is good for anything, instead of what the layer says.
    #[must_use]
    pub const fn good_as(mut self, freshness: Freshness) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// Has only the very same question answered alike, whatever others mean.
    #[must_use]
    pub fn exactly(mut self) -> Self {
        self.text = None;
        self
    }

    /// How many marks a question has at most, its tenant's among them.
    pub const MARKS: usize = 16;

    /// Returns what it is known by.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Returns what an answer must share with it, whatever it means.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns what was said last, if a question that means the same may be answered alike.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text.
        f.debug_struct("Asked").field("key", &self.key).field("scope", &self.scope).finish_non_exhaustive()
    }
}

// === impl Asking ===

impl Asking {
    pub(crate) const fn new(tenant: Mark) -> Self {
        Self { tenant }
    }

    /// Makes the question whose scope is what `common` tells, and which asks within it what `rest` tells. `text` is what was
    /// said last, if the cache may look for what means the same.
    pub fn question(
        self,
        common: impl FnOnce(&mut KeyHasher),
        rest: impl FnOnce(&mut KeyHasher),
        text: Option<Box<str>>,
    ) -> Asked {
        let mut hasher = self.tenant.begin();
        common(&mut hasher);
        let scope = Scope::of(hasher);
        let mut hasher = scope.begin();
        rest(&mut hasher);
        let mut marks = Vec::with_capacity(2);
        marks.push(self.tenant);
        Asked {
            key: Key::of(hasher),
            scope,
            text,
            marks,
            principal: None,
            shape: Shape::default(),
            ttl: None,
            freshness: None,
            #[cfg(feature = "llm")]
            format: None,
        }
    }
}

// === impl Bypass ===

impl Bypass {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NoTenant,
        Self::Kind,
        Self::Tools,
        Self::Sampled,
        Self::Media,
        Self::Several,
        Self::Stateful,
        Self::Personal,
        Self::NoStore,
        Self::Off,
        Self::Judging,
    ];

    /// Returns the word for events and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTenant => "no-tenant",
            Self::Kind => "kind",
            Self::Tools => "tools",
            Self::Sampled => "sampled",
            Self::Media => "media",
            Self::Several => "several",
            Self::Stateful => "stateful",
            Self::Personal => "personal",
            Self::NoStore => "no-store",
            Self::Off => "off",
            Self::Judging => "judging",
        }
    }
}

// === impl ByQuestion ===

impl<F, K, B> Ask<Request<B>> for ByQuestion<F>
where
    F: Fn(&Request<B>) -> Option<K>,
    K: Hash,
{
    fn ask(&self, request: &Request<B>, asking: Asking) -> Result<Asked, Bypass> {
        let asked = (self.0)(request).ok_or(Bypass::Kind)?;
        Ok(asking.question(|_| {}, |hasher| asked.hash(hasher), None))
    }
}

impl<F> fmt::Debug for ByQuestion<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByQuestion")
    }
}

impl<F> crate::Admit for ByQuestion<F> {}
