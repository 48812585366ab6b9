//! Where questions are searched for, whatever Redis there is. With vector sets: `tests/vectors`.

use std::{num::NonZeroUsize, sync::Arc};

use buttress_redis::redis;
use buttress_semantic_cache::{Learn, Meaning, Memo, Search, Seek, Shelf, Sought};
use buttress_testkit::RedisServer;

use super::{bag::*, support::*};

const MOST: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

async fn searching(server: &RedisServer, knows: Arc<dyn Meaning>) -> Replica {
    let set = |layer: Layer| layer.meaning(knows).patience(std::time::Duration::from_secs(5));
    Replica::start_with(server.url(), set, |shared| shared.search_in_redis(MOST)).await
}

#[test]
fn a_redis_without_vector_sets_is_found_out_at_the_start_and_each_searches_its_own_memory() {
    let server = RedisServer::start();
    run(async {
        let (at_a, at_b) = (meaning("1"), meaning("1"));
        let a = searching(&server, at_a).await;
        let can: redis::Value = a.query(redis::cmd("COMMAND").arg("INFO").arg("VCARD")).await;
        let missing = can == redis::Value::Array(vec![redis::Value::Nil]);
        assert_eq!(a.counts().search, if missing { Search::Missing } else { Search::Redis });
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let b = searching(&server, at_b.clone()).await;
        assert_eq!(known(&at_b), usize::from(missing), "it has read the log, if that is where questions are");
        let like = b.ask("t", LIKE, "something else").await;
        assert!(like.is_like() && like.text == "like this", "{:?}", like.outcome);
        assert_eq!(b.counts().searched, u64::from(!missing));
    });
}

#[test]
fn who_may_not_use_vector_sets_searches_its_own_memory() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("default").arg("on").arg("nopass").arg("~*").arg("+@all");
        // What is no command here cannot be forbidden.
        for command in ["VCARD", "VADD", "VSIM", "VREM"] {
            let info: redis::Value = a.query(redis::cmd("COMMAND").arg("INFO").arg(command)).await;
            if info != redis::Value::Array(vec![redis::Value::Nil]) {
                user.arg(format!("-{command}"));
            }
        }
        let _: () = a.query(&user).await;
        let at_b = meaning("1");
        let b = searching(&server, at_b.clone()).await;
        assert_eq!(b.counts().search, Search::Missing);
        b.ask("t", ASKED, "like this").await;
        b.written().await;
        assert_eq!((known(&at_b), b.ask("t", LIKE, "").await.is_like()), (1, true));
    });
}

#[cfg(feature = "seal")]
#[test]
fn who_seals_what_is_written_does_not_send_vectors() {
    let server = RedisServer::start();
    run(async {
        let ring = Arc::new(buttress_semantic_cache::KeyRing::new(1, &[1; 32]));
        let at_a = meaning("1");
        let set = |layer: Layer| layer.meaning(at_a.clone());
        let a = Replica::start_with(server.url(), set, |shared| shared.sealed(ring).search_in_redis(MOST)).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        assert_eq!((a.counts().search, known(&at_a)), (Search::Sealed, 1));
        let vectors: Vec<String> = a.query(redis::cmd("KEYS").arg("t:cache1-vectors:*")).await;
        assert!(vectors.is_empty());
    });
}

/// Finds nothing, and has no neighbours but its own.
struct Alone;

impl Meaning for Alone {
    fn seek(&self, _: &buttress_semantic_cache::Asked) -> Seek {
        Box::pin(std::future::ready(Sought::nothing()))
    }

    fn learn(&self, _: &buttress_semantic_cache::Asked, _: Option<Memo>, _: Shelf) -> Learn {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn a_meaning_that_cannot_search_elsewhere_is_not_asked_to() {
    let server = RedisServer::start();
    run(async {
        let a = searching(&server, Arc::new(Alone)).await;
        assert!(matches!(a.counts().search, Search::Unable | Search::Missing));
        let unset = Replica::start(server.url()).await;
        assert_eq!(unset.counts().search, Search::Here);
    });
}
