//! What an event stream holds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::Duration;

use buttress_llm::{SseEvent, SseItem, SseKind, SseReader, StreamError, StreamErrorKind, StreamLimits};
use proptest::prelude::*;

/// An item that outlives its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    what: What,
    end: u64,
    cut: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Event(Event),
    Comment(Vec<u8>),
    Retry(Duration),
    Stray(Vec<u8>),
    Blank,
    Unfinished(Event),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Event {
    name: Option<Vec<u8>>,
    data: Vec<u8>,
    id: Option<Vec<u8>>,
}

/// What a reader saw until the end, and whether it stopped before.
type Reading = (Vec<Seen>, Option<StreamErrorKind>);

// === impl Seen ===

impl From<SseItem<'_>> for Seen {
    fn from(item: SseItem<'_>) -> Self {
        let what = match item.kind {
            SseKind::Event(event) => What::Event(event.into()),
            SseKind::Comment(text) => What::Comment(text.to_vec()),
            SseKind::Retry(wait) => What::Retry(wait),
            SseKind::Stray(line) => What::Stray(line.to_vec()),
            SseKind::Blank => What::Blank,
            SseKind::Unfinished(event) => What::Unfinished(event.into()),
            other => panic!("unknown: {other:?}"),
        };
        Self { what, end: item.end, cut: item.cut }
    }
}

impl From<SseEvent<'_>> for Event {
    fn from(event: SseEvent<'_>) -> Self {
        let SseEvent { name, data, id, .. } = event;
        Self { name: name.map(<[u8]>::to_vec), data: data.to_vec(), id: id.map(<[u8]>::to_vec) }
    }
}

// === reading ===

/// Reads `chunks` to the end, and checks on the way all that holds for any stream.
fn read<'c>(limits: StreamLimits, bound: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Reading {
    let (mut reader, mut seen, mut fed) = (SseReader::new(limits), Vec::<Seen>::new(), 0);
    for chunk in chunks {
        let mut rest = chunk;
        fed += chunk.len() as u64;
        for calls in 0.. {
            assert!(calls <= chunk.len() + 2, "it loops");
            match reader.read(&mut rest) {
                Ok(Some(item)) => seen.push(item.into()),
                Ok(None) => break,
                Err(error) => return stopped(reader, seen, error),
            }
            assert!(reader.held() <= bound, "{} bytes held", reader.held());
        }
        assert!(reader.held() <= bound, "{} bytes held", reader.held());
        assert_eq!((rest.len(), reader.offset()), (0, fed));
    }
    for calls in 1.. {
        assert!(calls <= 3, "it loops");
        match reader.finish() {
            Ok(Some(item)) => seen.push(item.into()),
            Ok(None) => break,
            Err(error) => return stopped(reader, seen, error),
        }
    }
    assert_eq!((reader.held(), reader.offset(), reader.finish()), (0, fed, Ok(None)));
    assert_eq!(reader.read(&mut &b"data: late\n\n"[..]).unwrap_err().kind(), StreamErrorKind::Ended);
    in_order(&seen, fed);
    (seen, None)
}

/// An error is the end: it stays, and nothing is held.
fn stopped(mut reader: SseReader, seen: Vec<Seen>, error: StreamError) -> Reading {
    assert_eq!(reader.held(), 0);
    assert_eq!(reader.read(&mut &b"data: more\n\n"[..]), Err(error));
    assert_eq!(reader.finish(), Err(error));
    assert_eq!(reader.held(), 0);
    in_order(&seen, reader.offset());
    (seen, Some(error.kind()))
}

fn in_order(seen: &[Seen], offset: u64) {
    let (mut end, mut cut) = (0, 0);
    for item in seen {
        assert!(end <= item.end && cut <= item.cut && item.cut <= item.end && item.end <= offset, "{seen:?}");
        // What nothing is left of takes no bytes of its own.
        assert!(end < item.end || matches!(item.what, What::Unfinished(_)), "{seen:?}");
        (end, cut) = (item.end, item.cut);
    }
}

