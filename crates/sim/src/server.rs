//! Serves a target: accepts its connections and answers their requests.

use std::future::pending;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::answer::Ask;
use crate::body::SimBody;
use crate::fault::Fault;
use crate::route::Route;
use crate::socket::{Cut, Socket};
use crate::target::Target;
use crate::wire::error::ApiError;

/// The most connections a target serves at once; more wait in the backlog.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// The largest request body that is read.
pub(crate) const MAX_BODY: usize = 32 << 20;

/// Accepts until it is dropped, and its connections with it.
pub(crate) async fn run(target: Arc<Target>) {
    let mut cuts = target.counters.watch_cuts();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = cuts.changed() => connections.abort_all(),
            Some(_) = connections.join_next() => {}
            stream = target.port.accept(), if connections.len() < MAX_CONNECTIONS => {
                target.counters.count(|stats| stats.connections += 1);
                connections.spawn(connection(Arc::clone(&target), stream));
            }
        }
    }
}

async fn connection(target: Arc<Target>, stream: TcpStream) {
    // Events are small: without this they would wait for each other.
    let _ = stream.set_nodelay(true);
    let (socket, cut) = Socket::new(stream);
    let service = service_fn(|request| respond(Arc::clone(&target), cut.clone(), request));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(target = %target.name, %error, "connection ended");
    }
}

/// Answers one request. The server drops this future when the client goes away, and the guard inside counts that.
async fn respond(target: Arc<Target>, cut: Cut, request: Request<Incoming>) -> hyper::Result<Response<SimBody>> {
    let mut guard = target.counters.begin();
    let mut ticket = target.ticket();
    let (head, body) = request.into_parts();
    let route = Route::of(ticket.profile, head.uri.path());
    guard.counters().count(|stats| route.endpoint.count(&mut stats.operations));
    let body = read(body).await?;
    let fault = ticket.fault.as_deref();
    if fault.is_some() {
        guard.counters().count(|stats| stats.faults += 1);
    }
    match fault {
        Some(Fault::Hang) => return pending().await,
        Some(Fault::Reset) => {
            guard.abort();
            cut.reset();
            return pending().await;
        }
        _ => {}
    }
    let ask = Ask {
        config: &target.config,
        route,
        head: &head,
        body: body.as_deref().map_err(Clone::clone),
        created: target.created(),
        fault,
    };
    let mut admit = |tokens| {
        let admitted = target.admit(tokens);
        if admitted.is_err() {
            target.counters.count(|stats| stats.limited += 1);
        }
        admitted
    };
    let mut plan = ask.answer(&mut ticket.seeded, &mut admit);
    plan.fit(&head.method);
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    if plan.body.is_stream() {
        guard.stream();
    }
    let mut response = Response::new(SimBody::new(plan.body, plan.ending, cut, guard, Instant::now()));
    *response.status_mut() = plan.status;
    *response.headers_mut() = plan.headers;
    Ok(response)
}

/// Reads the body up to [`MAX_BODY`]; one that is larger, or says so, is refused unread.
async fn read(mut body: Incoming) -> hyper::Result<Result<Vec<u8>, ApiError>> {
    let announced = body.size_hint().lower() as usize;
    if announced > MAX_BODY {
        return Ok(Err(too_large()));
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > MAX_BODY {
                return Ok(Err(too_large()));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Ok(bytes))
}

fn too_large() -> ApiError {
    let message = format!("Request body is larger than the maximum of {MAX_BODY} bytes.");
    ApiError::new(http::StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
}
