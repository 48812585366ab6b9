//! The least that a reverse proxy can do with hyper: `bare-proxy <address of the upstream>`.

use std::{env, error::Error};

use http::{Request, Response, Uri, uri::Authority};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream: Authority = env::args().nth(1).ok_or("the address of the upstream must be given")?.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    bench::serve(move |request| forward(client.clone(), upstream.clone(), request)).await?;
    Ok(())
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Response<Incoming> {
    let path = request.uri().path_and_query().cloned().expect("a request to a server has a path");
    let uri = Uri::builder().scheme("http").authority(upstream).path_and_query(path).build();
    *request.uri_mut() = uri.expect("scheme, authority and path make an address");
    client.request(request).await.expect("the upstream of this bench answers")
}