fn whole(stream: &[u8]) -> Vec<Seen> {
    read(StreamLimits::DEFAULT, usize::MAX, [stream]).0
}

fn whats(stream: &[u8]) -> Vec<What> {
    whole(stream).into_iter().map(|seen| seen.what).collect()
}

fn event(name: &str, data: &str) -> What {
    What::Event(Event { name: some(name), data: data.into(), id: None })
}

fn unfinished(name: &str, data: &str) -> What {
    What::Unfinished(Event { name: some(name), data: data.into(), id: None })
}

fn with_id(id: &str, data: &str) -> What {
    What::Event(Event { name: None, data: data.into(), id: Some(id.into()) })
}

fn comment(text: &str) -> What {
    What::Comment(text.into())
}

fn some(text: &str) -> Option<Vec<u8>> {
    (!text.is_empty()).then(|| text.into())
}

/// `stream`, cut into pieces of the sizes given, over and over.
fn cut<'c>(mut stream: &'c [u8], sizes: &[usize]) -> Vec<&'c [u8]> {
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if stream.is_empty() || sizes.iter().all(|&size| size == 0) {
            break;
        }
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        chunks.push(chunk);
        stream = rest;
    }
    chunks.push(stream);
    chunks
}

// === streams as they come ===

const OPENAI: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Grüße"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}

data: [DONE]

"#;

const AZURE: &str = r#"data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}

data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{"content":"a"}}]}

data: {"id":"","choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{"check_offset":44}}]}

data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: [DONE]

"#;

const ANTHROPIC: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":9,"output_tokens":1}}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#;

const GEMINI: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":4}}

data: {"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"STOP"}],"usageMetadata":{"totalTokenCount":6}}

"#;

const KEPT_ALIVE: &str =
    ": keep-alive\n\n: OPENROUTER PROCESSING\n\n\n\nretry: 3000\n\ndata: {\"a\":\n: within\ndata: 1}\nid: 7\n\n: end\n";

const ODD: &str = "\u{feff}event: a\ndata:x\nevent: b\n\nid\ndata\n\nid: 1\nretry: 5\nwhat: ever\ndata:  two\ndata\ndata: x\n\nevent: none\n\ndata: [DONE]";

const STREAMS: [&str; 6] = [OPENAI, AZURE, ANTHROPIC, GEMINI, KEPT_ALIVE, ODD];

/// The streams, with each way to end a line.
fn streams() -> impl Iterator<Item = Vec<u8>> {
    let ends = ["\n", "\r\n", "\r"];
    STREAMS.iter().flat_map(move |stream| ends.map(|end| stream.replace('\n', end).into_bytes()))
}

#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    for (stream, expected) in [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![event("", "YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            vec![
                comment(" test stream"),
                What::Blank,
                with_id("1", "first event"),
                with_id("", "second event"),
                unfinished("", " third event"),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", vec![event("", ""), event("", "\n"), unfinished("", "")]),
        ("data:test\n\ndata: test\n\n", vec![event("", "test"), event("", "test")]),
        ("event: add\ndata: 73857293\n\n", vec![event("add", "73857293")]),
    ] {
        assert_eq!(whats(stream.as_bytes()), expected, "{stream:?}");
    }
}

