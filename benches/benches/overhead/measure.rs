//! Groups of services that are called with the same request, and what a call costs.
//!
//! Each future is polled once, with a waker that does nothing: every case here is ready at once. All cases of a group take
//! turns, batch by batch, so that what else the machine does meets them alike; a cost over the bare service is the median of
//! the differences within a turn.

use std::{
    fmt,
    future::Future as _,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::AllocationInfo;
use cpu_time::ThreadTime;
use tower::Service;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    turns: usize,
    batch: Duration,
}

/// Services that are called with the same request. The first is the bare one.
pub(crate) struct Group<Req> {
    title: &'static str,
    request: fn() -> Req,
    cases: Vec<Case>,
}

struct Case {
    name: &'static str,
    /// Calls one and the same service.
    in_place: Way,
    /// Calls a new clone each time, as axum and `oneshot` do.
    cloned: Way,
    promised: Option<u64>,
    /// The case of which this one has all the work, and more.
    beyond: Option<usize>,
}

struct Way {
    calls: Box<dyn FnMut(u32)>,
    batch: u32,
    nanos: Vec<f64>,
    spent: AllocationInfo,
}

/// What the cases of a group cost.
pub(crate) struct Report {
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    in_place: Cost,
    cloned: Cost,
    promised: Option<u64>,
    /// In nanoseconds per call, in place, what it costs beyond another case.
    beyond: Option<(&'static str, f64)>,
}

/// Medians, per call.
struct Cost {
    nanos: f64,
    over_bare: f64,
    ratio: f64,
    allocations: u64,
    allocations_over_bare: i64,
    bytes: u64,
}

// === impl Effort ===

impl Effort {
    pub(crate) const FULL: Self = Self { turns: 101, batch: Duration::from_millis(2) };
    pub(crate) const QUICK: Self = Self { turns: 21, batch: Duration::from_millis(1) };
}

// === impl Group ===

impl<Req: 'static> Group<Req> {
    /// Begins a group with its bare service.
    pub(crate) fn new<S>(title: &'static str, request: fn() -> Req, name: &'static str, bare: S) -> Self
    where
        S: Service<Req, Error: fmt::Debug> + Clone + 'static,
    {
        Self { title, request, cases: Vec::new() }.case(name, bare)
    }

    pub(crate) fn case<S>(mut self, name: &'static str, service: S) -> Self
    where
        S: Service<Req, Error: fmt::Debug> + Clone + 'static,
    {
        let (request, original, mut used) = (self.request, service.clone(), service);
        let in_place = Way::new(move |n| (0..n).for_each(|_| call(&mut used, request())));
        let cloned = Way::new(move |n| (0..n).for_each(|_| call(&mut original.clone(), request())));
        self.cases.push(Case { name, in_place, cloned, promised: None, beyond: None });
        self
    }

    /// Promises that the last case makes no more than so many allocations over the bare service.
    pub(crate) fn promise(mut self, allocations: u64) -> Self {
        self.cases.last_mut().expect("a group has a case").promised = Some(allocations);
        self
    }

    /// Also tells what the last case costs beyond the one called `name`, which stands before it.
    pub(crate) fn beyond(mut self, name: &str) -> Self {
        let at = self.cases.iter().position(|case| case.name == name).expect("a case of that name stands before");
        self.cases.last_mut().expect("a group has a case").beyond = Some(at);
        self
    }

    pub(crate) fn measure(mut self, effort: Effort) -> Report {
        let ways = |case: &mut Case, f: &dyn Fn(&mut Way)| [&mut case.in_place, &mut case.cloned].map(f);
        for case in &mut self.cases {
            ways(case, &|way| way.prepare(effort));
        }
        for _ in 0..effort.turns {
            for case in &mut self.cases {
                ways(case, &Way::turn);
            }
        }
        let bare = &self.cases[0];
        let row = |case: &Case| Row {
            name: case.name,
            in_place: case.in_place.cost(&bare.in_place),
            cloned: case.cloned.cost(&bare.cloned),
            promised: case.promised,
            beyond: case
                .beyond
                .map(|at| &self.cases[at])
                .map(|other| (other.name, case.in_place.beyond(&other.in_place))),
        };
        Report { title: self.title, rows: self.cases.iter().map(row).collect() }
    }
}

pub(crate) fn call<S, Req>(service: &mut S, request: Req)
where
    S: Service<Req, Error: fmt::Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready(), "every case is ready at once");
    match pin!(service.call(black_box(request))).poll(&mut cx) {
        Poll::Ready(result) => drop(black_box(result)),
        Poll::Pending => panic!("every case answers at once"),
    }
}

