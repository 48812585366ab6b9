//! Making a connection.

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use tokio::time::timeout;

use crate::{
    config::{Checked, Topology},
    limits::Limits,
    script::Invocation,
    status::AwayReason,
};

/// One connection for all callers. Clones are handles of it.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

/// What is sent over a connection.
#[derive(Clone, Copy)]
pub(crate) enum Work<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
    Script(&'a Invocation),
}

/// Makes connections, one after the other.
pub(crate) struct Connector {
    topology: Topology,
    info: RedisConnectionInfo,
    #[cfg(feature = "tls")]
    tls: Option<redis::TlsCertificates>,
    limits: Limits,
    /// The sentinel to ask first: the one that was right the last time.
    sentinel: usize,
}

/// The most commands that wait to be written. Callers beyond it wait for a place, within their time.
const MAX_BUFFER: usize = 1024;

// === impl Connector ===

impl Connector {
    pub(crate) fn new(checked: Checked) -> Self {
        Self {
            topology: checked.topology,
            info: checked.info,
            #[cfg(feature = "tls")]
            tls: checked.tls,
            limits: checked.limits,
            sentinel: 0,
        }
    }

    /// Makes a connection, and sees that its server answers in time.
    pub(crate) async fn connect(&mut self) -> Result<Connection, AwayReason> {
        let mut connection = match &self.topology {
            Topology::Single(addr) => Connection::Single(self.single(addr.clone(), &self.info).await?),
            Topology::Sentinel { .. } => Connection::Single(self.primary().await?),
            #[cfg(feature = "cluster")]
            Topology::Cluster(nodes) => Connection::Cluster(self.cluster(nodes).await?),
        };
        ping(&mut connection, &self.limits).await?;
        Ok(connection)
    }

    /// Connects to one server, within the bound.
    async fn single(
        &self,
        addr: ConnectionAddr,
        info: &RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, AwayReason> {
        let client = self.client(addr, info.clone()).map_err(|error| connecting(&error))?;
        // The bounds are set here, once for all that belongs to a call.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(self.limits.max_in_flight.get().min(MAX_BUFFER));
        match timeout(self.limits.connect_timeout, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connection) => connection.map_err(|error| connecting(&error)),
            Err(_) => Err(AwayReason::TimedOut),
        }
    }

    fn client(&self, addr: ConnectionAddr, info: RedisConnectionInfo) -> RedisResult<Client> {
        let info = addr.into_connection_info()?.set_redis_settings(info);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        #[cfg(feature = "tls")]
        if let (ConnectionAddr::TcpTls { .. }, Some(tls)) = (info.addr(), &self.tls) {
            return Client::build_with_tls(info, tls.clone());
        }
        Client::open(info)
    }

    /// Asks each sentinel in turn, and connects to the first primary that says itself that it is one.
    async fn primary(&mut self) -> Result<MultiplexedConnection, AwayReason> {
        let Topology::Sentinel { sentinels, primary, tls } = &self.topology else {
            return Err(AwayReason::NotPrimary);
        };
        let mut reason = AwayReason::NotPrimary;
        for at in (0..sentinels.len()).map(|step| (self.sentinel + step) % sentinels.len()) {
            match self.primary_by(&sentinels[at], primary, *tls).await {
                Ok(connection) => {
                    self.sentinel = at;
                    return Ok(connection);
                }
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    async fn primary_by(
        &self,
        (sentinel, info): &(ConnectionAddr, RedisConnectionInfo),
        primary: &str,
        tls: bool,
    ) -> Result<MultiplexedConnection, AwayReason> {
        let mut sentinel = self.single(sentinel.clone(), info).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
        let Some((host, port)) = self.ask::<Option<(String, u16)>>(&mut sentinel, &ask).await? else {
            return Err(AwayReason::NotPrimary);
        };
        let addr = if tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut connection = self.single(addr, &self.info).await?;
        // A primary that was deposed a moment ago may still be named.
        let role: Value = self.ask(&mut connection, &redis::cmd("ROLE")).await?;
        match role {
            Value::Array(words) if matches!(words.first(), Some(Value::BulkString(word)) if word == b"master") => {
                Ok(connection)
            }
            _ => Err(AwayReason::NotPrimary),
        }
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        cmd: &Cmd,
    ) -> Result<T, AwayReason> {
        match timeout(self.limits.connect_timeout, cmd.query_async(connection)).await {
            Ok(answer) => answer.map_err(|error| connecting(&error)),
            Err(_) => Err(AwayReason::TimedOut),
        }
    }

    #[cfg(feature = "cluster")]
    async fn cluster(&self, nodes: &[ConnectionAddr]) -> Result<redis::cluster_async::ClusterConnection, AwayReason> {
        let nodes =
            nodes.iter().map(|addr| Ok(addr.clone().into_connection_info()?.set_redis_settings(self.info.clone())));
        let nodes: Vec<_> = nodes.collect::<RedisResult<_>>().map_err(|error| connecting(&error))?;
        let mut builder = redis::cluster::ClusterClientBuilder::new(nodes)
            .connection_timeout(self.limits.connect_timeout)
            .response_timeout(self.limits.command_timeout)
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            builder = builder.certs(tls.clone());
        }
        // A command that is told to go elsewhere goes there, within the caller's time.
        builder = builder.retries(2).min_retry_wait(1).max_retry_wait(10);
        let client = builder.build().map_err(|error| connecting(&error))?;
        match timeout(self.limits.connect_timeout, client.get_async_connection()).await {
            Ok(connection) => connection.map_err(|error| connecting(&error)),
            Err(_) => Err(AwayReason::TimedOut),
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Does the work. `load` hears that a script had to be sent in full.
    pub(crate) async fn run(&mut self, work: Work<'_>, load: impl FnOnce()) -> RedisResult<Value> {
        match work {
            Work::One(cmd) => self.send(cmd).await,
            Work::Many(pipeline) => match self {
                Self::Single(connection) => pipeline.query_async(connection).await,
                #[cfg(feature = "cluster")]
                Self::Cluster(connection) => pipeline.query_async(connection).await,
            },
            Work::Script(call) => match self.send(call.by_sha()).await {
                // It has not run, so it may be sent again; a second refusal is final.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    load();
                    self.send(&call.in_full()).await
                }
                answer => answer,
            },
        }
    }

    async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.send_packed_command(cmd).await?.extract_error(),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => cmd.query_async(connection).await,
        }
    }
}

/// Sees that Redis answers within the time of a call.
pub(crate) async fn ping(connection: &mut Connection, limits: &Limits) -> Result<(), AwayReason> {
    match timeout(limits.command_timeout, connection.send(&redis::cmd("PING"))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(not_serving(&error).unwrap_or(AwayReason::NotReady)),
        Err(_) => Err(AwayReason::TimedOut),
    }
}

/// Why a connection cannot be made.
fn connecting(error: &RedisError) -> AwayReason {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => AwayReason::TimedOut,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => AwayReason::Broken,
        _ => not_serving(error).filter(|&reason| reason != AwayReason::Broken).unwrap_or(AwayReason::Unreachable),
    }
}

/// Why Redis does not serve, if `error` means that: nobody's command would succeed now on this connection.
pub(crate) fn not_serving(error: &RedisError) -> Option<AwayReason> {
    match error.kind() {
        ErrorKind::AuthenticationFailed => Some(AwayReason::Credentials),
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => Some(AwayReason::Broken),
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::ClusterDown) => Some(AwayReason::NotReady),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Some(AwayReason::NotPrimary),
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => Some(AwayReason::Credentials),
            Some("BUSY") => Some(AwayReason::NotReady),
            _ => None,
        },
    }
}
