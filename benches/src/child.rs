//! Processes that end with whoever started them.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    process::{self, Command, Stdio},
    time::Duration,
};

/// A server in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    addr: SocketAddr,
}

/// How often the kernel's clock of CPU time ticks in a second: a constant of Linux' interface, whatever the kernel's own.
const TICKS: u64 = 100;

// === impl Child ===

impl Child {
    /// Starts `command`, and waits until it says on a line of its standard output where it listens.
    ///
    /// # Errors
    ///
    /// Fails if it does not start, or begins with another line.
    ///
    /// # Panics
    ///
    /// Never: its standard output is piped.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut child = Self { process, addr: unknown };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on http://").and_then(|addr| addr.parse().ok());
        child.addr = addr.ok_or_else(|| io::Error::other(format!("a server began with `{}`", line.trim())))?;
        Ok(child)
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns how much CPU time it has used, with all its threads, if the kernel tells.
    #[must_use]
    pub fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // The name of the program, in brackets, may hold anything. Fields 14 and 15 are the times in user and kernel mode.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
        Some(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// Returns how many bytes of memory it holds, if the kernel tells.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
