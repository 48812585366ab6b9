//! What a stream of JSON lines holds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use buttress_llm::{NdjsonItem, NdjsonKind, NdjsonReader, StreamErrorKind, StreamLimits};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Line(Vec<u8>, u64),
    Blank(u64),
    Unfinished(Vec<u8>, u64),
}

/// What a reader saw until the end, and whether it stopped before.
type Reading = (Vec<Seen>, Option<StreamErrorKind>);

impl From<NdjsonItem<'_>> for Seen {
    fn from(item: NdjsonItem<'_>) -> Self {
        match item.kind {
            NdjsonKind::Line(line) => Self::Line(line.to_vec(), item.end),
            NdjsonKind::Blank => Self::Blank(item.end),
            NdjsonKind::Unfinished(line) => Self::Unfinished(line.to_vec(), item.end),
            other => panic!("unknown: {other:?}"),
        }
    }
}

/// Reads `stream` in pieces of `size` to the end, and checks on the way all that holds for any stream.
fn read(limit: usize, stream: &[u8], size: usize) -> Reading {
    let (mut reader, mut seen, mut fed) = (NdjsonReader::new(StreamLimits::DEFAULT.line(limit)), Vec::new(), 0);
    for chunk in stream.chunks(size) {
        let mut rest = chunk;
        fed += chunk.len() as u64;
        for calls in 0.. {
            assert!(calls <= chunk.len() + 1, "it loops");
            match reader.read(&mut rest) {
                Ok(Some(item)) => seen.push(item.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.read(&mut &b"{}\n"[..]), Err(error));
                    assert_eq!(reader.finish(), Err(error));
                    assert_eq!(reader.held(), 0);
                    return (seen, Some(error.kind()));
                }
            }
            assert!(reader.held() <= limit, "{} bytes held", reader.held());
        }
        assert!(reader.held() <= limit, "{} bytes held", reader.held());
        assert_eq!((rest.len(), reader.offset()), (0, fed));
    }
    for calls in 1.. {
        assert!(calls <= 2, "it loops");
        match reader.finish() {
            Ok(Some(item)) => seen.push(item.into()),
            Ok(None) => break,
            Err(error) => return (seen, Some(error.kind())),
        }
    }
    assert_eq!((reader.held(), reader.finish()), (0, Ok(None)));
    assert_eq!(reader.read(&mut &b"{}\n"[..]).unwrap_err().kind(), StreamErrorKind::Ended);
    (seen, None)
}

/// A parser that sees the whole stream.
fn model(limit: usize, stream: &[u8]) -> Reading {
    let (mut seen, mut end) = (Vec::new(), stream.len() - stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream).len());
    let stream = &stream[end..];
    for piece in stream.split_inclusive(|&byte| byte == b'\n') {
        end += piece.len();
        let ended = piece.strip_suffix(b"\n");
        let line = ended.unwrap_or(piece);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            return (seen, Some(StreamErrorKind::LineTooLong));
        }
        seen.push(match (ended, line.iter().all(|byte| b" \t\r\n".contains(byte))) {
            (_, true) => Seen::Blank(end as u64),
            (Some(_), false) => Seen::Line(line.to_vec(), end as u64),
            (None, false) => Seen::Unfinished(line.to_vec(), end as u64),
        });
    }
    (seen, None)
}

const OLLAMA: &str = "\u{feff}{\"model\":\"llama3\",\"response\":\"Grüße\",\"done\":false}\n\n{\"response\":\"\",\"done\":true,\
    \"done_reason\":\"stop\",\"eval_count\":2}\n \n{\"error\":\"gone\"}";

#[test]
fn lines_are_given_without_their_ends_and_with_their_places() {
    let line = |text: &str, end| Seen::Line(text.into(), end);
    let left = |text: &str, end| Seen::Unfinished(text.into(), end);
    for (stream, expected) in [
        ("", vec![]),
        ("{}\n[]\r\n", vec![line("{}", 3), line("[]", 7)]),
        ("\n\r\n \t\r\n{}\n", vec![Seen::Blank(1), Seen::Blank(3), Seen::Blank(7), line("{}", 10)]),
        ("{\r}\n", vec![line("{\r}", 4)]),
        ("{}\r\r\n", vec![line("{}\r", 5)]),
        ("\u{feff}{}\n", vec![line("{}", 6)]),
        ("\u{feff}\u{feff}{}\n", vec![line("\u{feff}{}", 9)]),
        ("{}", vec![left("{}", 2)]),
        ("{}\n{\"done\":tr", vec![line("{}", 3), left("{\"done\":tr", 13)]),
        ("{}\r", vec![left("{}", 3)]),
        ("{}\n\r", vec![line("{}", 3), Seen::Blank(4)]),
        ("\n  ", vec![Seen::Blank(1), Seen::Blank(3)]),
    ] {
        assert_eq!(read(usize::MAX, stream.as_bytes(), usize::MAX), (expected, None), "{stream:?}");
    }
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut() {
    for stream in [OLLAMA.to_owned(), OLLAMA.replace('\n', "\r\n")] {
        let expected = model(1000, stream.as_bytes());
        assert_eq!(expected.0.len(), 5);
        for size in 1..=stream.len() {
            assert_eq!(read(1000, stream.as_bytes(), size), expected, "every {size}");
        }
    }
}

#[test]
fn a_line_within_a_chunk_is_borrowed_from_it() {
    let chunk = b"{\"a\":1}\r\n\n{\"b\":2}\n";
    let mut reader = NdjsonReader::new(StreamLimits::DEFAULT);
    let (mut rest, mut lines) = (&chunk[..], 0);
    while let Some(item) = reader.read(&mut rest).unwrap() {
        if let NdjsonKind::Line(line) = item.kind {
            assert!(chunk.as_ptr_range().contains(&line.as_ptr()));
            lines += 1;
        }
        assert_eq!(reader.held(), 0, "no memory is taken");
    }
    assert_eq!(lines, 2);
}

#[test]
fn a_line_may_be_as_long_as_allowed_and_no_longer() {
    for end in ["\n", "\r\n", "\r", ""] {
        for (line, fits) in [("[1,2,3,4]", true), ("[1,2,3,45]", true), ("[1,2,3,4,5]", false)] {
            for size in 1..16 {
                let (_, error) = read(10, format!("{line}{end}").as_bytes(), size);
                assert_eq!(error, (!fits).then_some(StreamErrorKind::LineTooLong), "{line}{end:?}");
            }
        }
    }
}

/// What a byte order mark begins with, and what it does not.
const TORN: &[&[u8]] = &[b"", b"\xef", b"\xef\xbb", b"\xff"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_stream_is_read_as_by_a_parser_that_sees_it_whole(
        words in prop::collection::vec(prop::sample::select(&["{}", "\n", "\r\n", "\r", " ", "\u{feff}", "0123456789"][..]), 0..60),
        torn in prop::sample::select(TORN),
        limit in prop_oneof![0..24_usize, Just(1 << 20)],
        size in 1..16_usize,
    ) {
        for stream in [[words.concat().as_bytes(), torn].concat(), [torn, words.concat().as_bytes()].concat()] {
            prop_assert_eq!(read(limit, &stream, size), model(limit, &stream));
            prop_assert_eq!(read(limit, &stream, usize::MAX), model(limit, &stream));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_loop(stream: Vec<u8>, size in 1..16_usize) {
        prop_assert_eq!(read(40, &stream, size), model(40, &stream));
    }
}
