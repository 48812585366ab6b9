//! Buttress layers around a service that has no HTTP in it: three replicas of a key-value store, two of them in trouble.
//!
//! `cargo run -p non-llm`

use std::num::NonZeroU32;

use buttress_core::{ByClone, Class, Outcome, Refusal, Rewritten, Target, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

/// What the store is asked, and of which replica.
#[derive(Clone, Debug)]
struct Get {
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
    let service = ServiceBuilder::new().layer(retry).layer(failover).service(service_fn(store));

    let colour = service.clone().oneshot(Get { key: "colour", replica: None }).await;
    println!("colour: {colour:?}");
    assert_eq!(colour, Ok("green, says c".to_owned()));

    let shape = service.oneshot(Get { key: "shape", replica: None }).await;
    println!("shape: {shape:?}");
    assert_eq!(shape, Err(StoreError::NoSuchKey), "an error that is the caller's own comes straight back");
    Ok(())
}
