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
    use crate::vectors::{list, number, section};
    use serde_json::Value;

    impl Throttle {
        fn of(config: &Value) -> Self {
            Self::new(number(&config["max_tokens"]), Share::percent(number(&config["token_ratio_percent"])))
        }

        fn tenths(&self) -> u64 {
            self.tokens.load(Ordering::Relaxed) / 100_000
        }

        fn heard(&self, success: bool) {
            if success { self.succeeded() } else { self.failed() }
        }
    }

    #[test]
    fn the_arithmetic_of_grpc_java_holds() {
        let trace = &section("grpc_throttling")["arithmetic"];
        let throttle = Throttle::of(&trace["config"]);
        for event in list(&trace["events"]) {
            throttle.heard(event[0] == "ok");
            assert_eq!((throttle.tenths().into(), throttle.allows().into()), (event[1].clone(), event[2].clone()));
        }
    }

    #[test]
    fn the_tokens_of_grpc_go_are_left_after_each_call() {
        let trace = &section("grpc_throttling")["end_to_end"];
        let throttle = Throttle::of(&trace["config"]);
        let good = list(&trace["server_ok_call_indexes"]);
        let mut asked = 0..;
        for call in list(&trace["calls"]) {
            for _ in 0..number(&trace["config"]["max_attempts"]) {
                let success = good.contains(&Value::from(asked.next()));
                throttle.heard(success);
                if success || !throttle.allows() {
                    break;
                }
            }
            assert_eq!(throttle.tenths(), call["tokens_after_tenths"], "{call}");
        }
    }
}

#[cfg(all(test, buttress_loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    /// Tells what is left of two tokens when both halves have run, one beside the other.
    fn left_after(theirs: fn(&Throttle), mine: fn(&Throttle), check: fn(u64)) {
        loom::model(move || {
            let throttle = Arc::new(Throttle::new(2, Share::ONE));
            let other = {
                let throttle = Arc::clone(&throttle);
                thread::spawn(move || theirs(&throttle))
            };
            mine(&throttle);
            other.join().unwrap();
            check(throttle.tokens.load(Ordering::Relaxed));
        });
    }

    #[test]
    fn two_failures_at_once_take_two_tokens() {
        left_after(Throttle::failed, Throttle::failed, |left| assert_eq!(left, 0));
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let twice = |throttle: &Throttle| {
            throttle.failed();
            throttle.failed();
        };
        left_after(twice, Throttle::failed, |left| assert_eq!(left, 0));
    }

    #[test]
    fn a_failure_and_a_success_at_once_leave_what_one_of_their_orders_leaves() {
        left_after(Throttle::failed, Throttle::succeeded, |left| assert!([1_000_000, 2_000_000].contains(&left)));
    }
}
