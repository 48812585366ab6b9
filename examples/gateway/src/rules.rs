//! What is cached of which request, and for whom.

use std::sync::Arc;

use buttress_core::Payload;
use buttress_semantic_cache::Freshness;
use http::{HeaderMap, Request};

use crate::{
    config::{CacheConfig, CacheMode, RuleConfig},
    tenants::Whose,
};

/// What is cached of which request, and for whom. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Rules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mode: CacheMode,
    rules: Vec<(RuleConfig, Freshness)>,
    explain_to: Vec<String>,
}

/// What is done with a request, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Treatment {
    pub(crate) mode: CacheMode,
    /// Whether its caller is told why it is answered as it is.
    pub(crate) explains: bool,
    /// The number of the rule, those of the configuration first.
    pub(crate) rule: usize,
}

/// Whose an answer is that is kept, in a request's extensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// One caller's.
    One(Whose),
    /// That of all callers whom the rule of this name matches.
    AllOf(String),
}

// === impl Rules ===

impl Rules {
    /// Takes what `config` says; `None` if it keeps nothing.
    pub(crate) fn new(config: &CacheConfig) -> Option<Self> {
        let rules = config.rules.iter().map(|rule| (rule.clone(), freshness(config, Some(rule)))).collect();
        let inner = Inner { mode: config.mode, rules, explain_to: config.explain_to.clone() };
        (config.most() != CacheMode::Off).then(|| Self(Arc::new(inner)))
    }

    /// Returns the names of the rules, by their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.rules.iter().map(|(rule, _)| rule.name.as_str()).chain([RuleConfig::DEFAULT])
    }

    /// Returns whether callers share what the rule of this name keeps.
    pub(crate) fn shares(&self, name: &str) -> bool {
        self.0.rules.iter().any(|(rule, _)| rule.name == name && rule.shared)
    }

    /// Says what is done with a request for `model` by `whose`, which may only want less of it. Returns whether it wants none.
    pub(crate) fn treat(&self, request: &mut Request<Payload>, model: &str, whose: Option<&Whose>) -> bool {
        let tenant = match whose {
            Some(Whose::Tenant(name)) => Some(name.as_str()),
            _ => None,
        };
        let path = request.uri().path();
        let Inner { mode, rules, .. } = &*self.0;
        let at = rules.iter().position(|(rule, _)| matches(rule, model, path, tenant));
        let rule = at.map(|at| &rules[at]);
        let wants = wanted(request.headers());
        let treatment = Treatment {
            mode: rule.map_or(*mode, |(rule, _)| rule.mode).min(wants),
            explains: self.explains(request.headers(), tenant),
            rule: at.unwrap_or(rules.len()),
        };
        let shared = rule.filter(|(rule, _)| rule.shared).map(|(rule, _)| Holder::AllOf(rule.name.clone()));
        let freshness = rule.map(|(_, freshness)| *freshness);
        // They are for the gateway.
        for name in [MODE, DETAIL] {
            request.headers_mut().remove(name);
        }
        let extensions = request.extensions_mut();
        extensions.insert(treatment);
        if let Some(holder) = shared.or_else(|| whose.cloned().map(Holder::One)) {
            extensions.insert(holder);
        }
        if let Some(freshness) = freshness {
            extensions.insert(freshness);
        }
        wants == CacheMode::Off
    }

    fn explains(&self, headers: &HeaderMap, tenant: Option<&str>) -> bool {
        let asks = headers.get(DETAIL).is_some_and(|value| !matches!(value.as_bytes(), b"" | b"0" | b"false"));
        asks && self.0.explain_to.iter().any(|name| name == "*" || Some(name.as_str()) == tenant)
    }
}

/// What a caller wants less of.
const MODE: &str = "x-cache-mode";
/// Asks why.
const DETAIL: &str = "x-cache-detail";

fn matches(rule: &RuleConfig, model: &str, path: &str, tenant: Option<&str>) -> bool {
    let RuleConfig { models, paths, tenants, .. } = rule;
    (models.is_empty() || models.iter().any(|pattern| pattern.matches(model)))
        && (paths.is_empty() || paths.iter().any(|pattern| pattern.matches(path)))
        && (tenants.is_empty() || tenants.iter().any(|name| Some(name.as_str()) == tenant))
}

/// Returns the most that the caller wants. What is not understood is taken for a no.
fn wanted(headers: &HeaderMap) -> CacheMode {
    let word = |text: &str| match text.trim() {
        text if text.eq_ignore_ascii_case("semantic") => CacheMode::Semantic,
        text if text.eq_ignore_ascii_case("exact") => CacheMode::Exact,
        _ => CacheMode::Off,
    };
    let modes = headers.get_all(MODE).iter().map(|value| value.to_str().map_or(CacheMode::Off, word));
    modes.min().unwrap_or(CacheMode::Semantic)
}

