//! What the search by meaning did, in figures: for the status, and for Prometheus.

use buttress_semantic_cache::{EmbedStats, JudgeCounts, Reason, Risk};
use serde_json::{Value, json};

use crate::{
    meaning::Meanings,
    metrics::{Kind, Page, number},
};

// === impl Meanings ===

impl Meanings {
    /// Returns what is known of each class of questions, by the fingerprint of its model: a bounded number of them.
    fn risks(&self) -> Vec<(String, Option<Risk>)> {
        let classes = self.finder.with_memory(|memory| memory.classes());
        // One at a time: callers wait for the lock.
        let risk = |class| (format!("{class:016x}"), self.finder.with_memory(|memory| memory.risk(class)));
        classes.into_iter().map(risk).collect()
    }

    pub(crate) fn status(&self) -> Value {
        let counts = self.finder.counts();
        let decided: Value = Reason::ALL.map(|why| (why.name(), self.finder.decided_for(why))).into_iter().collect();
        let (questions, bytes, evicted, refused) =
            self.finder.with_memory(|memory| (memory.len(), memory.bytes(), memory.evicted(), memory.refused()));
        let risk = |(class, risk): (String, Option<Risk>)| {
            let learned = risk.map(|risk| {
                json!({
                    "estimate": risk.estimate,
                    "upper_bound": risk.upper_bound,
                    "budget": risk.budget,
                    "requests": risk.requests,
                    "judged": risk.judged,
                    // Nothing is served where it is infinite, which is `null` here.
                    "cut": risk.cut,
                })
            });
            json!({ "class": class, "learned": learned })
        };
        json!({
            "decided": decided,
            "too_short": counts.too_short,
            "not_embedded": counts.not_embedded,
            "not_searched": counts.not_searched,
            "audits": counts.audits,
            "audits_right": counts.audits_right,
            "audits_wrong": counts.audits_wrong,
            "compared_right": counts.compared_right,
            "compared_wrong": counts.compared_wrong,
            "not_judged": counts.not_judged,
            "learned": counts.learned,
            "questions": questions,
            "question_bytes": bytes,
            "questions_evicted": evicted,
            "questions_refused": refused,
            "classes": self.risks().into_iter().map(risk).collect::<Vec<_>>(),
            "judge": self.judged().map(|counts| judged(&counts).into_iter().chain(spent(&counts)).collect::<Value>()),
            "embedder_circuit": self.circuit().map(|circuit| circuit.state().as_str()),
            "embedder": self.embedded().map(|stats| embedded(&stats).into_iter().collect::<Value>()),
        })
    }

    /// Returns what a model that judges has cost, to be set against what was saved.
    pub(crate) fn spent(&self) -> Option<Value> {
        let counts = self.judged()?;
        Some(json!({
            "calls": counts.calls,
            "input_tokens": counts.input_tokens,
            "output_tokens": counts.output_tokens,
        }))
    }

    pub(crate) fn measure(&self, page: &mut Page) {
        let counts = self.finder.counts();
        let decided = Reason::ALL.map(|why| (why.name(), self.finder.decided_for(why)));
        let others = [
            ("too-short", counts.too_short),
            ("not-embedded", counts.not_embedded),
            ("not-searched", counts.not_searched),
        ];
        let help = "Questions that were sought by their meaning, by what was decided.";
        page.counters("gateway_cache_decisions_total", help, "reason", decided.into_iter().chain(others));
        let help = "Answers that were served by meaning and are checked.";
        page.one(Kind::Counter, "gateway_cache_audits_total", help, counts.audits);
        const JUDGED: &str = "gateway_cache_judged_total";
        page.family(Kind::Counter, JUDGED, "Comparisons with fresh answers: of those that were served, and of others.");
        for (of, verdict, count) in [
            ("served", "right", counts.audits_right),
            ("served", "wrong", counts.audits_wrong),
            ("other", "right", counts.compared_right),
            ("other", "wrong", counts.compared_wrong),
            ("any", "unknown", counts.not_judged),
        ] {
            page.figure(JUDGED, &[("of", of), ("verdict", verdict)], count);
        }
        let (questions, bytes, evicted) =
            self.finder.with_memory(|memory| (memory.len(), memory.bytes(), memory.evicted()));
        page.one(Kind::Gauge, "gateway_cache_questions", "Questions that are remembered.", questions);
        page.one(Kind::Gauge, "gateway_cache_question_bytes", "What they take, about, in bytes.", bytes);
        let help = "Questions that were forgotten to make room.";
        page.one(Kind::Counter, "gateway_cache_questions_evicted_total", help, evicted);
        self.measure_risks(page);
        if let Some(stats) = self.embedded() {
            let help = "Texts for the embedder, by what became of them, and its calls.";
            page.counters("gateway_cache_embedder_total", help, "event", embedded(&stats));
        }
        if let Some(circuit) = self.circuit() {
            let help = "What the circuit to the embedder is.";
            page.family(Kind::Gauge, "gateway_cache_embedder_circuit", help);
            page.figure("gateway_cache_embedder_circuit", &[("state", circuit.state().as_str())], 1);
        }
        if let Some(counts) = self.judged() {
            let help = "Comparisons for the model that judges, by what became of them, and its calls.";
            page.counters("gateway_cache_judge_total", help, "event", judged(&counts));
            let help = "Tokens of the model that judges, as far as it tells.";
            page.counters("gateway_cache_judge_tokens_total", help, "kind", spent(&counts));
        }
    }

    fn measure_risks(&self, page: &mut Page) {
        let risks: Vec<_> = self.risks().into_iter().filter_map(|(class, risk)| Some((class, risk?))).collect();
        type Of = fn(&Risk) -> f64;
        let families: [(&str, &str, Of); 4] = [
            ("gateway_cache_error_budget", "What share of requests may be answered wrongly.", |risk| risk.budget),
            ("gateway_cache_error_estimate", "What share is, by the best guess, of the requests of late.", |risk| {
                risk.estimate
            }),
            ("gateway_cache_error_upper_bound", "… at most, with a certainty of 95 %.", |risk| risk.upper_bound),
            ("gateway_cache_cut", "The least score that is served.", |risk| risk.cut),
        ];
        for (name, help, of) in families {
            page.family(Kind::Gauge, name, help);
            for (class, risk) in &risks {
                page.figure(name, &[("class", class)], number(of(risk)));
            }
        }
    }
}

const fn judged(counts: &JudgeCounts) -> [(&'static str, u64); 9] {
    [
        ("asked", counts.asked),
        ("yes", counts.yes),
        ("no", counts.no),
        ("unsure", counts.unsure),
        ("dropped", counts.dropped),
        ("late", counts.late),
        ("too-long", counts.too_long),
        ("failed", counts.failed),
        ("call", counts.calls),
    ]
}

const fn spent(counts: &JudgeCounts) -> [(&'static str, u64); 2] {
    [("input", counts.input_tokens), ("output", counts.output_tokens)]
}

const fn embedded(stats: &EmbedStats) -> [(&'static str, u64); 10] {
    [
        ("asked", stats.asked),
        ("recent", stats.recent),
        ("joined", stats.joined),
        ("timeout", stats.timeouts),
        ("busy", stats.busy),
        ("too-long", stats.too_long),
        ("failed", stats.failed),
        ("abandoned", stats.abandoned),
        ("call", stats.calls),
        ("refused", stats.refused),
    ]
}
