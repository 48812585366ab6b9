//! Values that are sealed.

use std::sync::Arc;

use buttress_redis::redis;
use buttress_semantic_cache::{KeyRing, Seal};
use buttress_testkit::RedisServer;

use super::support::*;

async fn sealed(server: &RedisServer, ring: KeyRing) -> Replica {
    Replica::start_with(server.url(), |layer| layer, |shared| shared.sealed(Arc::new(ring))).await
}

#[test]
fn who_has_the_key_reads_it_and_nobody_else() {
    let server = RedisServer::start();
    run(async {
        let a = sealed(&server, KeyRing::new(1, &[1; 32])).await;
        a.ask("t", "what is it", "a secret, a secret, a secret").await;
        a.written().await;
        let raw: Vec<u8> = a.query(redis::cmd("HGET").arg(a.place().await).arg("value")).await;
        assert!(!raw.windows(6).any(|part| part == b"secret"));

        let other = sealed(&server, KeyRing::new(1, &[2; 32])).await;
        let without = Replica::start(server.url()).await;
        let rotated = sealed(&server, KeyRing::new(2, &[2; 32]).and_opens(1, &[1; 32])).await;
        assert!(rotated.ask("t", "what is it", "").await.is_hit());
        for replica in [&other, &without] {
            let answer = replica.send(request("t", "/", "what is it"), "anew").await;
            assert_eq!((answer.text.as_str(), replica.counts().broken), ("anew", 1));
            // It does not write over what it is asked next here.
            until(|| replica.cache.in_background() == 0).await;
            let _: () = a.query(redis::cmd("DEL").arg("nothing")).await;
            replica.written().await;
            let _: u64 = a.query(redis::cmd("HSET").arg(a.place().await).arg("value").arg(&raw)).await;
        }
    });
}

#[test]
fn sealed_values_cannot_be_put_in_each_others_place() {
    let server = RedisServer::start();
    run(async {
        let a = sealed(&server, KeyRing::new(1, &[1; 32])).await;
        a.ask("t", "one", "first").await;
        a.ask("t", "two", "second").await;
        a.ask("u", "one", "of another tenant").await;
        a.written().await;
        let places: Vec<String> = a.query(redis::cmd("KEYS").arg("t:cache1-answer:*")).await;
        assert_eq!(places.len(), 3);
        let mut all: Vec<Vec<Vec<u8>>> = Vec::new();
        for place in &places {
            all.push(a.query(redis::cmd("HGETALL").arg(place)).await);
        }
        // Each gets all that its neighbour has, marks included.
        for (place, fields) in places.iter().zip(all.iter().cycle().skip(1)) {
            let mut set = redis::cmd("HSET");
            set.arg(place);
            for field in fields {
                set.arg(field);
            }
            let _: u64 = a.query(&set).await;
        }
        let b = sealed(&server, KeyRing::new(1, &[1; 32])).await;
        for (tenant, text) in [("t", "one"), ("t", "two"), ("u", "one")] {
            assert_eq!(b.ask(tenant, text, "anew").await.text, "anew");
        }
        assert_eq!((b.counts().broken, b.counts().recalled), (3, 0));
    });
}

#[test]
fn two_closures_seal_as_well() {
    let server = RedisServer::start();
    run(async {
        // Not a cipher: it shows the shape alone.
        let seal = |context: &[u8], plain: &[u8]| Some([context, plain].concat());
        let open = |context: &[u8], sealed: &[u8]| Some(sealed.strip_prefix(context)?.to_vec());
        let seal: Arc<dyn Seal> = Arc::new((seal, open));
        let start = || Replica::start_with(server.url(), |layer| layer, |shared| shared.sealed(seal.clone()));
        let (a, b) = (start().await, start().await);
        a.ask("t", "what is it", "an answer").await;
        a.written().await;
        assert_eq!(b.ask("t", "what is it", "").await.text, "an answer");
    });
}
