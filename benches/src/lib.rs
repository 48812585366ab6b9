//! What the gateway is measured with: a server that does nothing of its own, for the upstream and the bare proxy, and
//! processes that end with the bench.

mod child;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io::{self, Read as _},
};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, rt::Executor as _, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

pub use self::child::Child;

/// Serves `answer` on a free loopback port, and says which on standard output, until standard input ends: so a server does
/// not outlive the bench that started it.
///
/// # Errors
///
/// Fails if no port can be had, or connections cannot be accepted.
pub async fn serve<F, B>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> io::Result<()>
where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::thread::spawn(|| {
        // An error ends it too.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        // A connection that breaks is the client's affair: it counts its failures.
        TokioExecutor::new().execute(async { drop(serving.await) });
    }
}
