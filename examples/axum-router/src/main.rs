//! Buttress layers on an axum router, in front of two replicas of an ordinary HTTP service. No error handler is needed:
//! the layers answer what fails, and who asks too often.
//!
//! `cargo run -p axum-router`

use std::time::Duration;

use axum::{Router, body::Body as AxumBody, routing::get};
use buttress_core::{Answering, Body, Client, HttpReplay, HttpReplayed, Label, Refusal, ReplayBody, Rewritten, Target};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_served_by::ServedByLayer;
use buttress_token_bucket::{ByHeader, Dimension, Limit, TokenBucketLayer};
use http::{HeaderName, Request, Response, StatusCode};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt as _, layer::layer_fn};

type Outbound = Request<ReplayBody<AxumBody>>;

/// Sends a request to the replica whose address is its target's region.
fn aim(mut request: Outbound, replica: &Target) -> Result<Rewritten<Outbound>, Refusal> {
    let address = replica.region().map_or("", Label::as_str);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{address}{path}").parse().expect("an address and a path make an address");
    Ok(Rewritten::new(request))
}

/// Starts a replica and returns it as a target.
async fn replica(name: &str, app: Router) -> Result<Target, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    #[expect(clippy::disallowed_methods, reason = "a server that runs as long as the program does")]
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(Target::named(name)?.with_region(Label::try_new(&address)?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broken = Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE);
    let healthy = Router::new().route("/time", get(async || "noon"));
    let replicas = [replica("one", broken).await?, replica("two", healthy).await?];

    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<ReplayBody<AxumBody>>();
    let upstream = ServiceBuilder::new()
        .map_response(|response: Response<Body>| response.map(AxumBody::new))
        .layer(layer_fn(Answering::new))
        .layer(RetryLayer::new().replay(HttpReplay::new(1024 * 1024)))
        .layer(RegionFailoverLayer::try_new(replicas)?.replay(HttpReplayed).rewrite(aim))
        .service(Client::new(client));
    // Made once: however often axum makes a service of it, each tenant has one bucket.
    let three_a_minute = Limit::try_new("requests", Dimension::REQUESTS, 3, Duration::from_secs(60))?;
    let limits = TokenBucketLayer::new(three_a_minute).keyed(ByHeader::new(HeaderName::from_static("x-tenant")));
    let app = Router::new()
        .route("/health", get(async || "alive"))
        .fallback_service(upstream)
        .layer(ServedByLayer::new())
        .layer(limits);

    for (tenant, path, status, served_by) in [
        ("a", "/time", 200, Some("two")),
        ("a", "/nothing", 404, Some("two")),
        ("a", "/health", 200, None),
        ("a", "/time", 429, None),
        ("b", "/time", 200, Some("two")),
    ] {
        let request = Request::get(path).header("x-tenant", tenant).body(AxumBody::empty())?;
        let response = app.clone().oneshot(request).await?;
        let header = |name| response.headers().get(name).map(|value| value.to_str().expect("headers here are text"));
        println!(
            "{tenant} {path}: {}, by {:?}, {:?}, again after {:?} s",
            response.status(),
            header("x-served-by"),
            header("x-attempt-trail"),
            header("retry-after")
        );
        assert_eq!((response.status().as_u16(), header("x-served-by")), (status, served_by));
        assert_eq!(header("retry-after").is_some(), status == 429);
    }
    Ok(())
}
