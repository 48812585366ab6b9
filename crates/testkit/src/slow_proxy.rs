//! A Redis server that is slow.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    task::JoinSet,
    time::sleep,
};

/// Stands before a server's socket on a port of loopback, and lets answers through late. Dropped, it closes its connections.
#[derive(Debug)]
pub struct SlowProxy {
    delay_ms: Arc<AtomicU64>,
    port: u16,
    _connections: JoinSet<()>,
}

// === impl SlowProxy ===

impl SlowProxy {
    /// Starts one that delays nothing yet.
    ///
    /// # Panics
    ///
    /// Panics if no loopback port is free.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let delay = delay_ms.clone();
        connections.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (delay, socket) = (delay.clone(), socket.clone());
                served.spawn(async move {
                    let Ok(server) = UnixStream::connect(socket).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let up = tokio::io::copy(&mut from_client, &mut to_server);
                    let down = async {
                        let mut buffer = vec![0; 64 * 1024];
                        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                            sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
                            if to_client.write_all(&buffer[..length]).await.is_err() {
                                return;
                            }
                        }
                    };
                    tokio::select! { _ = up => {}, () = down => {} }
                });
            }
        });
        Self { delay_ms, port, _connections: connections }
    }

    /// Returns where it is, as a URL of Redis.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sets how much later each answer comes.
    ///
    /// # Panics
    ///
    /// Panics if that is more than milliseconds can be counted in 64 bits.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).expect("a short time"), Ordering::Relaxed);
    }
}
