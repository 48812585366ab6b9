use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::builder::check_listen;
use crate::control::{Control, error};

const MAX_BODY: usize = 1 << 20;
const MAX_CONNECTIONS: usize = 64;

/// Serves a [`Control`] on a port of its own, which works whatever the targets do. Dropped, it stops.
#[derive(Debug)]
pub struct ControlServer {
    addr: SocketAddr,
    _server: JoinSet<()>,
}

// === impl ControlServer ===

impl ControlServer {
    /// Starts to serve `control` on a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound, or is not loopback (`PermissionDenied`).
    pub async fn start(addr: SocketAddr, control: Control) -> io::Result<Self> {
        check_listen(addr, false)?;
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn(run(listener, control));
        Ok(Self { addr, _server: server })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

async fn run(listener: TcpListener, control: Control) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let control = control.clone();
                    connections.spawn(async move {
                        let service = service_fn(|request| respond(&control, request));
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn respond(control: &Control, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
    let body = Limited::new(body, MAX_BODY).collect().await;
    Ok(match body {
        Ok(body) => control.respond(&head.method, head.uri.path(), &body.to_bytes()),
        Err(why) if why.is::<http_body_util::LengthLimitError>() => {
            error(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {MAX_BODY} bytes"))
        }
        Err(why) => error(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {why}")),
    })
}
