//! What the parts of an answer mean.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "events/answers.rs"]
mod answers;
#[path = "events/compressed.rs"]
mod compressed;
#[path = "events/cuts.rs"]
mod cuts;
#[path = "events/endings.rs"]
mod endings;
#[path = "events/reading.rs"]
mod reading;
#[path = "events/scenarios.rs"]
mod scenarios;