#[test]
fn the_rules_of_the_standard_are_kept() {
    for (stream, expected) in [
        ("", vec![]),
        ("\u{feff}data: a\n\n", vec![event("", "a")]),
        ("\u{feff}\u{feff}data: a\n\n", vec![What::Blank]),
        ("\n\u{feff}data: a\n\n", vec![What::Blank, What::Blank]),
        ("data:a\ndata:b\rdata:c\r\n\n", vec![event("", "a\nb\nc")]),
        ("data: a: b\n\n", vec![event("", "a: b")]),
        ("Data: a\nDATA: b\n data: c\ndata : d\ndatas: e\ndat: f\n\n", vec![What::Blank]),
        ("event: a\nevent: b\ndata:\n\n", vec![event("b", "")]),
        ("event: a\nevent\ndata: x\n\ndata: y\n\n", vec![event("", "x"), event("", "y")]),
        ("event: ping\n\ndata: x\n\n", vec![What::Blank, event("", "x")]),
        ("id: 1\0\ndata: x\n\n", vec![event("", "x")]),
        ("id: 1\nid: 2\0\ndata: x\n\n", vec![with_id("1", "x")]),
        ("data: a\n:\n: c\ndata: b\n\n", vec![comment(""), comment(" c"), event("", "a\nb")]),
        ("\n\r\n\r\r", vec![What::Blank; 4]),
    ] {
        assert_eq!(whats(stream.as_bytes()), expected, "{stream:?}");
    }
}

#[test]
fn only_digits_are_a_time_to_retry_after() {
    let wait = |millis| vec![What::Retry(Duration::from_millis(millis))];
    for (stream, expected) in [
        ("retry: 3000\n", wait(3000)),
        ("retry:0\n", wait(0)),
        ("retry: 007\n", wait(7)),
        ("retry: 99999999999999999999999999\n", wait(u64::MAX)),
        ("retry\nretry:\nretry: \nretry:  1\nretry: 1 \nretry: -1\nretry: +1\nretry: 1.5\nretry: \u{0663}\n", vec![]),
        ("retry: 30", vec![unfinished("", "")]),
    ] {
        assert_eq!(whats(stream.as_bytes()), expected, "{stream:?}");
    }
}

