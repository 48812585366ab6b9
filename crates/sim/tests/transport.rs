//! How answers travel: codings, ends of lines, pieces.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/client.rs"]
mod client;

use std::io::Read;
use std::time::Duration;

use buttress_sim::{Coding, Fault, LineEnd, Simulator};
use cases::CASES;
use client::{read, read_until};
use tokio::time::Instant;

async fn sim() -> Simulator {
    Simulator::builder().length(4..=4).seed(7).created(1_700_000_000).start().await.unwrap()
}

fn decode(coding: Coding, bytes: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Coding::Deflate => flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text),
        _ => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
    }
    .unwrap();
    text
}

#[tokio::test]
async fn a_coded_answer_says_so_and_decodes_to_the_plain_one() {
    let sim = sim().await;
    for case in CASES {
        for stream in [true, false] {
            let plain = case.send(&sim, None, stream).await;
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Br] {
                let coded = case.send(&sim, Some(Fault::Encoded { coding }), stream).await;
                assert_eq!(coded.header("content-encoding"), Some(coding.name()), "{}", case.name);
                assert!(coded.whole, "{} {stream}", case.name);
                assert_eq!(decode(coding, &coded.body), plain.text(), "{} {coding:?} {stream}", case.name);
            }
        }
    }
}

#[tokio::test]
async fn a_coded_event_decodes_when_it_has_come() {
    let sim = Simulator::builder().length(4..=4).gap(Duration::from_secs(30)).start().await.unwrap();
    sim.set_fault(Fault::Encoded { coding: Coding::Gzip });
    let mut stream = CASES[0].open(&sim, true).await;
    let mut bytes = Vec::new();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(CASES[0].content) {
        let before = bytes.len();
        tokio::io::AsyncReadExt::read_buf(&mut stream, &mut bytes).await.unwrap();
        assert_ne!(bytes.len(), before, "ended");
        text.clear();
        let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(&[][..], |at| &bytes[at + 4..]);
        let body = dechunk(body);
        // What is there so far decodes, then the end is missed.
        let _ = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text);
    }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let data = &rest[line + 2..];
        body.extend_from_slice(&data[..data.len().min(size)]);
        rest = data.get(size + 2..).unwrap_or_default();
    }
    body
}

#[tokio::test]
async fn lines_end_as_told() {
    let sim = sim().await;
    for case in CASES {
        let plain = case.send(&sim, None, true).await.text();
        for (end, text) in [(LineEnd::Crlf, "\r\n"), (LineEnd::Cr, "\r"), (LineEnd::Lf, "\n")] {
            let answer = case.send(&sim, Some(Fault::LineEnds { end }), true).await;
            assert_eq!(answer.text(), plain.replace('\n', text), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn a_stream_may_begin_with_a_byte_order_mark() {
    let sim = sim().await;
    for case in CASES {
        let plain = case.send(&sim, None, true).await.text();
        let marked = case.send(&sim, Some(Fault::ByteOrderMark), true).await.text();
        assert_eq!(marked, format!("\u{feff}{plain}"), "{}", case.name);
    }
}

#[tokio::test]
async fn pieces_end_where_told_whatever_the_events() {
    let sim = sim().await;
    for case in CASES {
        let plain = case.send(&sim, None, true).await.text();
        let fault = Fault::Split { at: vec![1, 9, 10, plain.len() - 1, usize::MAX] };
        assert_eq!(case.send(&sim, Some(fault.clone()), true).await.text(), plain, "{}", case.name);
        sim.reset();
        sim.set_fault(fault);
        let mut stream = case.open(&sim, true).await;
        let head = read_until(&mut stream, "\r\n0\r\n\r\n").await;
        let chunks = head.split_once("\r\n\r\n").unwrap().1;
        let first: Vec<_> = ["1", "8", "1"].iter().map(|size| format!("{size}\r\n")).collect();
        assert!(chunks.starts_with(&first[0]), "{}: {chunks}", case.name);
        assert_eq!(&chunks[6..9], first[1], "{}: {chunks}", case.name);
    }
}

#[tokio::test]
async fn a_body_can_drip() {
    let sim = sim().await;
    for case in [CASES[0], CASES[6]] {
        let plain = case.send(&sim, None, true).await.text();
        let start = Instant::now();
        let fault = Fault::Drip { bytes: plain.len() / 4, every_ms: 10 };
        assert_eq!(case.send(&sim, Some(fault), true).await.text(), plain, "{}", case.name);
        assert!(Instant::now() - start >= Duration::from_millis(30), "{}", case.name);
    }
}

#[tokio::test]
async fn a_reset_comes_after_so_many_bytes() {
    let sim = sim().await;
    for case in CASES {
        sim.reset();
        sim.set_fault(Fault::at(buttress_sim::At::Bytes(17), buttress_sim::Then::Reset));
        let (_, error) = read(case.open(&sim, true).await).await;
        assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset), "{}", case.name);
        assert_eq!(sim.wait_for(|stats| stats.in_flight == 0).await.bytes_sent, 17, "{}", case.name);
    }
}
