//! What else a body says, read where it stands.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use buttress_llm::{ImageDetail, Operation, Part, RequestDetails, RequestFacts, Role, Turns};
use proptest::prelude::*;

use Operation::*;

fn details(operation: Operation, body: &str) -> RequestDetails<'_> {
    RequestFacts::read(body.as_bytes()).unwrap();
    RequestDetails::new(operation, body.as_bytes())
}

fn texts(details: &RequestDetails<'_>) -> Vec<(Role, String)> {
    let text = |part| match part {
        Part::Text(text) => text.text().unwrap().into_owned(),
        Part::Image { detail, .. } => format!("<{detail:?}>"),
        Part::Other(raw) => format!("<{} bytes>", raw.as_str().len()),
        _ => unreachable!(),
    };
    details.turns().flat_map(|turn| turn.parts().map(move |part| (turn.role, text(part)))).collect()
}

#[test]
fn the_limit_of_an_answer_is_where_each_format_has_it() {
    for (operation, body, expected) in [
        (ChatCompletions, r#"{"max_tokens":7}"#, Some(7)),
        (ChatCompletions, r#"{"max_completion_tokens":8,"max_tokens":7}"#, Some(8)),
        (ChatCompletions, r#"{"max_completion_tokens":null,"max_tokens":7}"#, Some(7)),
        (ChatCompletions, r#"{"max_tok\u0065ns":7}"#, Some(7)),
        (ChatCompletions, r#"{"max_tokens":"7"}"#, None),
        (ChatCompletions, r#"{"max_tokens":-1}"#, None),
        (ChatCompletions, r#"{"max_tokens":1.5}"#, None),
        (ChatCompletions, r#"{"max_tokens":99999999999999999999}"#, None),
        (ChatCompletions, r#"{"messages":[{"max_tokens":7}]}"#, None),
        (ChatCompletions, r#"{"max_tokens":7,"max_tokens":9}"#, Some(9)),
        (Responses, r#"{"max_output_tokens":9}"#, Some(9)),
        (Messages, r#"{"max_tokens":10}"#, Some(10)),
        (GenerateContent, r#"{"generationConfig":{"maxOutputTokens":11}}"#, Some(11)),
        (StreamGenerateContent, r#"{"generation_config":{"max_output_tokens":12}}"#, Some(12)),
        (GenerateContent, r#"{"maxOutputTokens":11}"#, None),
        (OllamaChat, r#"{"options":{"num_predict":13}}"#, Some(13)),
        (OllamaGenerate, r#"{"options":{"num_predict":-1}}"#, None),
        (OllamaChat, r#"{"options":[]}"#, None),
    ] {
        assert_eq!(details(operation, body).max_tokens(), expected, "{body}");
    }
}

#[test]
fn the_conversation_is_where_each_format_has_it() {
    use Role::{Assistant, System, Tool, User};
    for (operation, body, expected) in [
        (
            ChatCompletions,
            r#"{"messages":[{"role":"system","content":"s"},{"content":[{"type":"text","text":"a\nb"},
                {"type":"image_url","image_url":{"url":"x","detail":"low"}}],"role":"user"}]}"#,
            vec![(System, "s"), (User, "a\nb"), (User, "<Low>")],
        ),
        (
            ChatCompletions,
            r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[1]},{"role":"tool","content":"42"}]}"#,
            vec![(Assistant, "<3 bytes>"), (Tool, "42")],
        ),
        (Completions, r#"{"prompt":"once"}"#, vec![(User, "once")]),
        (Completions, r#"{"prompt":["a","b"]}"#, vec![(User, "a"), (User, "b")]),
        (Embeddings, r#"{"input":["a",[1,2]]}"#, vec![(User, "a"), (User, "<1 bytes>"), (User, "<1 bytes>")]),
        (Responses, r#"{"input":"hello"}"#, vec![(User, "hello")]),
        (
            Responses,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"t"},
                {"type":"input_image","image_url":"u","detail":"high"}]},
                {"type":"function_call","name":"f","arguments":"{}"},{"type":"function_call_output","output":"o"}]}"#,
            vec![(User, "t"), (User, "<High>"), (Assistant, "<52 bytes>"), (Tool, "<44 bytes>")],
        ),
        (
            Messages,
            r#"{"system":"s","messages":[{"role":"user","content":[{"type":"image","source":{"data":"x"}},
                {"type":"text","text":"t"}]}]}"#,
            vec![(User, "<Auto>"), (User, "t")],
        ),
        (
            GenerateContent,
            r#"{"contents":[{"role":"model","parts":[{"text":"m"},{"inlineData":{"mimeType":"image/png","data":"x"}},
                {"inlineData":{"mimeType":"audio/wav"}}]},{"parts":[{"text":"u"}]}]}"#,
            vec![(Assistant, "m"), (Assistant, "<Auto>"), (Assistant, "<39 bytes>"), (User, "u")],
        ),
        (EmbedContent, r#"{"content":{"parts":[{"text":"e"}]}}"#, vec![(User, "e")]),
        (
            OllamaChat,
            r#"{"messages":[{"role":"user","content":"c","images":["aGk="]}]}"#,
            vec![(User, "c"), (User, "<Auto>")],
        ),
        (OllamaGenerate, r#"{"prompt":"p"}"#, vec![(User, "p")]),
        (OllamaEmbed, r#"{"input":["x"]}"#, vec![(User, "x")]),
        (ChatCompletions, r#"{"messages":"not an array"}"#, vec![(User, "not an array")]),
        (ChatCompletions, "{}", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(role, text)| (role, text.to_owned())).collect();
        let details = details(operation, body);
        assert_eq!(texts(&details), expected, "{body}");
        assert_eq!(details.has_images(), body.contains("image"), "{body}");
    }
}

#[test]
fn what_the_model_is_told_is_found_in_every_place() {
    for (operation, body, expected) in [
        (
            ChatCompletions,
            r#"{"messages":[{"role":"system","content":"a"},{"role":"user","content":"u"},{"role":"developer","content":"b"}]}"#,
            vec![r#""a""#, r#""b""#],
        ),
        (Responses, r#"{"instructions":"i","input":[{"role":"developer","content":"d"}]}"#, vec![r#""i""#, r#""d""#]),
        (Messages, r#"{"system":[{"type":"text","text":"s"}],"messages":[]}"#, vec![r#"[{"type":"text","text":"s"}]"#]),
        (GenerateContent, r#"{"systemInstruction":{"parts":[]}}"#, vec![r#"{"parts":[]}"#]),
        (GenerateContent, r#"{"system_instruction":{"parts":[]}}"#, vec![r#"{"parts":[]}"#]),
        (OllamaGenerate, r#"{"system":"s","prompt":"p"}"#, vec![r#""s""#]),
        (Messages, r#"{"system":null}"#, vec![]),
    ] {
        let found: Vec<_> = details(operation, body).system().map(|raw| raw.as_str().to_owned()).collect();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn tools_are_counted_and_given_as_they_are_written() {
    let tools = |operation, body| details(operation, body).tools().map(|tools| (tools.count, tools.raw.as_str().len()));
    assert_eq!(tools(ChatCompletions, r#"{"tools":[{"a":[1]}, {} ]}"#), Some((2, 16)));
    assert_eq!(tools(ChatCompletions, r#"{"functions":[{}]}"#), Some((1, 4)));
    let gemini = r#"{"tools":[{"functionDeclarations":[{},{},{}]},{"googleSearch":{}}]}"#;
    assert_eq!(tools(GenerateContent, gemini).unwrap().0, 4);
    for body in [r#"{"tools":[]}"#, r#"{"tools":null}"#, r#"{"tools":{}}"#, "{}"] {
        assert_eq!(tools(ChatCompletions, body), None, "{body}");
    }
}

#[test]
fn sampling_is_where_each_format_has_it() {
    for (operation, body) in [
        (ChatCompletions, r#"{"temperature":0.5,"top_p":1,"seed":-3,"stop":["x"],"frequency_penalty":2e-1}"#),
        (OllamaChat, r#"{"options":{"temperature":0.5,"top_p":1,"seed":-3,"stop":["x"],"frequency_penalty":0.2}}"#),
        (
            GenerateContent,
            r#"{"generationConfig":{"temperature":0.5,"topP":1,"seed":-3,"stopSequences":["x"],"frequencyPenalty":0.2}}"#,
        ),
    ] {
        let sampling = details(operation, body).sampling();
        assert_eq!((sampling.temperature, sampling.top_p, sampling.seed), (Some(0.5), Some(1.0), Some(-3)), "{body}");
        assert_eq!((sampling.frequency_penalty, sampling.presence_penalty), (Some(0.2), None), "{body}");
        assert_eq!(sampling.stop.unwrap().as_str(), r#"["x"]"#, "{body}");
    }
    let anthropic = r#"{"top_k":40,"stop_sequences":["y"],"temperature":"hot"}"#;
    let sampling = details(Messages, anthropic).sampling();
    assert_eq!(
        (sampling.top_k, sampling.temperature),
        (Some(40.0), None),
        "what is of a wrong kind is left to the target"
    );
    assert_eq!(details(ChatCompletions, r#"{"n":3}"#).choices(), 3);
    assert_eq!(details(GenerateContent, r#"{"generationConfig":{"candidateCount":2}}"#).choices(), 2);
    assert_eq!(details(ChatCompletions, r#"{"n":0}"#).choices(), 1);
}

#[test]
fn the_form_of_an_answer_is_where_each_format_has_it() {
    for (operation, body, expected) in [
        (ChatCompletions, r#"{"response_format":{"type":"json_object"}}"#, Some(r#"{"type":"json_object"}"#)),
        (Responses, r#"{"text":{"format":{"type":"text"}}}"#, Some(r#"{"type":"text"}"#)),
        (GenerateContent, r#"{"generationConfig":{"responseMimeType":"a/b"}}"#, Some(r#""a/b""#)),
        (GenerateContent, r#"{"generationConfig":{"responseMimeType":"a/b","responseSchema":{}}}"#, Some("{}")),
        (Messages, r#"{"output_config":{"format":{}}}"#, Some("{}")),
        (OllamaChat, r#"{"format":"json"}"#, Some(r#""json""#)),
        (ChatCompletions, r#"{"format":"json"}"#, None),
    ] {
        assert_eq!(details(operation, body).response_format().map(|raw| raw.as_str()), expected, "{body}");
    }
}

#[test]
fn whether_usage_is_asked_for_is_read() {
    for (body, asked) in [
        (r#"{"stream_options":{"include_usage":true}}"#, true),
        (r#"{"stream_options":{"include_usage":false}}"#, false),
        (r#"{"stream_options":null}"#, false),
        ("{}", false),
    ] {
        assert_eq!(details(ChatCompletions, body).asks_for_usage(), asked, "{body}");
    }
}

#[test]
fn a_million_turns_are_cut_and_what_was_cut_is_told() {
    let body = format!(r#"{{"messages":[{}0]}}"#, "{},".repeat(1_000_000));
    let details = details(ChatCompletions, &body);
    let mut turns = details.turns();
    assert_eq!(turns.by_ref().count(), Turns::MAX);
    assert!(turns.rest().len() > 2_900_000);
}

#[test]
fn turns_and_content_of_any_depth_do_not_recurse() {
    let (open, close) = ("[".repeat(500_000), "]".repeat(500_000));
    let body = format!(r#"{{"messages":[{{"content":{open}{close}}}],"tools":{open}{close}}}"#);
    let details = details(ChatCompletions, &body);
    assert_eq!(details.turns().flat_map(|turn| turn.parts().collect::<Vec<_>>()).count(), 1);
    assert_eq!(details.tools().unwrap().count, 1);
}

#[test]
fn nothing_that_is_printed_holds_a_word_of_the_body() {
    let body = r#"{"messages":[{"role":"user","content":"secret","name":"secret"}],"system":"secret",
        "tools":["secret"],"stop":"secret","response_format":"secret"}"#;
    let details = details(ChatCompletions, body);
    let turns: Vec<_> = details.turns().collect();
    let parts: Vec<_> = turns[0].parts().collect();
    let printed = format!(
        "{details:?} {turns:?} {parts:?} {:?} {:?} {:?} {:?}",
        details.turns(),
        details.tools(),
        details.sampling(),
        details.response_format()
    );
    assert!(!printed.contains("secret"), "{printed}");
    assert_eq!(ImageDetail::default(), ImageDetail::Auto);
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(vec![
        ChatCompletions,
        Completions,
        Embeddings,
        Responses,
        Messages,
        GenerateContent,
        EmbedContent,
        OllamaChat,
        OllamaGenerate,
    ])
}

fn ask_everything(details: &RequestDetails<'_>) {
    let _ = (details.max_tokens(), details.choices(), details.tools(), details.sampling(), details.response_format());
    let _ = (details.has_images(), details.asks_for_usage(), details.system().count());
    details.turns().for_each(|turn| drop(turn.parts().collect::<Vec<_>>()));
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at_without_a_panic(
        operation in any_operation(),
        body in prop::collection::vec(any::<u8>(), 0..64),
        likely in "(\\{|\"(messages|content|input|tools|role|options|parts)\"|:|,|\\[|\\]|\\}|\"|\\\\|1|null|\u{e9}){0,24}",
    ) {
        ask_everything(&RequestDetails::new(operation, &body));
        ask_everything(&RequestDetails::new(operation, likely.as_bytes()));
    }
}