#[test]
fn an_event_without_an_end_is_never_given_as_whole() {
    for (stream, left) in [
        ("data: [DONE]", Some(unfinished("", "[DONE]"))),
        ("data: [DONE]\n", Some(unfinished("", "[DONE]"))),
        ("data: [DONE]\r", Some(unfinished("", "[DONE]"))),
        ("data: {\"a\":\ndata: tr", Some(unfinished("", "{\"a\":\ntr"))),
        ("event: error\n", Some(unfinished("error", ""))),
        ("event: err", Some(unfinished("err", ""))),
        ("id: 4\ndat", Some(What::Unfinished(Event { id: Some(b"4".to_vec()), ..Event::default() }))),
        (": keep-al", Some(unfinished("", ""))),
        ("other", Some(unfinished("", ""))),
        ("other\n", None),
        ("data: [DONE]\n\n", None),
        ("data: [DONE]\r\r", None),
        ("data: [DONE]\n\r", None),
    ] {
        let before = b"data: before\n\n";
        let mut items = whats(&[before, stream.as_bytes()].concat());
        assert_eq!(items.remove(0), event("", "before"));
        items.retain(|what| *what != event("", "[DONE]"));
        assert_eq!(items, Vec::from_iter(left), "{stream:?}");
    }
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut() {
    for stream in streams() {
        let expected = read(StreamLimits::DEFAULT, usize::MAX, [&stream[..]]);
        assert_eq!(expected, model(4 << 20, 4 << 20, &stream));
        for at in 0..=stream.len() {
            let (one, two) = stream.split_at(at);
            assert_eq!(read(StreamLimits::DEFAULT, 8 << 20, [one, two]), expected, "cut at {at}");
            assert_eq!(read(StreamLimits::DEFAULT, 8 << 20, cut(&stream, &[at.max(1)])), expected, "every {at}");
        }
    }
}

#[test]
fn the_ends_of_lines_change_where_events_end_and_nothing_else() {
    for stream in STREAMS {
        let [lf, crlf, cr] = ["\n", "\r\n", "\r"].map(|end| whole(stream.replace('\n', end).as_bytes()));
        for ((lf, crlf), cr) in lf.iter().zip(&crlf).zip(&cr) {
            assert_eq!((&lf.what, &lf.what), (&crlf.what, &cr.what));
            assert_eq!((lf.end, lf.cut), (cr.end, cr.cut));
            let lines =
                stream.as_bytes()[..usize::try_from(lf.end).unwrap()].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(lf.end + lines as u64, crlf.end);
        }
        assert_eq!((lf.len(), lf.len()), (crlf.len(), cr.len()));
    }
}

#[test]
fn what_is_cut_where_it_may_be_cut_is_whole_events() {
    for stream in streams() {
        let events = |seen: Vec<Seen>| {
            let is_event = |seen: Seen| matches!(seen.what, What::Event(_)).then_some(seen.what);
            seen.into_iter().filter_map(is_event).collect::<Vec<_>>()
        };
        let (mut forwarded, mut pieces) = (Vec::new(), Vec::new());
        for item in whole(&stream) {
            let piece = &stream[forwarded.len()..usize::try_from(item.cut).unwrap()];
            forwarded.extend_from_slice(piece);
            let seen = whole(piece);
            assert!(!seen.iter().any(|seen| matches!(seen.what, What::Unfinished(_))), "{seen:?}");
            pieces.extend(events(seen));
        }
        assert_eq!(pieces, events(whole(&stream)));
        assert!(stream.starts_with(&forwarded));
    }
}

#[test]
fn a_comment_within_an_event_is_told_at_once_and_is_no_place_to_cut() {
    let stream = b": a\ndata: x\n: b\nretry: 1\n\n";
    let places: Vec<_> = whole(stream).iter().map(|seen| (seen.end, seen.cut)).collect();
    assert_eq!(places, [(4, 4), (16, 4), (25, 4), (26, 26)]);
}

// === ends of lines at the ends of chunks ===

fn ends(chunks: &[&str]) -> Vec<Vec<u64>> {
    let mut reader = SseReader::new(StreamLimits::DEFAULT);
    let ends = chunks.iter().map(|chunk| {
        let (mut rest, mut ends) = (chunk.as_bytes(), Vec::new());
        while let Some(item) = reader.read(&mut rest).unwrap() {
            ends.push(item.end);
        }
        ends
    });
    ends.collect()
}

#[test]
fn an_event_is_given_with_its_last_byte() {
    assert_eq!(ends(&["data: a\n", "\n"]), [vec![], vec![9]]);
    assert_eq!(ends(&["data: a\r\n", "\r\n"]), [vec![], vec![11]]);
    assert_eq!(ends(&["data: a\r", "\r"]), [vec![], vec![9]], "CR after CR is no half of a CRLF");
    assert_eq!(ends(&["data: a\r\r", "data: b\r\r"]), [vec![9], vec![18]]);
}

#[test]
fn half_a_crlf_does_not_end_an_event() {
    assert_eq!(ends(&["data: a\r\n\r", "\n"]), [vec![], vec![11]]);
    assert_eq!(ends(&["data: a\n\r", "data: b"]), [vec![], vec![9]], "the next byte tells");
    assert_eq!(ends(&[": a\r", "\n"]), [vec![], vec![5]]);
}

#[test]
fn an_lf_where_none_was_waited_for_counts_to_what_follows() {
    let expected = ends(&["data: a\r\r\ndata: b\n\n"]).concat();
    assert_eq!(expected, [9, 19]);
    assert_eq!(ends(&["data: a\r\r", "\ndata: b\n\n"]).concat(), expected);
    assert_eq!(whats(b"data: a\r\r\ndata: b\n\n"), [event("", "a"), event("", "b")]);
}

// === what is copied ===

#[test]
fn an_event_within_a_chunk_is_borrowed_from_it() {
    let chunk = b": c\ndata: before\n\nid: 1\nevent: error\r\ndata: {}\r\n\r\ndata: after\r\r";
    let within = |part: &[u8]| chunk.as_ptr_range().contains(&part.as_ptr());
    let mut reader = SseReader::new(StreamLimits::DEFAULT);
    let (mut rest, mut events) = (&chunk[..], 0);
    while let Some(item) = reader.read(&mut rest).unwrap() {
        match item.kind {
            SseKind::Event(SseEvent { name, data, id, .. }) => {
                assert!(within(data) && [name, id].into_iter().flatten().all(within));
                events += 1;
            }
            SseKind::Comment(text) => assert!(within(text)),
            other => panic!("unexpected: {other:?}"),
        }
        assert_eq!(reader.held(), 0, "no memory is taken");
    }
    assert_eq!(events, 3);
}

#[test]
fn room_is_used_again_and_more_than_usual_is_given_back() {
    let mut reader = SseReader::new(StreamLimits::DEFAULT);
    let mut feed = |chunk: &str| {
        let mut rest = chunk.as_bytes();
        while reader.read(&mut rest).unwrap().is_some() {}
        reader.held()
    };
    feed("data: 0123456789");
    let usual = feed("0123456789\n\ndata: 0123456789");
    for _ in 0..1000 {
        assert_eq!(feed("0123456789\n\ndata: 0123456789"), usual);
    }
    assert!(feed(&"x".repeat(1 << 20)) >= 1 << 20);
    feed("\n\n");
    assert!(feed("data: x\n\n") <= 8 << 10);
}

#[test]
fn bytes_that_are_not_utf_8_are_data_like_any_other() {
    let seen = whats(b"event: \xff\ndata: \xf0\x9f\n\n\xffdata: x\n\ndata: y\n\n");
    let odd = Event { name: Some(vec![0xff]), data: vec![0xf0, 0x9f], id: None };
    assert_eq!(seen, [What::Event(odd), What::Blank, event("", "y")]);
}

#[test]
fn neither_a_reader_nor_its_error_shows_what_it_holds() {
    let mut reader = SseReader::new(StreamLimits::DEFAULT.line(20));
    reader.read(&mut &b"data: secret\nevent: secret"[..]).unwrap();
    assert!(!format!("{reader:?}").contains("secret"));
    let error = reader.read(&mut &b"secret secret secret"[..]).unwrap_err();
    assert_eq!(error.to_string(), "a line of the stream is longer than 20 bytes");
}

// === bounds ===

#[test]
fn a_line_may_be_as_long_as_allowed_and_no_longer() {
    let limits = StreamLimits::DEFAULT.line(10);
    for end in ["\n\n", "\r\n\r\n", "\r\r", ""] {
        for (line, fits) in [("data: 4567", true), ("data: 45678", false), (":234567890", true), (":2345678901", false)]
        {
            for size in 1..20 {
                let stream = format!("\u{feff}{line}{end}");
                let (_, error) = read(limits, 10 + 2 * (4 << 20), cut(stream.as_bytes(), &[size]));
                assert_eq!(error, (!fits).then_some(StreamErrorKind::LineTooLong), "{stream:?}");
            }
        }
    }
}

#[test]
fn an_event_may_be_as_long_as_allowed_and_no_longer() {
    let limits = StreamLimits::DEFAULT.event(10);
    for (stream, fits) in [
        ("data: 0123456789\n\n", true),
        ("data: 01234567890\n\n", false),
        ("data: 0123\ndata: 56789\n\n", true),
        ("data: 0123\ndata: 567890\n\n", false),
        ("data: 0123\ndata: 567890", false),
        ("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n\n", true),
        ("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n\n", false),
        ("event: abc\ndata: 0123\nid: xyz\n\n", true),
        ("event: abc\ndata: 0123\nid: xyzz\n\n", false),
        ("event: 0123456789\nevent: a\ndata: 012345678\n\n", true),
        ("event: 0123456789\n\ndata: 0123456789\n\n", true),
        (": a long comment is none of it\ndata: 0\n\n", true),
    ] {
        for size in 1..=stream.len() {
            let (_, error) = read(limits, usize::MAX, cut(stream.as_bytes(), &[size]));
            assert_eq!(error, (!fits).then_some(StreamErrorKind::EventTooLong), "{stream:?} by {size}");
        }
    }
}

#[test]
fn a_line_of_json_without_a_field_is_told_apart_from_events() {
    let stream = b"data: a\n\n{\"error\":1}\ndata: b\n{\"error\":2}\n\n{\"error\":3}";
    let (seen, _) = read(StreamLimits::DEFAULT, usize::MAX, [&stream[..]]);
    let stray = |number| What::Stray(format!("{{\"error\":{number}}}").into_bytes());
    let what: Vec<_> = seen.iter().map(|seen| (seen.what.clone(), seen.cut)).collect();
    let expected = [(event("", "a"), 9), (stray(1), 21), (stray(2), 21), (event("", "b"), 42), (stray(3), 53)];
    assert_eq!(what, expected);
}

#[test]
fn what_came_before_an_error_is_given() {
    let limits = StreamLimits::DEFAULT.line(10);
    let (seen, error) = read(limits, usize::MAX, [&b"data: a\n\ndata: too long\n\ndata: b\n\n"[..]]);
    assert_eq!(seen, [Seen { what: event("", "a"), end: 9, cut: 9 }]);
    assert_eq!(error, Some(StreamErrorKind::LineTooLong));
}

#[test]
fn a_stream_without_an_end_of_line_holds_no_more_than_a_line() {
    let limits = StreamLimits::DEFAULT.line(10_000).event(20_000);
    let mut reader = SseReader::new(limits);
    let mut error = None;
    for _ in 0..1_000_000 {
        error = reader.read(&mut &b"0123456789"[..]).err();
        assert!(reader.held() <= 10_000);
        if error.is_some() {
            break;
        }
    }
    assert_eq!(error.unwrap().kind(), StreamErrorKind::LineTooLong);
}

// === any stream ===

/// A parser that sees the whole stream, and takes it line by line.
fn model(max_line: usize, max_event: usize, stream: &[u8]) -> Reading {
    let (lines, torn) = model_lines(stream);
    let (mut seen, mut event, mut has_data, mut open, mut cut) = (Vec::new(), Event::default(), false, false, 0);
    let total = stream.len();
    for (line, end, is_torn) in
        lines.into_iter().map(|(line, end)| (line, end, false)).chain(torn.map(|line| (line, total, true)))
    {
        let end = end as u64;
        if line.len() > max_line {
            return (seen, Some(StreamErrorKind::LineTooLong));
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[..0]),
        };
        let value = match value {
            [b' ', value @ ..] => value,
            value => value,
        };
        let mut told = None;
        match name {
            _ if line.is_empty() => {
                let whole = std::mem::take(&mut event);
                told = Some(if has_data { What::Event(named(whole)) } else { What::Blank });
                (has_data, open) = (false, false);
            }
            [b'{', ..] => told = Some(What::Stray(line.to_vec())),
            b"" => told = Some(What::Comment(line[1..].to_vec())),
            b"data" => {
                if has_data {
                    event.data.push(b'\n');
                }
                event.data.extend_from_slice(value);
                (has_data, open) = (true, true);
            }
            b"event" => (event.name, open) = (Some(value.to_vec()), true),
            b"id" if !value.contains(&0) => (event.id, open) = (Some(value.to_vec()), true),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let millis = std::str::from_utf8(value).unwrap().parse().unwrap_or(u64::MAX);
                told = Some(What::Retry(Duration::from_millis(millis)));
            }
            _ => {}
        }
        if event.data.len() + event.name.as_ref().map_or(0, Vec::len) + event.id.as_ref().map_or(0, Vec::len)
            > max_event
        {
            return (seen, Some(StreamErrorKind::EventTooLong));
        }
        if is_torn && !matches!(told, Some(What::Stray(_))) {
            open = true;
        } else if let Some(what) = told {
            cut = if open { cut } else { end };
            seen.push(Seen { what, end, cut });
        }
    }
    if open {
        seen.push(Seen { what: What::Unfinished(named(event)), end: total as u64, cut });
    }
    (seen, None)
}

