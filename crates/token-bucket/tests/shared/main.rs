//! Replicas that share limits, each with its own layer and client, on one real Redis.
#![cfg(feature = "redis")]

mod contract;
mod decisions;
mod faults;
mod leases;
mod lifecycle;
mod service;
mod support;
