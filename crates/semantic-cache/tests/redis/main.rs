//! Replicas that share their answers, each with its own layer and clients, on one real Redis.
#![cfg(feature = "redis")]

mod answers;
mod bag;
mod faults;
mod forgetting;
mod meaning;
#[cfg(feature = "seal")]
mod sealed;
mod search;
mod support;
mod values;