fn named(event: Event) -> Event {
    Event { name: event.name.filter(|name| !name.is_empty()), ..event }
}

/// The lines of a stream with the places they end at, and what stands after the last end.
fn model_lines(stream: &[u8]) -> (Vec<(&[u8], usize)>, Option<&[u8]>) {
    let (mut lines, mut bare) = (Vec::new(), false);
    let mut at = if stream.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    while let Some(length) = stream[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (line, end) = (&stream[at..at + length], at + length + 1);
        let lf_follows = stream[end - 1] == b'\r' && stream.get(end) == Some(&b'\n');
        // Where the line before ended in a CR of its own, this one is taken to.
        let counted = lf_follows && !bare;
        lines.push((line, end + usize::from(counted)));
        bare = stream[end - 1] == b'\r' && !lf_follows;
        at = end + usize::from(lf_follows);
    }
    (lines, (at < stream.len()).then(|| &stream[at..]))
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"data: ",
        b"data:",
        b"data",
        b"event: ",
        b"event",
        b"id: ",
        b"id",
        b"retry: ",
        b"retry:12",
        b": ",
        b":",
        b"\n",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\r\r",
        b" ",
        b"x",
        b"{",
        b"{}",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xef\xbb",
        b"0123456789",
    ];
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

fn any_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), prop::collection::vec(0..12_usize, 1..8)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_stream_is_read_as_by_a_parser_that_sees_it_whole(stream in any_stream(), sizes in any_sizes()) {
        let expected = model(4 << 20, 4 << 20, &stream);
        prop_assert_eq!(&read(StreamLimits::DEFAULT, usize::MAX, [&stream[..]]), &expected);
        prop_assert_eq!(&read(StreamLimits::DEFAULT, usize::MAX, cut(&stream, &sizes)), &expected);
    }

    #[test]
    fn no_stream_makes_a_reader_hold_more_than_its_bound(
        stream in any_stream(), sizes in any_sizes(), line in 0..24_usize, event in 0..24_usize,
    ) {
        let limits = StreamLimits::DEFAULT.line(line).event(event);
        let expected = model(line, event, &stream);
        // With limits this low, each of the three buffers of an event keeps to that of the event.
        prop_assert_eq!(&read(limits, line + 3 * event, [&stream[..]]), &expected);
        prop_assert_eq!(&read(limits, line + 3 * event, cut(&stream, &sizes)), &expected);
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_loop(stream: Vec<u8>, sizes in any_sizes()) {
        let limits = StreamLimits::DEFAULT.line(40).event(40);
        prop_assert_eq!(read(limits, 160, cut(&stream, &sizes)), model(40, 40, &stream));
    }

    #[test]
    fn long_names_leave_no_more_memory_held_than_promised(
        lines in prop::collection::vec((prop::sample::select(&["event", "id", "data", ":", ""][..]), 0..30_000_usize), 0..30),
        size in 1..20_000_usize,
    ) {
        let (line, event) = (30_000, 40_000);
        let text = |(field, length): &(&str, usize)| match *field {
            "" => "\n".to_owned(),
            field => format!("{field}:{}\n", "x".repeat(*length)),
        };
        let stream: String = lines.iter().map(text).collect();
        let limits = StreamLimits::DEFAULT.line(line).event(event);
        let expected = model(line, event, stream.as_bytes());
        let bound = line + 2 * event + (8 << 10);
        prop_assert!(read(limits, bound, cut(stream.as_bytes(), &[size])) == expected);
    }
}
