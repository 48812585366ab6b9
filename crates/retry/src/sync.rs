//! The atomics, so that loom can take their place: `RUSTFLAGS="--cfg buttress_loom" cargo test -p buttress-retry --lib`.

#[cfg(buttress_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(buttress_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
