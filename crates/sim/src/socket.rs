//! The server's end of a connection, which can be cut on purpose.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

/// The order to end a connection, given by an answer and carried out by the connection's [`Socket`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<AtomicU8>);

/// A TCP stream that fails its first flush after it was ordered cut. Everything written before has left by then: the
/// server flushes its own buffer into the stream first.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: TcpStream,
    cut: Cut,
}

// === impl Cut ===

impl Cut {
    /// Ends the connection with FIN, in the middle of the answer.
    pub(crate) fn close(&self) {
        self.0.store(CLOSE, Ordering::Release);
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }
}

// === impl Socket ===

impl Socket {
    pub(crate) fn new(inner: TcpStream) -> (Self, Cut) {
        let cut = Cut::default();
        (Self { inner, cut: cut.clone() }, cut)
    }

    fn ordered(&self) -> io::Result<()> {
        let order = self.cut.0.load(Ordering::Acquire);
        if order == OPEN {
            return Ok(());
        }
        if order == RESET {
            // Closing with a zero linger sends RST instead of FIN.
            SockRef::from(&self.inner).set_linger(Some(Duration::ZERO))?;
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ordered()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
