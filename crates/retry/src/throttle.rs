//! Tokens that failures take and successes bring.

use crate::{
    budget::Share,
    sync::{AtomicU64, Ordering},
};

#[derive(Debug)]
pub(crate) struct Throttle {
    /// All amounts in millionths of a token.
    max: u64,
    success: u64,
    tokens: AtomicU64,
}

// === impl Throttle ===

impl Throttle {
    pub(crate) fn new(max_tokens: u32, ratio: Share) -> Self {
        let max = Share::ONE.of(u64::from(max_tokens));
        Self { max, success: ratio.of(1), tokens: AtomicU64::new(max) }
    }

    pub(crate) fn allows(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) > self.max / 2
    }

    pub(crate) fn failed(&self) {
        self.change(|tokens| tokens.saturating_sub(Share::ONE.of(1)));
    }

    pub(crate) fn succeeded(&self) {
        self.change(|tokens| tokens.saturating_add(self.success).min(self.max));
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let change = |tokens| Some(change(tokens)).filter(|&now| now != tokens);
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;

    #[test]
    fn grpc_javas_arithmetic_holds() {
        // Published trace: 4 tokens, 0.8 a success. Event, tokens after in tenths, allowed.
        let trace = [
            ("fail", 30, true),
            ("fail", 20, false),
            ("fail", 10, false),
            ("fail", 0, false),
            ("fail", 0, false),
            ("fail", 0, false),
            ("ok", 8, false),
            ("ok", 16, false),
            ("ok", 24, true),
            ("ok", 32, true),
            ("ok", 40, true),
            ("ok", 40, true),
            ("fail", 30, true),
            ("fail", 20, false),
        ];
        let throttle = Throttle::new(4, Share::percent(80));
        for (event, tenths, allowed) in trace {
            if event == "ok" {
                throttle.succeeded()
            } else {
                throttle.failed()
            }
            assert_eq!((throttle.tokens.load(Ordering::Relaxed) / 100_000, throttle.allows()), (tenths, allowed));
        }
    }
}
