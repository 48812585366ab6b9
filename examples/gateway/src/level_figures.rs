//! What each priority of targets got, gets and can carry: for the status, and for Prometheus.

use axum::response::{IntoResponse, Response};
use buttress_region_failover::LevelReport;
use http::header;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    metrics::{Kind, Page},
    operator::Operator,
};

/// A figure of a level.
type Figure = (Kind, &'static str, &'static str, fn(&LevelReport) -> u64);

const FIGURES: [Figure; 3] = [
    (Kind::Counter, "gateway_level_attempts_total", "Attempts that a priority of targets got.", |level| level.attempts),
    (
        Kind::Gauge,
        "gateway_level_share_percent",
        "The share of new requests that goes to a priority by policy.",
        |level| level.share_percent.into(),
    ),
    (Kind::Gauge, "gateway_level_availability_percent", "What part of the load a priority can carry.", |level| {
        level.availability_percent.into()
    }),
];

// === impl Operator ===

impl Operator {
    /// Returns how each priority of targets stands.
    pub(crate) fn levels(&self, now: Instant) -> Value {
        let level = |level: LevelReport| {
            json!({
                "priority": level.priority,
                "targets": level.targets,
                "attempts": level.attempts,
                "share_percent": level.share_percent,
                "availability_percent": level.availability_percent,
            })
        };
        self.targets().levels(now).into_iter().map(level).collect()
    }

    /// Returns all figures in the text format of Prometheus.
    pub(crate) fn metrics(&self, now: Instant) -> Response {
        let mut page = Page::default();
        let levels = self.targets().levels(now);
        for (kind, name, help, figure) in FIGURES {
            page.family(kind, name, help);
            for level in &levels {
                page.figure(name, &[("priority", &level.priority.to_string())], figure(level));
            }
        }
        self.shares.measure(&mut page);
        ([(header::CONTENT_TYPE, Page::TYPE)], page.into_text()).into_response()
    }
}
