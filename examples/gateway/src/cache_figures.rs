//! What the cache did, in figures: for the status, and for Prometheus.

use buttress_coalesce::CoalesceHandle;
use buttress_redis::Redis;
use buttress_semantic_cache::{Bypass, Counts, Miss, Unfit};
use serde_json::{Value, json};

use crate::{
    meaning::Meanings,
    metrics::{Kind, Page},
    sharing::{Kept, Shares},
};

// === impl Shares ===

impl Shares {
    /// Returns what the cache did so far, where there is one.
    pub(crate) fn cache(&self) -> Option<Value> {
        self.cache.as_ref().map(Kept::status)
    }

    /// Returns how many calls were shared so far, where they are.
    pub(crate) fn coalesced(&self) -> Option<Value> {
        let counts = self.coalesce.as_ref()?.counts();
        Some(json!({
            "led": counts.led,
            "joined": counts.joined,
            "handed_over": counts.handed_over,
            "promoted": counts.promoted,
            "detached": counts.detached,
            "full": counts.full,
            "alone": counts.alone,
            "under_way": counts.under_way,
        }))
    }

    /// Adds all of it to a page of figures.
    pub(crate) fn measure(&self, page: &mut Page) {
        if let Some(kept) = &self.cache {
            kept.measure(page);
            if let Some(meanings) = &kept.meanings {
                meanings.measure(page);
            }
        }
        if let Some(coalesce) = &self.coalesce {
            measure_coalesced(coalesce, page);
        }
    }
}

fn measure_coalesced(coalesce: &CoalesceHandle, page: &mut Page) {
    let counts = coalesce.counts();
    page.counters(
        "gateway_coalesce_requests_total",
        "Requests that were shared or not, by their part.",
        "part",
        [("leader", counts.led), ("follower", counts.joined), ("promoted", counts.promoted), ("alone", counts.alone)],
    );
    let help = "Followers that were cut off, being too far behind.";
    page.one(Kind::Counter, "gateway_coalesce_detached_total", help, counts.detached);
    page.one(Kind::Gauge, "gateway_coalesce_under_way", "Calls that are shared now.", counts.under_way);
}

// === impl Kept ===

impl Kept {
    fn with_replicas(&self, redis: &Redis) -> Value {
        let counts = self.handle.shared_counts().unwrap_or_default();
        json!({
            "redis_connected": redis.status().is_connected(),
            "follows": counts.follows,
            "recalled": counts.recalled,
            "absent": counts.absent,
            "unavailable": counts.unavailable,
            "broken": counts.broken,
            "too_large": counts.too_large,
            "written": counts.written,
            "outdated": counts.outdated,
            "dropped": counts.dropped,
            "waiting": counts.waiting,
            "heard": counts.heard,
            "gaps": counts.gaps,
            "search": counts.search.name(),
            "searched": counts.searched,
            "stale": counts.stale,
            "forgetting": counts.forgetting,
        })
    }

    fn status(&self) -> Value {
        let (counts, gone, saved) = (self.handle.counts(), self.handle.gone(), self.ledger.saved());
        let missed: Value = Miss::ALL.map(|why| (why.as_str(), self.handle.missed_for(why))).into_iter().collect();
        let bypassed: Value =
            Bypass::ALL.map(|why| (why.as_str(), self.handle.bypassed_for(why))).into_iter().collect();
        let unfit: Value = Unfit::ALL.map(|why| (why.as_str(), self.handle.unfit_for(why))).into_iter().collect();
        let mut rules: Vec<(&str, Value)> = Vec::new();
        for (rule, outcome, count) in self.ledger.outcomes() {
            if rules.last().is_none_or(|(last, _)| *last != rule) {
                rules.push((rule, json!({})));
            }
            if let Some((_, counts)) = rules.last_mut() {
                counts[outcome] = count.into();
            }
        }
        json!({
            "hits": counts.hits,
            "semantic_hits": counts.semantic_hits,
            "stale": counts.stale,
            "stale_if_error": counts.stale_if_error,
            "misses": counts.misses,
            "missed_for": missed,
            "bypassed": counts.bypassed,
            "bypassed_for": bypassed,
            "refused": counts.refused,
            "stored": counts.stored,
            "unfit": counts.unfit,
            "unfit_for": unfit,
            "evicted": counts.evicted,
            "gone_for": {
                "room": gone.for_room,
                "room_of_caller": gone.for_tenant,
                "expired": gone.expired,
                "forgotten": gone.forgotten,
                "replaced": gone.replaced,
            },
            "background_calls": counts.renewed,
            "background_calls_left_out": counts.not_renewed,
            "late": counts.late,
            "entries": counts.entries,
            "bytes": counts.bytes,
            "saved": {
                "input_tokens": saved.input,
                "cached_input_tokens": saved.cached_input,
                "output_tokens": saved.output,
                "dollars": dollars(saved.nano_dollars),
                "answers_without_usage": saved.untold,
                "answers_without_price": saved.unpriced,
            },
            "spent_on_judging": self.meanings.as_ref().and_then(Meanings::spent),
            "rules": rules.into_iter().collect::<Value>(),
            "meaning": self.meanings.as_ref().map(Meanings::status),
            "replicas": self.replicas.as_ref().map(|(_, redis)| self.with_replicas(redis)),
        })
    }

