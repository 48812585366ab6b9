//! What must hold between the parts of a configuration.

use std::collections::HashSet;

use super::{CallerBy, Config, LimitsConfig, TenantConfig, error::Fault};

impl Config {
    /// Returns the keys whose values in `edited` are other ones and cannot count while the gateway runs.
    #[must_use]
    pub fn changed_for_good(&self, edited: &Self) -> Vec<&'static str> {
        let same = [
            ("listen", self.listen == edited.listen),
            ("admin", self.admin == edited.admin),
            ("max_body_bytes", self.max_body_bytes == edited.max_body_bytes),
            ("deadline", self.deadline == edited.deadline),
            ("shutdown_grace", self.shutdown_grace == edited.shutdown_grace),
            ("retry", self.retry == edited.retry),
            ("failover", self.failover == edited.failover),
            ("breaker", self.breaker == edited.breaker),
            ("streams", self.streams == edited.streams),
            ("concurrency", self.concurrency == edited.concurrency),
            ("probes", self.probes == edited.probes),
            ("cache", self.cache == edited.cache),
            ("coalesce", self.coalesce == edited.coalesce),
            ("limits", same_buckets(self.limits.as_ref(), edited.limits.as_ref())),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if let Some(admin) = self.admin.filter(|admin| !admin.ip().is_loopback()) {
            let says = format!(
                "`{admin}` must be an address of loopback, such as 127.0.0.1:9090: nobody is asked who they are"
            );
            return Err((None, "admin".to_owned(), says));
        }
        self.breaker.settings().check().map_err(|error| (None, "breaker".to_owned(), error.to_string()))?;
        if self.targets.is_empty() {
            return Err((None, "targets".to_owned(), "at least one [[targets]] table is needed".to_owned()));
        }
        let is_tenant = |name: &str| self.tenants().any(|tenant| tenant.name.as_str() == name);
        self.cache.check(is_tenant).map_err(|(key, says)| (None, key, says))?;
        let targets = self.targets.iter().map(|target| target.get_ref().target.name());
        let named = self.cache.judge.check_names(targets, self.limits.as_ref());
        named.map_err(|(key, says)| (None, key, says))?;
        self.check_tenants()?;
        let mut names = HashSet::new();
        for (i, target) in self.targets.iter().enumerate() {
            let name = target.get_ref().target.name();
            if !names.insert(name) {
                let says = format!("`{name}` is the name of another target, each name may be used once");
                return Err((Some(target.span()), format!("targets[{i}].name"), says));
            }
        }
        Ok(())
    }

    fn check_tenants(&self) -> Result<(), Fault> {
        let Some(limits) = &self.limits else {
            return match self.tenants.first() {
                Some(tenant) => {
                    let says = "tenants need a [limits] table, with what they may take";
                    Err((Some(tenant.span()), "tenants".to_owned(), says.to_owned()))
                }
                None => Ok(()),
            };
        };
        limits.check(!self.prices.is_empty()).map_err(|(key, says)| (None, key, says))?;
        let by_key = limits.caller == CallerBy::ApiKey;
        let mut names = HashSet::new();
        for (i, tenant) in self.tenants.iter().enumerate() {
            let fault = |key: &str, says: String| Err((Some(tenant.span()), format!("tenants[{i}]{key}"), says));
            let TenantConfig { name, tier, api_key_env, api_key_sha256 } = tenant.get_ref();
            if !names.insert(name) {
                return fault(".name", format!("`{name}` is the name of another tenant, each name may be used once"));
            }
            if let Some(tier) = tier.as_deref().filter(|tier| limits.tier(tier).is_none()) {
                let names = limits.tiers().map(|(name, _)| name).collect::<Vec<_>>().join("`, `");
                return fault(".tier", format!("`{tier}` is no tier, allowed are `{names}`"));
            }
            if by_key == (api_key_env.is_none() && api_key_sha256.is_empty()) {
                return fault(
                    "",
                    match by_key {
                        true => "`api_key_env` or `api_key_sha256` must be given: callers are told apart by their keys"
                            .to_owned(),
                        false => {
                            "`api_key_env` and `api_key_sha256` mean nothing where callers are told apart by a header"
                                .to_owned()
                        }
                    },
                );
            }
        }
        Ok(())
    }
}

/// Returns whether the buckets for `a` do for `b` too: how much they hold may differ, which there are may not.
fn same_buckets(a: Option<&LimitsConfig>, b: Option<&LimitsConfig>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let same = (a.max_callers, a.announce, a.wait, &a.redis) == (b.max_callers, b.announce, b.wait, &b.redis);
    same && a.tiers().map(|(name, _)| name).eq(b.tiers().map(|(name, _)| name))
}
