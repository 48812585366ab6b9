//! The server.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, time::Duration};

use axum::serve::ListenerExt as _;
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tower::{make::Shared, service_fn};

use crate::{Config, intake::Intake, stack::Stack};

/// A gateway that listens and has not begun to serve.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    intake: Intake,
    grace: Duration,
}

// === impl Gateway ===

impl Gateway {
    /// Binds the address that `config` names.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be bound.
    pub async fn bind(config: &Config, stack: Stack) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self { listener, intake: Intake::new(config, stack), grace: config.shutdown_grace })
    }

    /// Returns the address it listens on.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not tell.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes. Then takes no new connections, lets open answers finish within the grace period, and
    /// returns.
    ///
    /// # Errors
    ///
    /// Fails if the listener does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and every connection.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let (stopping, stopped) = oneshot::channel::<()>();
        let intake = self.intake.clone();
        // A small write must not wait for the acknowledgement of the one before (Nagle and delayed ACK: 40 ms).
        let listener = self.listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let front = self.intake.front();
        let answer = move |request| {
            let front = front.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        };
        let server = axum::serve(listener, Shared::new(service_fn(answer))).with_graceful_shutdown(async move {
            stop.await;
            intake.drain();
            drop(stopping);
        });
        tokio::select! {
            served = server.into_future() => served,
            () = async { drop(stopped.await); sleep(self.grace).await } => {
                tracing::warn!(grace = ?self.grace, "stopped with answers still open");
                Ok(())
            }
        }
    }
}
