//! Redis Cluster.
#![cfg(feature = "cluster")]

mod common;

use std::time::Duration;

use buttress_redis::{Config, Namespace, Script, redis};
use buttress_testkit::RedisServer;
use common::{away_at_once, connected, run, soon};

/// Two nodes, each with half of the slots.
fn cluster() -> [RedisServer; 2] {
    let nodes = [(); 2].map(|()| RedisServer::start_on_port(&["--cluster-enabled", "yes"]));
    let port = nodes[1].port().to_string();
    let slots = [["0", "8191"], ["8192", "16383"]];
    for (epoch, (node, [first, last])) in nodes.iter().zip(slots).enumerate() {
        let epoch = (epoch + 1).to_string();
        assert!(node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).starts_with("+OK"));
        assert!(node.tell(&["CLUSTER", "ADDSLOTSRANGE", first, last]).starts_with("+OK"));
    }
    assert!(nodes[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &port]).starts_with("+OK"));
    let ready = |node: &RedisServer| node.tell(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
    for _ in 0..2000 {
        if nodes.iter().all(ready) {
            return nodes;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the nodes did not agree");
}

#[test]
fn keys_of_all_slots_are_reached_and_a_frozen_node_makes_nobody_wait_twice() {
    let nodes = cluster();
    run(async {
        let config = Config::cluster([format!("redis://127.0.0.1:{}", nodes[0].port())])
            .command_timeout(common::BOUND)
            .connect_timeout(Duration::from_millis(500))
            .probe_between(Duration::from_millis(5), Duration::from_millis(50));
        let client = connected(config).await;
        let namespace = Namespace::try_new("t").expect("allowed");
        let both = Script::new("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('SET', KEYS[2], ARGV[1])");
        for tag in 0..32 {
            let keys = ["a", "b"].map(|name| namespace.key("k", &tag.to_string(), name));
            assert_eq!(client.invoke(&both.call(&keys).arg(tag)).await, Ok(()));
            assert_eq!(client.query(redis::cmd("GET").arg(&keys[1])).await, Ok(tag));
        }
        assert_eq!(client.counts().scripts_loaded, 2, "each node learned the script");

        nodes[1].freeze();
        let mut timed_out = 0;
        for tag in 0..64 {
            let key = namespace.key("k", &tag.to_string(), "a");
            match client.query::<Option<u64>>(redis::cmd("GET").arg(&key)).await {
                Ok(_) => {}
                Err(_) if client.status().is_connected() => {}
                Err(error) => {
                    timed_out += u32::from(error.may_have_run());
                    break;
                }
            }
        }
        assert!(timed_out <= 1 && !client.status().is_connected());
        away_at_once(&client);
        nodes[1].thaw();
        soon(client.connected()).await;
    });
}
