//! What finding the nearest vectors costs, and how often they are found, at sizes from a thousand to a million.
//!
//! `cargo bench -p bench --bench index`, with `-- 1000 100000` for these sizes alone, and `-- --vectors FILE 384` for vectors
//! of one's own: numbers of 32 bits, little-endian, without a header. `usearch` stands beside it, up to a hundred thousand, in
//! a build with `RUSTFLAGS="--cfg buttress_usearch"`, which needs a compiler for C++.
//!
//! Times are CPU time of the thread. Recall is the share of queries whose nearest vector is found (or one as near, within
//! 0.002), of those that have one as similar as the floor; and the share of the nearest ten of all queries that is found, of
//! those similar by 0.6.

mod contender;
mod source;

use contender::{Contender, Ours};
use cpu_time::ThreadTime;
use source::{Files, Query, Source, Texts};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const DIMENSIONS: usize = 384;
/// Insertions take less time than reading the clock: so many are timed together.
const BATCH: usize = 16;

/// What was measured of one contender at one size; times in microseconds.
#[derive(Default)]
struct Row {
    insert: Vec<f64>,
    remove: Vec<f64>,
    nearest_one: Vec<f64>,
    nearest_ten: Vec<f64>,
    found: [(usize, usize); 3],
    bytes: usize,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!(
        "rows      | contender   | one, at .9     | ten, at .6     | insert      | remove      | B/row | recall at .9, at .8, of ten"
    );
    println!("          |             | p50 / p99 us   | p50 / p99 us   | p50/p99 us  | p50/p99 us  |       |");
    if let Some(at) = words.iter().position(|word| word == "--vectors") {
        let dimensions = words[at + 2].parse().expect("the dimensions are a number");
        let files = Files::read(&words[at + 1], dimensions);
        return compare(&files);
    }
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes.extend(SIZES);
    }
    for rows in sizes {
        compare(&Texts::new(rows, DIMENSIONS));
    }
}

fn compare(source: &dyn Source) {
    let queries = queries(source);
    let rows = source.rows();
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Ours::bytes(source.dimensions()))];
    if rows <= 200_000 {
        contenders.push(Box::new(Ours::full(source.dimensions())));
        #[cfg(buttress_usearch)]
        contenders.push(Box::new(contender::Usearch::new(source.dimensions(), rows)));
    }
    for mut contender in contenders {
        let row = measure(source, &queries, &mut *contender);
        println!(
            "{rows:<9} | {:<11} | {} | {} | {} | {} | {:>5} | {}, {}, {}",
            contender.name(),
            percentiles(row.nearest_one, 6),
            percentiles(row.nearest_ten, 6),
            percentiles(row.insert, 5),
            percentiles(row.remove, 5),
            row.bytes / rows,
            share(row.found[0]),
            share(row.found[1]),
            share(row.found[2]),
        );
    }
}

/// Makes the queries, and finds the true similarity of the nearest vector of each.
fn queries(source: &dyn Source) -> Vec<Query> {
    let mut queries = source.queries();
    for row in 0..source.rows() {
        let vector = source.vector(row);
        for query in &mut queries {
            query.compare(&vector);
        }
    }
    queries
}

fn measure(source: &dyn Source, queries: &[Query], contender: &mut dyn Contender) -> Row {
    let mut measured = Row::default();
    let rows = source.rows();
    let mut vectors = Vec::with_capacity(BATCH);
    for first in (0..rows).step_by(BATCH) {
        vectors.clear();
        vectors.extend((first..rows.min(first + BATCH)).map(|row| source.vector(row)));
        let start = ThreadTime::now();
        for (row, vector) in (first..).zip(&vectors) {
            contender.insert(row, vector);
        }
        measured.insert.push(micros(start) / vectors.len() as f64);
    }
    measured.bytes = contender.bytes();
    for (at, floor) in [0.9, 0.8].into_iter().enumerate() {
        for query in queries.iter().filter(|query| query.best()[0] >= floor) {
            contender.nearest(query.vector(), 1, floor);
            count(&mut measured.found[at], &query.best()[..1], &contender.found());
        }
    }
    for query in queries {
        let there = query.best().partition_point(|similarity| *similarity >= 0.6);
        contender.nearest(query.vector(), 10, 0.6);
        count(&mut measured.found[2], &query.best()[..there], &contender.found());
    }
    for query in queries.iter().cycle().take(if rows > 200_000 { 400 } else { 2000 }) {
        let start = ThreadTime::now();
        contender.nearest(query.vector(), 1, 0.9);
        measured.nearest_one.push(micros(start));
        let start = ThreadTime::now();
        contender.nearest(query.vector(), 10, 0.6);
        measured.nearest_ten.push(micros(start));
    }
    for first in (0..rows / 2).step_by(BATCH) {
        let start = ThreadTime::now();
        // Not in the order of insertion: each row is far from the last.
        (first..first + BATCH).for_each(|at| contender.remove(at * 2));
        measured.remove.push(micros(start) / BATCH as f64);
        if measured.remove.len() == 2000 || first + 2 * BATCH >= rows / 2 {
            break;
        }
    }
    measured
}

/// Counts which of the similarities that are `there` were found.
fn count((asked, right): &mut (usize, usize), there: &[f32], found: &[f32]) {
    *asked += there.len();
    *right += there.iter().zip(found).filter(|(there, found)| **found >= **there - 0.002).count();
}

fn micros(start: ThreadTime) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

fn percentiles(mut times: Vec<f64>, width: usize) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let (half, most) = (at(0.5), at(0.99));
    let digits = if half < 10.0 { 2 } else { 0 };
    format!("{half:>width$.digits$} /{most:>width$.digits$}")
}

fn share((asked, right): (usize, usize)) -> String {
    format!("{:.4} of {asked}", right as f64 / asked as f64)
}
