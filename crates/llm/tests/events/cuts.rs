//! However an answer is cut and whatever ends its lines, it means the same.

use buttress_llm::{Format, LlmStreams, StreamLimits};
use proptest::prelude::*;

use crate::{
    answers::{ANSWERS, Answer},
    reading::{JSON, NDJSON, SSE, Seen, open_within, read, read_within, usage},
};

/// Signs of life in an answer that is one value depend on how it is cut; nothing else does.
fn read_whole(answer: &Answer, chunks: &[&[u8]]) -> Seen {
    let seen = read(answer.format, answer.content_type(), chunks.iter().copied());
    if answer.content_type() == JSON { seen.without_keep_alive() } else { seen }
}

#[test]
fn each_part_of_an_answer_means_what_its_format_says() {
    for answer in ANSWERS {
        let seen = read_whole(answer, &[answer.text.as_bytes()]);
        assert_eq!(seen.word(), answer.word, "{}", answer.name);
        assert_eq!(seen.usage, answer.usage.map(usage), "{}", answer.name);
    }
}

#[test]
fn an_answer_means_the_same_wherever_it_is_cut() {
    for answer in ANSWERS {
        let text = answer.text.as_bytes();
        let expected = read_whole(answer, &[text]);
        for at in 0..=text.len() {
            let (before, after) = text.split_at(at);
            assert_eq!(read_whole(answer, &[before, after]), expected, "{} at {at}", answer.name);
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(read_whole(answer, &bytes), expected, "{} byte by byte", answer.name);
    }
}

#[test]
fn an_event_stream_means_the_same_with_any_line_ends_with_a_mark_and_with_data_in_many_lines() {
    for answer in ANSWERS.iter().filter(|answer| answer.content_type() == SSE) {
        let word = |text: &str| {
            let whole = read_whole(answer, &[text.as_bytes()]);
            let bytes = read_whole(answer, &text.as_bytes().chunks(1).collect::<Vec<_>>());
            assert_eq!(whole, bytes, "{}", answer.name);
            (whole.word(), whole.usage)
        };
        let expected = word(answer.text);
        for ends in ["\r\n", "\r"] {
            assert_eq!(word(&answer.text.replace('\n', ends)), expected, "{} with {ends:?}", answer.name);
        }
        assert_eq!(word(&format!("\u{feff}{}", answer.text)), expected, "{} with a mark", answer.name);
        let many = answer.text.replace("data: {", "data: {\ndata:").replace(",\"", ",\ndata: \"");
        assert_eq!(word(&many), expected, "{} in many lines", answer.name);
    }
}

fn any_answer() -> impl Strategy<Value = (Vec<u8>, Format, &'static str)> {
    let words = prop::sample::select(
        &[
            "data: ",
            "event: error",
            "event: ping",
            "\n",
            "\n\n",
            "\r\n",
            "[DONE]",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "null",
            "true",
            "-1",
            "1e999",
            "99999999999999999999999",
            "\"choices\":",
            "\"delta\":",
            "\"content\":\"a\"",
            "\"error\":",
            "\"finish_reason\":\"stop\"",
            "\"index\":127",
            "\"index\":128",
            "\"usage\":{\"prompt_tokens\":5}",
            "\"type\":\"error\"",
            "\"type\":\"message_stop\"",
            "\"done\":true",
            "\"candidates\":",
            "\"finishReason\":\"STOP\"",
            "\"sequence_number\":7",
            "{\"error\":{\"code\":429}}",
            "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
            "ß",
            ": comment\n",
            "\u{feff}",
            " ",
        ][..],
    );
    let word = prop_oneof![
        12 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => Just(vec![b'a'; 700]),
    ];
    let answer = prop::sample::select(ANSWERS).prop_map(|answer| answer.text.as_bytes().to_vec());
    let random = prop::collection::vec(word, 0..60).prop_map(|words| words.concat());
    let damaged = (answer, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut text, at, byte)| {
        let at = at.index(text.len());
        text[at] = byte;
        text
    });
    let formats = [
        Format::Chat,
        Format::Completions,
        Format::Responses,
        Format::Messages,
        Format::Gemini,
        Format::Ollama,
        Format::Json,
    ];
    (
        prop_oneof![2 => random, 1 => damaged],
        prop::sample::select(formats.to_vec()),
        prop::sample::select(vec![SSE, NDJSON, JSON]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_makes_a_reader_panic_or_loop_or_hold_more_than_its_bound(
        (text, format, content_type) in any_answer(),
        sizes in prop::collection::vec(1..40_usize, 1..5),
    ) {
        let streams = LlmStreams::new().limits(StreamLimits::DEFAULT.line(512).event(1024)).max_answer(600);
        let open = || open_within(streams, format, &[("content-type", content_type)]).unwrap();
        let mut chunks = Vec::new();
        let (mut rest, mut sizes) = (&text[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        // A line, twice an event, and 8 KiB.
        let bound = 512 + 2 * 1024 + 8 * 1024;
        let seen = read_within(&mut open(), bound, chunks);
        let seen_whole = read_within(&mut open(), bound, [&text[..]]);
        if content_type != JSON {
            prop_assert_eq!(seen, seen_whole);
        }
    }
}
