//! How many instructions a request takes, counted by valgrind: what else the machine does makes no difference to them.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
};

use bench::Child;
use tempfile::TempDir;

use crate::load::{Failure, Load};

/// A server whose instructions are counted.
pub(crate) struct Counted {
    name: &'static str,
    process: Child,
    /// Where valgrind writes what it has counted.
    out: TempDir,
    /// How often it has done so.
    dumps: u32,
}

/// The name of its files.
const OUT: &str = "counted";

// === impl Counted ===

impl Counted {
    /// Starts `program`, which `arguments` tell whom to serve.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &'static str,
        program: impl AsRef<OsStr>,
        arguments: &[A],
    ) -> Result<Self, Failure> {
        let out = tempfile::tempdir()?;
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--quiet"]);
        valgrind.arg(format!("--callgrind-out-file={}", out.path().join(OUT).display()));
        // How threads find work for each other is not the same in two runs.
        valgrind.arg(program.as_ref()).args(arguments).env("TOKIO_WORKER_THREADS", "1");
        let process =
            Child::start(&mut valgrind).map_err(|error| format!("{name} does not run in valgrind: {error}"))?;
        Ok(Self { name, process, out, dumps: 0 })
    }

    /// Returns how many instructions each request of `load` takes, once a few were made.
    pub(crate) async fn count(&mut self, load: Load) -> Result<f64, Failure> {
        load.run(self.process.addr()).await?;
        self.tell("--zero")?;
        let requests = load.run(self.process.addr()).await?.latencies.len();
        self.tell("--dump")?;
        self.dumps += 1;
        let counted = fs::read_to_string(self.out.path().join(format!("{OUT}.{}", self.dumps)))?;
        let total =
            counted.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("valgrind has counted nothing")?;
        Ok(total.trim().parse::<f64>()? / requests as f64)
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&self, word: &str) -> Result<(), Failure> {
        let mut control = Command::new("callgrind_control");
        let told = control.arg(word).arg(self.process.id().to_string()).stdout(Stdio::null()).status()?;
        if told.success() { Ok(()) } else { Err("callgrind_control fails".into()) }
    }
}
