//! The upstreams a request may go to.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
};

use crate::{Label, LabelError, Refusal, Verdict};

/// An upstream that a request may go to: a deployment in a region, a provider's endpoint, a replica.
///
/// Clones share one allocation. Two targets are equal if all their facts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Arc<Facts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    name: Label,
    region: Option<Label>,
    provider: Option<Label>,
    failure_domain: Label,
    capacity: NonZeroU32,
    priority: u8,
    cost: u64,
    context: Option<NonZeroU64>,
    credentials: Box<[Label]>,
    credential: Option<Label>,
    limits_by_credential: bool,
}

/// Names the target that answered. The layer that chose the target puts it into the response's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// The target whose answer this is.
    pub target: Target,
    /// The model the target was asked for, where there is one.
    pub model: Option<Label>,
}

/// Fits a request to a target: address, path, credentials, model name.
///
/// Where a target has several credentials, [`Target::credential`] says which one is meant.
///
/// Any `Fn(Req, &Target) -> Result<Rewritten<Req>, Refusal>` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not fit a `{Req}` to a target",
    label = "not a rewrite of this request",
    note = "a closure `|request: Request, target: &Target| -> Result<Rewritten<Request>, Refusal>` does, with the types of its arguments written out"
)]
pub trait Rewrite<Req> {
    /// Fits `request` to `target`.
    ///
    /// # Errors
    ///
    /// Returns the refusal to answer with if this request cannot be put to this target.
    fn rewrite(&self, request: Req, target: &Target) -> Result<Rewritten<Req>, Refusal>;
}

/// A request that was fitted to a target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rewritten<Req> {
    /// What to send.
    pub request: Req,
    /// The model the target is asked for, where there is one.
    pub model: Option<Label>,
}

// === impl Target ===

impl Target {
    /// Creates a target that is a failure domain of its own, with a capacity of 1.
    #[must_use]
    pub fn new(name: Label) -> Self {
        Self(Arc::new(Facts {
            failure_domain: name.clone(),
            name,
            region: None,
            provider: None,
            capacity: NonZeroU32::MIN,
            priority: 0,
            cost: 0,
            context: None,
            credentials: Box::default(),
            credential: None,
            limits_by_credential: false,
        }))
    }

    /// Creates a target named `name`. See [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// Fails if `name` is no [`Label`].
    pub fn named(name: &str) -> Result<Self, LabelError> {
        Label::try_new(name).map(Self::new)
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: Label) -> Self {
        self.facts().region = Some(region);
        self
    }

