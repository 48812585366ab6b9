//! Processes that end with the test that started them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A process that serves, and says where.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    url: String,
}

// === impl Process ===

impl Process {
    /// Starts a simulated region.
    pub(crate) fn region(name: &str, first_token_millis: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_region"));
        Self::start(command.args([name, "--first-token", &first_token_millis.to_string()]), "region at ")
    }

    /// Starts a gateway with this configuration.
    pub(crate) fn gateway(config: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("buttress-outages-{}-{}.toml", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let file = env::temp_dir().join(name);
        fs::write(&file, config).expect("a temporary file can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        let gateway = Self::start(command.arg("--config").arg(&file).env("RUST_LOG", "error"), "listening on ");
        // It has read the file when it says where it listens.
        fs::remove_file(file).expect("it is there");
        gateway
    }

    fn start(command: &mut Command, before_url: &str) -> Self {
        // A region ends with its standard input, which ends with this process, however that ends.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let url = lines.find_map(|line| Some(line.expect("it is text").split_once(before_url)?.1.trim().to_owned()));
        Self { url: url.expect("it says where it listens"), child }
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&self, line: &str) {
        let mut input = self.child.stdin.as_ref().expect("it is a pipe");
        writeln!(input, "{line}").expect("it reads");
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a signal: `-STOP`, `-CONT`, `-KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill is there").success(), "{signal}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