/// Returns how long answers are good, by `rule` where it says so.
pub(crate) fn freshness(config: &CacheConfig, rule: Option<&RuleConfig>) -> Freshness {
    let ttl = rule.and_then(|rule| rule.ttl).unwrap_or(config.ttl);
    let renewed = rule.and_then(|rule| rule.stale_while_revalidate).or(config.stale_while_revalidate);
    let failed = rule.and_then(|rule| rule.stale_if_error).or(config.stale_if_error);
    Freshness::lasting(ttl)
        .stale_while_revalidate(renewed.unwrap_or_default())
        .stale_if_error(failed.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use buttress_core::Label;

    use super::*;
    use crate::Config;

    const RULES: &str = "[cache]\nexplain_to = [\"acme\"]\n\
        [[cache.rules]]\nname = \"none\"\nmode = \"off\"\npaths = [\"/v1/responses\"]\n\
        [[cache.rules]]\nname = \"faq\"\nmode = \"semantic\"\nmodels = [\"gpt-*\"]\ntenants = [\"acme\"]\nshared = true\nttl = \"5m\"\n\
        [[cache.rules]]\nname = \"rest\"\nmode = \"exact\"\nmodels = [\"gpt-4o\"]\n\
        [limits.default]\nrpm = 1\n[[tenants]]\nname = \"acme\"\napi_key_env = \"A\"\n\
        [[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n";

    fn treated(
        path: &str,
        model: &str,
        tenant: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> (Treatment, Option<Holder>) {
        let rules = Rules::new(&Config::parse(RULES, "x").unwrap().cache).expect("something is kept");
        let mut request = Request::post(path).body(Payload::default()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let whose = tenant.map(|name| Whose::Tenant(Label::try_new(name).unwrap()));
        rules.treat(&mut request, model, whose.as_ref());
        assert!(request.headers().is_empty(), "they are not for targets");
        (*request.extensions().get::<Treatment>().unwrap(), request.extensions().get().cloned())
    }

    #[test]
    fn the_first_rule_that_matches_in_all_it_asks_for_counts_and_without_one_it_is_off() {
        for (path, model, tenant, mode, rule) in [
            ("/v1/chat/completions", "gpt-4o", Some("acme"), CacheMode::Semantic, 1),
            ("/v1/chat/completions", "gpt-4o", Some("other"), CacheMode::Exact, 2),
            ("/v1/chat/completions", "gpt-4o", None, CacheMode::Exact, 2),
            ("/v1/chat/completions", "gpt-4o-mini", None, CacheMode::Off, 3),
            ("/v1/chat/completions", "claude", Some("acme"), CacheMode::Off, 3),
            ("/v1/responses", "gpt-4o", Some("acme"), CacheMode::Off, 0),
            ("/v1/responses/x", "gpt-4o", Some("acme"), CacheMode::Semantic, 1),
        ] {
            let (treatment, holder) = treated(path, model, tenant, &[]);
            assert_eq!((treatment.mode, treatment.rule), (mode, rule), "{path} {model} {tenant:?}");
            let shared = holder == Some(Holder::AllOf("faq".to_owned()));
            assert_eq!(shared, rule == 1, "{holder:?}");
        }
    }

    #[test]
    fn a_caller_can_only_want_less() {
        for (tenant, wants, mode) in [
            ("acme", &["off"][..], CacheMode::Off),
            ("acme", &["exact"], CacheMode::Exact),
            ("acme", &["Semantic"], CacheMode::Semantic),
            ("acme", &["semantic", "exact"], CacheMode::Exact),
            ("acme", &["all of it"], CacheMode::Off),
            ("other", &["semantic"], CacheMode::Exact),
            ("other", &["exact"], CacheMode::Exact),
        ] {
            let headers: Vec<_> = wants.iter().map(|want| (MODE, *want)).collect();
            assert_eq!(treated("/v1/chat/completions", "gpt-4o", Some(tenant), &headers).0.mode, mode, "{wants:?}");
        }
        assert_eq!(treated("/v1/responses", "gpt-4o", Some("acme"), &[(MODE, "semantic")]).0.mode, CacheMode::Off);
    }

    #[test]
    fn only_who_may_and_asks_is_told_why() {
        let explains =
            |tenant, asks: &[(&'static str, &str)]| treated("/v1/chat/completions", "gpt-4o", tenant, asks).0.explains;
        assert!(explains(Some("acme"), &[(DETAIL, "1")]));
        for (tenant, asks) in [
            (Some("acme"), &[][..]),
            (Some("acme"), &[(DETAIL, "0")]),
            (Some("x"), &[(DETAIL, "1")]),
            (None, &[(DETAIL, "1")]),
        ] {
            assert!(!explains(tenant, asks), "{tenant:?} {asks:?}");
        }
    }
}
