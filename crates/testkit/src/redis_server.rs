//! A Redis server of the test's own.

use std::{
    env, fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// A Redis server in a process of its own, empty, which keeps nothing on disk. Dropped, it is killed.
///
/// The program is `$BUTTRESS_REDIS_SERVER`, or else `redis-server`, or else `valkey-server`.
#[derive(Debug)]
pub struct RedisServer {
    dir: PathBuf,
    args: Vec<String>,
    port: Option<u16>,
    sentinel: bool,
    child: Option<Child>,
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

// === impl RedisServer ===

impl RedisServer {
    /// Starts a server that listens on a socket in a directory of its own.
    ///
    /// # Panics
    ///
    /// Panics, and says what to install, if there is no Redis; and if it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments, as `["--requirepass", "secret"]`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let mut server = Self::of(args, None);
        server.restart();
        server
    }

    /// Starts a server that listens on a free loopback port too.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_on_port(args: &[&str]) -> Self {
        let mut server = Self::of(args, Some(free_port()));
        server.restart();
        server
    }

    /// Starts a sentinel on a free loopback port, which watches nothing yet.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_sentinel() -> Self {
        let mut server = Self::of(&[], Some(free_port()));
        server.sentinel = true;
        server.restart();
        server
    }

    /// Returns the URL of the server's socket.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Returns the path of the server's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// Returns the server's own directory, which is removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the port of a server that was started on one.
    ///
    /// # Panics
    ///
    /// Panics if it was not.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.expect("the server was started on a port")
    }

    /// Sends a command of simple words, past every client, and returns the raw answer.
    ///
    /// # Panics
    ///
    /// Panics if the server does not answer.
    #[must_use]
    pub fn tell(&self, words: &[&str]) -> String {
        self.try_tell(words).expect("the server answers")
    }

    /// Kills the server and waits for its end.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server is a child of this process");
            child.wait().expect("the server is a child of this process");
        }
        // Else nobody could tell a killed server from one that hangs.
        drop(fs::remove_file(self.socket()));
    }

    /// Kills the server and starts it anew, empty: data and scripts are forgotten.
    ///
    /// # Panics
    ///
    /// Panics if it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.child = Some(self.spawn());
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if self.try_tell(&["PING"]).is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
            {
                return;
            }
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(exited.is_none(), "the redis server ended at once ({exited:?}); see its log:\n{}", self.log());
            thread::sleep(PAUSE);
        }
        panic!("the redis server did not start within {PATIENCE:?}; see its log:\n{}", self.log());
    }

    /// Freezes the server: the kernel still takes connections and data for it, and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn of(args: &[&str], port: Option<u16>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("buttress-redis-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("the directory for temporary files can be written");
        Self { dir, args: args.iter().map(|&arg| arg.to_owned()).collect(), port, sentinel: false, child: None }
    }

    fn spawn(&self) -> Child {
        let named = env::var_os("BUTTRESS_REDIS_SERVER");
        let programs = named.map_or_else(|| vec!["redis-server".into(), "valkey-server".into()], |name| vec![name]);
        let missing = "these tests need a Redis server: install one (Debian: `apt-get install redis-server`), or name one \
                       in `BUTTRESS_REDIS_SERVER`; `cargo xtask test` installs it where it can";
        for program in programs {
            let mut command = Command::new(program);
            command.args(self.command_line());
            match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
                Ok(child) => return child,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => panic!("the redis server does not start: {error}"),
            }
        }
        panic!("{missing}");
    }

    fn command_line(&self) -> Vec<String> {
        let port = self.port.unwrap_or(0).to_string();
        let (dir, socket) = (self.dir.display().to_string(), self.socket().display().to_string());
        let log = self.dir.join("log").display().to_string();
        let words = ["--port", &port, "--bind", "127.0.0.1", "--dir", &dir, "--unixsocket", &socket, "--logfile", &log];
        let words = words.map(str::to_owned);
        if self.sentinel {
            // It keeps what it finds out in its configuration.
            let file = self.dir.join("sentinel.conf");
            fs::write(&file, "").expect("the server's directory can be written");
            let first = [file.display().to_string(), "--sentinel".to_owned()];
            return first.into_iter().chain(words).collect();
        }
        let data = ["--save", "", "--appendonly", "no", "--daemonize", "no"].map(str::to_owned);
        words.into_iter().chain(data).chain(self.args.iter().cloned()).collect()
    }

    fn try_tell(&self, words: &[&str]) -> std::io::Result<String> {
        let mut line = words.join(" ");
        line.push_str("\r\n");
        let mut answer = [0; 4096];
        let length = if let Some(port) = self.port {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(line.as_bytes())?;
            stream.read(&mut answer)?
        } else {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(line.as_bytes())?;
            stream.read(&mut answer)?
        };
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("the server runs").id().to_string();
        let status = Command::new("kill").args([format!("-{name}"), pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "the server could not be sent SIG{name}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A frozen process can be killed too.
            drop(child.kill());
            drop(child.wait());
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    listener.local_addr().expect("a bound listener has an address").port()
}
