//! Compressed answers are decoded to be looked at.

use std::io::Write;

use buttress_core::{EventKind, EventReader, StreamFailure};
use buttress_llm::Format;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;

use crate::{
    answers::{ANSWERS, Answer},
    reading::{SSE, Seen, open, read_by, usage},
};

const CODINGS: [(&str, fn(&[&[u8]]) -> Vec<u8>); 4] =
    [("gzip", gzip), ("deflate", zlib), ("deflate", raw), ("br", brotli)];

/// Compresses `parts`, each flushed, as a server does that streams.
fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    write(&mut encoder, parts);
    encoder.finish().unwrap()
}

fn zlib(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    write(&mut encoder, parts);
    encoder.finish().unwrap()
}

fn raw(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    write(&mut encoder, parts);
    encoder.finish().unwrap()
}

fn brotli(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
    write(&mut encoder, parts);
    encoder.into_inner()
}

fn write(writer: &mut impl Write, parts: &[&[u8]]) {
    for part in parts {
        writer.write_all(part).unwrap();
        writer.flush().unwrap();
    }
}

fn read<'c>(answer: &Answer, coding: &str, chunks: impl IntoIterator<Item = &'c [u8]>) -> Seen {
    let headers = [("content-type", answer.content_type()), ("content-encoding", coding)];
    let mut reader = open(answer.format, &headers).unwrap();
    let seen = read_by(&mut reader, chunks);
    assert!(seen.events.iter().all(|event| event.cut == event.end));
    assert_eq!(reader.closing(&StreamFailure::truncated()), None, "the wire is not understood in between");
    seen
}

/// How it ends, and whether there was content: what does not depend on the pieces.
fn outcome(seen: &Seen) -> (EventKind, bool, Option<buttress_core::Usage>) {
    let content = seen.events.iter().any(|event| event.kind == EventKind::Content);
    (seen.last.kind.clone(), content, seen.usage)
}

#[test]
fn a_compressed_answer_means_the_same_wherever_it_is_cut() {
    for name in [
        "chat.sse",
        "messages-overloaded.sse",
        "truncated.sse",
        "ollama-chat.ndjson",
        "gemini-stream.json",
        "cut-off.json",
    ] {
        let answer = Answer::of(name);
        for (coding, compress) in CODINGS {
            let wire = compress(&[answer.text.as_bytes()]);
            let expected = outcome(&read(answer, coding, [&wire[..]]));
            assert_eq!(expected.2, answer.usage.map(usage), "{name} in {coding}");
            assert_eq!(matches!(expected.0, EventKind::Failure(_)), answer.word.ends_with('F'), "{name} in {coding}");
            for at in 0..wire.len() {
                let (before, after) = wire.split_at(at);
                assert_eq!(outcome(&read(answer, coding, [before, after])), expected, "{name} in {coding} at {at}");
            }
            assert_eq!(outcome(&read(answer, coding, wire.chunks(1))), expected, "{name} in {coding}");
        }
    }
}

#[test]
fn what_a_server_has_flushed_is_told_at_once() {
    let answer = Answer::of("chat.sse");
    let parts: Vec<_> = answer.text.split_inclusive("\n\n").map(str::as_bytes).collect();
    for (coding, compress) in CODINGS {
        let headers = [("content-type", SSE), ("content-encoding", coding)];
        let mut reader = open(Format::Chat, &headers).unwrap();
        let mut told = 0;
        for count in 1..=parts.len() {
            let wire = compress(&parts[..count]);
            // The end of a compressed stream that goes on differs from that of a whole one.
            let wire = &wire[told.min(wire.len())..wire.len().saturating_sub(20).max(told)];
            told += wire.len();
            let mut rest = wire;
            while reader.read(&mut rest).is_some() {}
        }
        assert_eq!(reader.finish().kind, EventKind::Terminal, "{coding}");
    }
}

#[test]
fn an_unknown_or_doubled_coding_is_not_read() {
    let opened = |codings: &[&str]| {
        let headers: Vec<_> = codings.iter().map(|coding| ("content-encoding", *coding)).collect();
        open(Format::Chat, &[&[("content-type", SSE)], &headers[..]].concat()).is_some()
    };
    for codings in [&["identity"][..], &[""], &["GZIP"], &["x-gzip"], &["deflate"], &[" br "], &[]] {
        assert!(opened(codings), "{codings:?}");
    }
    for codings in [&["zstd"][..], &["gzip, br"], &["gzip", "gzip"], &["compress"], &["?"]] {
        assert!(!opened(codings), "{codings:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let comments = ": a sign of life\n\n".repeat(1 << 20);
    for (coding, compress) in CODINGS {
        let wire = compress(&[comments.as_bytes()]);
        let seen = read(Answer::of("chat.sse"), coding, [&wire[..]]);
        assert_eq!(seen.failure().word(), "malformed", "{coding}");
        assert!(seen.events.len() <= wire.len() / 1024 + 1, "{coding}: what is told is bounded by the wire");
    }
    // Brotli with a window of a gigabyte.
    let seen = read(Answer::of("chat.sse"), "br", [&[0x11, 0x1e, 0, 0, 0][..]]);
    assert_eq!(seen.failure().word(), "malformed");
}

#[test]
fn what_is_not_compressed_as_it_says_is_malformed() {
    for (coding, _) in CODINGS {
        let answer = Answer::of("chat.sse");
        assert_eq!(read(answer, coding, [answer.text.as_bytes()]).failure().word(), "malformed", "{coding}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic_or_loop(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), coding in 0..CODINGS.len(), size in 1..200_usize,
        name in prop::sample::select(ANSWERS), random in prop::collection::vec(any::<u8>(), 0..300), damaged in any::<bool>(),
    ) {
        let (coding, compress) = CODINGS[coding];
        let mut wire = random;
        if damaged {
            wire = compress(&[name.text.as_bytes()]);
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        read(&name, coding, wire.chunks(size));
    }
}
