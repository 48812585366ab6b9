//! Settings that are refused, and what a call costs in size.

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
};

use buttress_core::{Payload, Target};
use buttress_region_failover::RegionFailoverLayer;
use http::{Request, Response};
use tower::{Layer as _, Service as _, service_fn};

use super::{failover, get, target};

#[test]
fn a_list_without_a_target_is_refused() {
    let error = RegionFailoverLayer::try_new(Vec::<Target>::new()).unwrap_err();
    assert_eq!(error.to_string(), "the list of targets is empty, at least one is needed");
    assert!(error.source().is_none());
}

#[test]
fn a_name_that_is_used_twice_is_refused() {
    let error = RegionFailoverLayer::try_new(["east", "west", "east", "west"].map(target)).unwrap_err();
    assert_eq!(error.to_string(), "two targets are named `east`, each name may be used once");
}

#[test]
fn a_settings_error_goes_where_errors_go() {
    fn keeps(_: impl Error + Clone + Send + Sync + 'static) {}
    keeps(RegionFailoverLayer::try_new([]).unwrap_err());
}

#[tokio::test]
async fn the_future_is_small() {
    let upstream = service_fn(|_: Request<Payload>| -> Ready<Result<Response<Payload>, Infallible>> {
        ready(Ok(Response::default()))
    });
    let call = failover("east west").layer(upstream).call(get());
    let inner = size_of::<Ready<Result<Response<Payload>, Infallible>>>();
    let own = size_of_val(&call) - inner.max(size_of::<Request<Payload>>()) - size_of::<Request<Payload>>();
    // Alone it takes 352; features that others of the workspace turn on add eight.
    assert!(own <= 360, "beside the inner future and the request that is kept: {own} bytes");
}
