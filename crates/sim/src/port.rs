//! The listening port of a target, which can refuse connections for real.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::sleep;

const BACKLOG: i32 = 1024;
/// How soon a failed attempt to accept or to listen again is repeated.
const RETRY: Duration = Duration::from_millis(50);

/// A port that stays ours while it refuses. Refusing closes the listening socket, so that the kernel itself answers a
/// connection attempt with a reset; a second socket, bound and never listening, keeps the port from being taken.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    runtime: Handle,
    _reservation: Option<Socket>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    listener: Option<TcpListener>,
    /// Whether there should be a listener; the two differ only while listening again fails.
    open: bool,
}

// === impl Port ===

impl Port {
    /// Binds and listens.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub(crate) fn listen(addr: SocketAddr) -> io::Result<Self> {
        if addr.port() != 0 {
            // Shared binding would hide a port that someone else listens on, so that is asked first, unshared.
            let probe = stream_socket(addr)?;
            probe.set_reuse_address(true)?;
            probe.bind(&addr.into())?;
        }
        let (addr, reservation) = reserve(addr)?;
        let listener = listen(addr)?;
        let addr = listener.local_addr()?;
        Ok(Self {
            addr,
            runtime: Handle::current(),
            _reservation: reservation,
            state: Mutex::new(State { listener: Some(listener), open: true }),
            changed: Notify::new(),
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listening socket: from here on connections are refused.
    pub(crate) fn refuse(&self) {
        let mut state = self.lock();
        state.open = false;
        state.listener = None;
    }

    /// Listens again. When that fails, `accept` keeps trying.
    pub(crate) fn open(&self) {
        self.lock().open = true;
        self.listen_again();
        self.changed.notify_one();
    }

    /// Waits for the next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> TcpStream {
        loop {
            while self.is_broken() {
                sleep(RETRY).await;
                self.listen_again();
            }
            let accepted = tokio::select! {
                biased;
                () = self.changed.notified() => continue,
                accepted = poll_fn(|cx| self.poll_accept(cx)) => accepted,
            };
            match accepted {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::warn!(addr = %self.addr, %error, "cannot accept");
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn listen_again(&self) {
        let mut state = self.lock();
        if state.open && state.listener.is_none() {
            let _entered = self.runtime.enter();
            state.listener = listen(self.addr)
                .inspect_err(|error| tracing::warn!(addr = %self.addr, %error, "cannot listen again yet"))
                .ok();
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        // The lock is held for one poll only, so that `refuse` can close the listener at any moment.
        match &self.lock().listener {
            Some(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            None => Poll::Pending,
        }
    }

    fn is_broken(&self) -> bool {
        let state = self.lock();
        state.open && state.listener.is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stream_socket(addr: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
}

/// Binds `addr` beside our other sockets there. With `reuse`, also over what is left of closed connections of others.
fn shared_socket(addr: SocketAddr, reuse: bool) -> io::Result<Socket> {
    let socket = stream_socket(addr)?;
    #[cfg(unix)]
    {
        socket.set_reuse_address(reuse)?;
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Binds `addr` for good and tells the port that was chosen. Without shared ports there is nothing to reserve with.
fn reserve(addr: SocketAddr) -> io::Result<(SocketAddr, Option<Socket>)> {
    if !cfg!(unix) {
        return Ok((addr, None));
    }
    // A reservation that permits reuse would yield to any listener that asks for it, so that is the second choice.
    let socket = shared_socket(addr, false).or_else(|_| shared_socket(addr, true))?;
    let bound = socket.local_addr()?.as_socket();
    Ok((bound.unwrap_or(addr), Some(socket)))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = shared_socket(addr, true)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