// === impl Way ===

impl Way {
    fn new(calls: impl FnMut(u32) + 'static) -> Self {
        Self { calls: Box::new(calls), batch: 1, nanos: Vec::new(), spent: AllocationInfo::default() }
    }

    /// Counts what one call allocates, and finds how many calls make a batch.
    fn prepare(&mut self, effort: Effort) {
        // What is allocated once and for all is not the cost of a call.
        (self.calls)(2);
        self.spent = allocation_counter::measure(|| (self.calls)(1));
        while self.batch < u32::MAX / 2 && self.time() < effort.batch / 2 {
            self.batch *= 2;
        }
    }

    fn turn(&mut self) {
        let nanos = self.time().as_nanos() as f64 / f64::from(self.batch);
        self.nanos.push(nanos);
    }

    fn time(&mut self) -> Duration {
        let mut time = Duration::ZERO;
        // Counting what is allocated costs time.
        allocation_counter::opt_out(|| {
            let begun = ThreadTime::now();
            (self.calls)(self.batch);
            time = begun.elapsed();
        });
        time
    }

    /// Returns the median of the differences within a turn, in nanoseconds per call.
    fn beyond(&self, other: &Self) -> f64 {
        median(self.nanos.iter().zip(&other.nanos).map(|(nanos, other)| nanos - other))
    }

    fn cost(&self, bare: &Self) -> Cost {
        let pairs = || self.nanos.iter().zip(&bare.nanos);
        Cost {
            nanos: median(self.nanos.iter().copied()),
            over_bare: self.beyond(bare),
            ratio: median(pairs().map(|(nanos, bare)| nanos / bare)),
            allocations: self.spent.count_total,
            allocations_over_bare: self.spent.count_total.cast_signed() - bare.spent.count_total.cast_signed(),
            bytes: self.spent.bytes_total,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// === impl Report ===

impl Report {
    /// Returns a sentence for each case that makes more allocations than was promised.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let broken = |row: &Row| {
            let promised = row.promised?;
            let made = row.in_place.allocations_over_bare.max(row.cloned.allocations_over_bare);
            let name = row.name;
            (made > promised.cast_signed())
                .then(|| format!("{name} makes {made} allocations over the bare service, not {promised}"))
        };
        self.rows.iter().filter_map(broken).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, rows } = self;
        writeln!(f, "{title}")?;
        let columns = "    ns    over  ratio | allocs  over  bytes";
        writeln!(f, "{:46} | {:42} | a clone per call", "", "in place")?;
        writeln!(f, "{:46} | {columns} | {columns}", "")?;
        rows.iter().try_for_each(|row| writeln!(f, "{:46} | {} | {}", row.name, row.in_place, row.cloned))?;
        rows.iter()
            .filter_map(|row| Some((row.name, row.beyond?)))
            .try_for_each(|(name, (other, nanos))| writeln!(f, "{name}: {nanos:+.1} ns beyond {other}"))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nanos, over_bare, ratio, allocations, allocations_over_bare, bytes } = self;
        write!(f, "{nanos:6.1} {over_bare:+7.1} {ratio:5.2}x | {allocations:6} {allocations_over_bare:+5} {bytes:6}")
    }
}
