//! Buttress layers around a service that has no HTTP in it: three replicas of a key-value store, two of them in trouble,
//! and no reader may ask too often.
//!
//! `cargo run -p non-llm`

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{ByClone, Class, Outcome, Refusal, RefusalKind, Rewritten, Target, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_token_bucket::{ByFn, Dimension, Limit, TokenBucketLayer};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

/// What the store is asked, by whom, and of which replica.
#[derive(Clone, Debug)]
struct Get {
    reader: &'static str,
    key: &'static str,
    replica: Option<Target>,
}

#[derive(Debug, PartialEq)]
enum StoreError {
    Down,
    NoSuchKey,
    Refused(Refusal),
}

async fn store(get: Get) -> Result<String, StoreError> {
    let replica = get.replica.expect("failover names a replica");
    match (replica.name().as_str(), get.key) {
        ("a" | "b", _) => Err(StoreError::Down),
        (name, "colour") => Ok(format!("green, says {name}")),
        _ => Err(StoreError::NoSuchKey),
    }
}

/// What a result says about the replica it came from: all that the layers need to know.
fn classify(result: Result<&String, &StoreError>) -> Class {
    match result {
        Ok(_) => Class::SUCCESS,
        Err(StoreError::NoSuchKey) => Class::new(Verdict::CallerFault, Outcome::Word("no-such-key")),
        Err(_) => Class::new(Verdict::Transient, Outcome::Word("down")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replicas = [Target::named("a")?, Target::named("b")?, Target::named("c")?];
    let failover = RegionFailoverLayer::try_new(replicas)?
        .replay(ByClone)
        .rewrite(|get: Get, replica: &Target| Ok(Rewritten::new(Get { replica: Some(replica.clone()), ..get })))
        .classify(classify)
        .on_refusal(|refusal| Err(StoreError::Refused(refusal)));
    let retry = RetryLayer::new().replay(ByClone).classify(classify).attempts(NonZeroU32::MIN.saturating_add(1));
    // Outside of retry, so that a call is counted once.
    let limits = TokenBucketLayer::new(Limit::try_new("reads", Dimension::REQUESTS, 2, Duration::from_secs(60))?)
        .keyed(ByFn(|get: &Get| get.reader))
        .plain(|refusal| Err(StoreError::Refused(refusal)));
    let service = ServiceBuilder::new().layer(limits).layer(retry).layer(failover).service(service_fn(store));

    let ask = |reader, key| service.clone().oneshot(Get { reader, key, replica: None });
    let colour = ask("alice", "colour").await;
    println!("colour: {colour:?}");
    assert_eq!(colour, Ok("green, says c".to_owned()));

    let shape = ask("alice", "shape").await;
    println!("shape: {shape:?}");
    assert_eq!(shape, Err(StoreError::NoSuchKey), "an error that is the caller's own comes straight back");

    let Err(StoreError::Refused(refusal)) = ask("alice", "colour").await else { return Err("two are enough".into()) };
    println!("again: {refusal}, come back in {:?}", refusal.retry_after());
    assert_eq!(refusal.kind(), RefusalKind::RateLimited);
    assert!(ask("bob", "colour").await.is_ok(), "what one reader has used up, another has not");
    Ok(())
}
