//! A table of all turns.

use std::{fmt, time::Duration};

use crate::load::Outcome;

/// All turns of one contender.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    latencies: Vec<Duration>,
    time: Duration,
    cpu: Option<Duration>,
}

/// A table. The first contender is no proxy, the second the bare one.
pub(crate) struct Report<'a>(pub(crate) &'a [Tally]);

/// One line of the table, or what it is compared with.
#[derive(Clone, Copy, Debug)]
struct Figures {
    per_second: f64,
    /// In microseconds.
    p50: f64,
    p99: f64,
    cpu: Option<f64>,
}

// === impl Tally ===

impl Tally {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, latencies: Vec::new(), time: Duration::ZERO, cpu: None }
    }

    pub(crate) fn add(&mut self, mut outcome: Outcome, cpu: Option<Duration>) {
        self.latencies.append(&mut outcome.latencies);
        self.time += outcome.time;
        self.cpu = cpu.map(|cpu| self.cpu.unwrap_or_default() + cpu);
    }

    fn figures(&self) -> Figures {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let requests = sorted.len() as f64;
        let part = |part: f64| {
            let at = (requests * part) as usize;
            sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |latency| micros(*latency))
        };
        Figures {
            per_second: requests / self.time.as_secs_f64(),
            p50: part(0.5),
            p99: part(0.99),
            cpu: self.cpu.map(|cpu| micros(cpu) / requests),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

// === impl Report ===

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Tally::figures).collect();
        let [direct, bare, ..] = &*all else { return Ok(()) };
        let header = "req/s  ratio |  p50 us   added   p99 us   added  ratio | CPU us/req  ratio";
        writeln!(f, "{:34} {header}", "")?;
        for (tally, figures) in self.0.iter().zip(&all) {
            write!(f, "{:34}", tally.name)?;
            figures.line(f, *direct, *bare)?;
        }
        Ok(())
    }
}

impl Figures {
    /// Ratios are to the bare proxy; what is added is over no proxy, and its ratio to what the bare one adds.
    fn line(self, f: &mut fmt::Formatter<'_>, direct: Self, bare: Self) -> fmt::Result {
        let Self { per_second, p50, p99, cpu } = self;
        let (added_50, added_99) = (p50 - direct.p50, p99 - direct.p99);
        let (ratio, ratio_99) = (per_second / bare.per_second, added_99 / (bare.p99 - direct.p99));
        write!(
            f,
            " {per_second:6.0} {ratio:5.2}x | {p50:7.0} {added_50:+7.0} {p99:8.0} {added_99:+7.0} {ratio_99:5.2}x |"
        )?;
        match cpu.zip(bare.cpu) {
            Some((cpu, bare)) => writeln!(f, " {cpu:10.1} {:5.2}x", cpu / bare),
            None => writeln!(f, " {:>10} {:>6}", "-", "-"),
        }
    }
}
