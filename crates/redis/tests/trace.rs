//! What is traced. In a process of its own: whether an event is wanted is remembered across threads.

mod common;

use buttress_redis::Config;
use buttress_testkit::{RedisServer, TraceGuard};
use common::{get, soon};

#[test]
fn an_event_is_traced_when_redis_goes_and_when_it_is_back_and_holds_no_secret() {
    let mut server = RedisServer::start_with(&["--requirepass", "hush"]);
    let guard = TraceGuard::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let config: Config = common::config(server.url()).username("default").password("hush");
        let client = common::connected(config).await;
        for _ in 0..10 {
            assert!(get(&client, "hush-key").await.is_ok());
        }
        server.kill();
        drop(get(&client, "hush-key").await);
        soon(client.away()).await;
        for _ in 0..10 {
            assert!(get(&client, "hush-key").await.is_err());
        }
        server.restart();
        soon(client.connected()).await;
    });
    let lines: Vec<_> = guard.lines().into_iter().filter(|line| line.contains("buttress_redis")).collect();
    let has = |line: usize, words: &[&str]| words.iter().all(|word| lines[line].contains(word));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(has(0, &["redis is there", "away_ms="]), "{lines:?}");
    assert!(has(1, &["redis is away", "reason="]), "{lines:?}");
    assert!(has(2, &["redis is there", "away_ms="]), "{lines:?}");
    guard.assert_hides(&["hush"]);
}