    fn measure(&self, page: &mut Page) {
        let counts = self.handle.counts();
        self.measure_lookups(&counts, page);
        let (gone, saved) = (self.handle.gone(), self.ledger.saved());
        page.one(Kind::Counter, "gateway_cache_stored_total", "Answers that were kept.", counts.stored);
        let unfit = Unfit::ALL.map(|why| (why.as_str(), self.handle.unfit_for(why)));
        page.counters("gateway_cache_unfit_total", "Answers that were not kept, by the reason.", "reason", unfit);
        page.counters(
            "gateway_cache_gone_total",
            "Answers that are kept no more, by the cause.",
            "cause",
            [
                ("room", gone.for_room),
                ("room-of-caller", gone.for_tenant),
                ("expired", gone.expired),
                ("forgotten", gone.forgotten),
                ("replaced", gone.replaced),
            ],
        );
        let calls = [("made", counts.renewed), ("left-out", counts.not_renewed)];
        let help = "Calls for a fresh answer behind a caller's back: renewals and audits.";
        page.counters("gateway_cache_background_calls_total", help, "call", calls);
        page.one(Kind::Gauge, "gateway_cache_entries", "Answers that are kept.", counts.entries);
        page.one(Kind::Gauge, "gateway_cache_bytes", "What they take, in bytes.", counts.bytes);
        let tokens = [("input", saved.input), ("cached-input", saved.cached_input), ("output", saved.output)];
        let help = "Tokens that answers once cost which were given again; background calls are not taken off.";
        page.counters("gateway_cache_saved_tokens_total", help, "kind", tokens);
        let help = "What those tokens cost, where the model has a price.";
        page.one(Kind::Counter, "gateway_cache_saved_dollars_total", help, dollars(saved.nano_dollars));
        let unknown = [("usage", saved.untold), ("price", saved.unpriced)];
        let help = "Answers given again of which it is not known what they cost, by what is missing.";
        page.counters("gateway_cache_saved_unknown_total", help, "missing", unknown);
    }

    fn measure_lookups(&self, counts: &Counts, page: &mut Page) {
        const NAME: &str = "gateway_cache_lookups_total";
        page.family(Kind::Counter, NAME, "Requests by what the cache did with them, and why.");
        for (outcome, kind, count) in [
            ("hit", "exact", counts.hits),
            ("hit", "meaning", counts.semantic_hits),
            ("stale", "renewed", counts.stale),
            ("stale", "error", counts.stale_if_error),
            ("refused", "only-if-cached", counts.refused),
        ] {
            page.figure(NAME, &[("outcome", outcome), ("reason", kind)], count);
        }
        for why in Miss::ALL {
            page.figure(NAME, &[("outcome", "miss"), ("reason", why.as_str())], self.handle.missed_for(why));
        }
        for why in Bypass::ALL {
            page.figure(NAME, &[("outcome", "bypass"), ("reason", why.as_str())], self.handle.bypassed_for(why));
        }
        const BY_RULE: &str = "gateway_cache_requests_total";
        page.family(Kind::Counter, BY_RULE, "Requests by the rule that they fall under, and what the cache did.");
        for (rule, outcome, count) in self.ledger.outcomes() {
            page.figure(BY_RULE, &[("rule", rule), ("outcome", outcome)], count);
        }
        let help = "Searches by meaning that took too long to be waited for.";
        page.one(Kind::Counter, "gateway_cache_late_total", help, counts.late);
    }
}

fn dollars(nano: u64) -> f64 {
    nano as f64 / 1e9
}