    /// Sets the provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Label) -> Self {
        self.facts().provider = Some(provider);
        self
    }

    /// Sets what the target shares its failures with: targets of one failure domain are expected to fail together.
    #[must_use]
    pub fn with_failure_domain(mut self, domain: Label) -> Self {
        self.facts().failure_domain = domain;
        self
    }

    /// Sets the capacity, relative to that of the other targets.
    #[must_use]
    pub fn with_capacity(mut self, capacity: NonZeroU32) -> Self {
        self.facts().capacity = capacity;
        self
    }

    /// Sets the priority: 0 comes first, and what it cannot carry goes to 1, and so on. 0 by default.
    #[must_use]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.facts().priority = priority;
        self
    }

    /// Sets what the target costs, in any unit that is the same for all targets.
    #[must_use]
    pub fn with_cost(mut self, cost: u64) -> Self {
        self.facts().cost = cost;
        self
    }

    /// Sets how many tokens a request and its answer may have there together.
    #[must_use]
    pub fn with_context(mut self, tokens: NonZeroU64) -> Self {
        self.facts().context = Some(tokens);
        self
    }

    /// Says by what names the target's credentials go, where it has several: never a secret. A name that comes twice counts
    /// once.
    #[must_use]
    pub fn with_credentials(mut self, names: impl IntoIterator<Item = Label>) -> Self {
        let mut credentials = Vec::new();
        for name in names {
            if !credentials.contains(&name) {
                credentials.push(name);
            }
        }
        self.facts().credentials = credentials.into();
        self
    }

    /// Says that the target has limits for each of its credentials, and not for all together: keys of several
    /// organizations, say. Each is then used in turn, and one that asked for time is left alone by itself.
    #[must_use]
    pub fn with_limits_by_credential(mut self) -> Self {
        self.facts().limits_by_credential = true;
        self
    }

    /// Returns the same target, to be shown the credential called `name`.
    #[must_use]
    pub fn using(mut self, name: Label) -> Self {
        self.facts().credential = Some(name);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &Label {
        &self.0.name
    }

    /// Returns the region.
    #[must_use]
    pub fn region(&self) -> Option<&Label> {
        self.0.region.as_ref()
    }

    /// Returns the provider.
    #[must_use]
    pub fn provider(&self) -> Option<&Label> {
        self.0.provider.as_ref()
    }

    /// Returns the failure domain.
    #[must_use]
    pub fn failure_domain(&self) -> &Label {
        &self.0.failure_domain
    }

    /// Returns the capacity, relative to that of the other targets.
    #[must_use]
    pub fn capacity(&self) -> NonZeroU32 {
        self.0.capacity
    }

    /// Returns the priority, 0 before 1.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.0.priority
    }

    /// Returns what the target costs, compared with the others.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.0.cost
    }

    /// Returns how many tokens a request and its answer may have there together, where that is known.
    #[must_use]
    pub fn context(&self) -> Option<NonZeroU64> {
        self.0.context
    }

    /// Returns the names of its credentials. There are none where there is nothing to choose.
    #[must_use]
    pub fn credentials(&self) -> &[Label] {
        &self.0.credentials
    }

    /// Returns whether the target has limits for each of its credentials.
    #[must_use]
    pub fn has_limits_by_credential(&self) -> bool {
        self.0.limits_by_credential
    }

    /// Returns the name of the credential that this request is to show, where there is a choice: whoever fits requests to
    /// targets goes by it.
    #[must_use]
    pub fn credential(&self) -> Option<&Label> {
        self.0.credential.as_ref()
    }

    /// Returns whether `verdict` speaks of the [credential](Self::credential) that was shown, and neither of the target itself
    /// nor of its other credentials. Where there is no choice of credentials, none does.
    #[must_use]
    pub fn blames_credential(&self, verdict: Verdict) -> bool {
        let of_credential = match verdict {
            Verdict::QuotaExhausted | Verdict::CredentialDead => true,
            Verdict::RateLimited | Verdict::CapacityByDesign => self.0.limits_by_credential,
            _ => false,
        };
        of_credential && self.0.credential.is_some()
    }

    fn facts(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.0)
    }
}

// === impl Rewrite ===

impl<F, Req> Rewrite<Req> for F
where
    F: Fn(Req, &Target) -> Result<Rewritten<Req>, Refusal>,
{
    fn rewrite(&self, request: Req, target: &Target) -> Result<Rewritten<Req>, Refusal> {
        self(request, target)
    }
}

// === impl Rewritten ===

impl<Req> Rewritten<Req> {
    /// Creates a rewritten request that asks for no model in particular.
    #[must_use]
    pub const fn new(request: Req) -> Self {
        Self { request, model: None }
    }

    /// Names the model that the target is asked for.
    #[must_use]
    pub fn with_model(mut self, model: Label) -> Self {
        self.model = Some(model);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_knows_its_credentials_by_name_and_which_one_is_meant() {
        let [a, b] = ["a", "b"].map(|name| Label::try_new(name).unwrap());
        let east = Target::named("east").unwrap().with_credentials([a.clone(), b.clone(), a.clone()]);
        assert_eq!((east.credentials(), east.credential()), (&[a, b.clone()][..], None));
        let with_b = east.clone().using(b.clone());
        assert_eq!((with_b.name(), with_b.credential()), (east.name(), Some(&b)));
        assert!(with_b != east && !east.has_limits_by_credential());
    }

    #[test]
    fn a_target_is_its_own_failure_domain_unless_told_otherwise() {
        let east = Target::named("east").unwrap();
        assert_eq!(east.failure_domain(), east.name());
        let shared = east.clone().with_failure_domain(Label::try_new("azure").unwrap());
        assert_eq!(shared.failure_domain().as_str(), "azure");
        assert_eq!(east.failure_domain().as_str(), "east", "a clone that was made before is not changed");
    }
}
