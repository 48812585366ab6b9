//! What a second attempt does for a request that takes long. Real sockets on loopback, no clock in the assertions.

mod support;

use buttress_sim::Fault;
use tokio::time::timeout;

use support::{CHAT, CHAT_PATH, FAR, Running, STREAM};

/// Late enough that a busy machine is not taken for a slow region.
const HEDGED: &str = "[failover.hedge]\nextra_percent = 100\nsamples = 20\nno_sooner = \"300ms\"";

/// Two regions, of which the gateway knows how long requests like `body` take.
async fn known(body: &'static str) -> Running {
    let running = Running::start(&["eastus", "westeurope"], HEDGED).await;
    for _ in 0..25 {
        assert_eq!(running.post(CHAT_PATH, body).await.status, 200);
    }
    running
}

#[tokio::test]
async fn a_slow_region_is_overtaken_and_its_request_cancelled() {
    for body in [STREAM, CHAT] {
        let running = known(body).await;
        let before = running.operator.targets().hedges();
        running.break_region(0, Fault::SlowFirstToken { ms: 60_000 });

        let answer = timeout(FAR, running.post(CHAT_PATH, body)).await.expect("nobody waits for the slow one");

        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "westeurope"), "{answer:?}");
        assert_eq!(answer.header("x-attempts"), "2", "{answer:?}");
        let trail = answer.header("x-attempt-trail");
        assert!(trail.contains("eastus;cancelled;") && trail.contains("westeurope;200;"), "{trail}");
        if body == STREAM {
            assert!(answer.text().ends_with("data: [DONE]\n\n"), "{answer:?}");
        }
        let cancelled = running.regions[0].wait_for(|stats| stats.in_flight == 0 && stats.cancelled > 0);
        timeout(FAR, cancelled).await.expect("the slow region hears that nobody waits any more");
        let after = running.operator.targets().hedges();
        assert_eq!((after.sent - before.sent, after.won - before.won), (1, 1));
    }
}

#[tokio::test]
async fn each_model_and_each_way_to_answer_learns_for_itself() {
    let running = known(STREAM).await;
    running.break_region(0, Fault::SlowFirstToken { ms: 600 });
    let before = running.operator.targets().hedges();
    for body in [CHAT.to_owned(), STREAM.replace("4o-mini", "4o")] {
        let answer = running.post(CHAT_PATH, body).await;
        assert_eq!((answer.header("x-served-by"), answer.header("x-attempts")), ("eastus", "1"));
    }
    assert_eq!(running.operator.targets().hedges(), before);
}

#[tokio::test]
async fn without_a_word_in_the_configuration_nothing_is_sent_twice() {
    let running = Running::start(&["eastus", "westeurope"], "").await;
    for _ in 0..120 {
        running.post(CHAT_PATH, CHAT).await;
    }
    running.break_region(0, Fault::SlowFirstToken { ms: 600 });
    assert_eq!(running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "eastus");
    assert_eq!(running.seen(), [121, 0]);
}
