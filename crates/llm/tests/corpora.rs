//! The properties of the fuzz targets, for their hand-written seeds and some thousand mutations of these.
//!
//! `cargo xtask fuzz` looks further, guided by coverage; this keeps the properties true between its runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod properties;

use std::{fs, panic, path::Path};

use properties::Random;

const MUTATIONS: usize = 1_000;

/// Pieces that mean something to one reader or another.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data:",
    b"event: ",
    b"id:",
    b"retry: ",
    b":",
    b"{",
    b"}",
    b"\"",
    b"\\u0000",
    b"null",
    b"429",
    b"-1",
    b"9999999999999999999999",
    b"1e400",
    b"\"error\":",
    b"\"model\":",
    b"try again in ",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus-seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "a property without inputs proves nothing");
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes `input` in a few places, or joins it with another.
fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(8)).min(input.len());
        match random.below(6) {
            0 => drop(input.drain(at..end)),
            1 => drop(input.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => drop(input.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
            3 => input[at..end].iter_mut().for_each(|byte| *byte ^= 1 << random.below(8)),
            4 => input.extend_from_within(at..),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
        }
        input.truncate(4 * 1024);
    }
}

fn holds(target: &str, property: fn(&[u8])) {
    let seeds = seeds(target);
    let check = |input: &[u8]| {
        let result = panic::catch_unwind(|| property(input));
        assert!(result.is_ok(), "the property fails for {:?}", String::from_utf8_lossy(input));
    };
    seeds.iter().for_each(|seed| check(seed));
    check(b"");
    let mut random = Random::new(1);
    for _ in 0..MUTATIONS {
        let mut input = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut input, &seeds);
        check(&input);
    }
}

#[test]
fn event_streams_read_the_same_however_they_are_cut() {
    holds("sse", properties::sse);
}

#[test]
fn streams_of_lines_read_the_same_however_they_are_cut() {
    holds("ndjson", properties::ndjson);
}

#[test]
fn answers_mean_the_same_however_they_are_cut_and_a_failure_is_told_in_its_place() {
    holds("events", properties::events);
}

#[test]
fn hints_are_bounded_and_headers_come_first() {
    holds("hint", properties::hint);
}

#[test]
fn errors_mean_the_same_in_any_wrapping_and_no_words_spoil_a_credential() {
    holds("error_body", properties::error_body);
}

#[test]
fn another_model_changes_nothing_else() {
    holds("facts", properties::facts);
}
