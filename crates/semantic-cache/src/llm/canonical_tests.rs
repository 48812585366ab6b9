use buttress_llm::{Outline, Part, Role, Turn};
use proptest::prelude::*;

use super::{super::canonical_model as model, *};

fn digest(tell: impl FnOnce(&mut KeyHasher)) -> [u8; 32] {
    let mut hasher = KeyHasher::new();
    tell(&mut hasher);
    hasher.digest()
}

/// Compares the two ways to read `text`.
fn compare(text: &str, format: Format) {
    const CHAT: Operation = Operation::ChatCompletions;
    let outline = Outline::read(text).expect("it is JSON");
    let (found, model) = (Body::read(outline.root(), CHAT, format), model::Body::read(RawJson::new(text), format));
    assert_eq!(found.is_some(), model.is_some(), "{text}");
    let Some((found, model)) = found.zip(model) else { return };
    let scopes = (digest(|hasher| found.tell_scope(hasher)), digest(|hasher| model.tell_scope(hasher)));
    assert_eq!(scopes.0, scopes.1, "{text}");
    let lasts = (digest(|hasher| found.tell_last(hasher)), digest(|hasher| model.tell_last(hasher)));
    assert_eq!(lasts.0, lasts.1, "{text}");
    assert_eq!(found.last_text(), model.last_text().as_deref(), "{text}");
    let found_flags = (found.is_stateful(), found.has_tools(), found.asks_for_more());
    assert_eq!(found_flags, (model.is_stateful(), model.has_tools(), model.asks_for_more()), "{text}");
    let details = RequestDetails::new(CHAT, text.as_bytes());
    assert_eq!(format!("{:?}", found.details()), format!("{details:?}"), "{text}");
    for turn in found.turns().into_iter().flat_map(Spot::elements) {
        let Some(text) = plain_turn(turn) else { continue };
        let slow = Turn::of(turn.raw());
        assert!(slow.parts().eq([Part::Text(text)]) && slow.role != Role::Tool, "{}", turn.raw().as_str());
    }
}

const FORMATS: [Format; 4] = [Format::Chat, Format::Messages, Format::Responses, Format::Ollama];

fn string() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(
        &[
            "a",
            "b",
            "user",
            "\u{e9}",
            "\u{1f600}",
            "\\n",
            "\\u0061",
            "\\ud83d\\ude00",
            "\\ud800",
            "\\\"",
            "\\\\",
            "{",
            "]",
            ",",
            ":",
            "a text that is longer than what is looked at by hand, twice",
        ][..],
    );
    let words =
        prop::sample::select(&["user", "assistant", "system", "tool", "text", "input_text", "us\\u0065r", ""][..]);
    prop_oneof![
        prop::collection::vec(pieces, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat())),
        words.prop_map(|word| format!("\"{word}\"")),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let names = &[
        "role",
        "content",
        "type",
        "text",
        "model",
        "temperature",
        "n",
        "stream",
        "stop",
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "\\u0061",
        "st\\u006fp",
        "ro\\u006ce",
        "c\\u006fntent",
        "logprobs",
        "modalities",
        "context",
        "tools",
        "top_p",
        "tool_choice",
        "\\ud800",
        "messages",
        "input",
    ];
    prop::sample::select(&names[..]).prop_map(|name| format!("\"{name}\""))
}

fn scalar() -> impl Strategy<Value = String> {
    let others = prop::sample::select(
        &[
            "0",
            "-0",
            "0.0",
            "1",
            "1.0",
            "1e0",
            "10e-1",
            "-1.5",
            "0.1",
            "1E+2",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "-9007199254740993",
            "1e400",
            "123456789012345678901234567890",
            "null",
            "true",
            "false",
        ][..],
    );
    prop_oneof![string(), others.prop_map(str::to_owned)]
}

/// Writes what stands between brackets, with space between as somebody might write it.
fn list(open: &str, items: &[String], close: &str, blank: &str) -> String {
    format!("{open}{blank}{}{blank}{close}", items.join(&format!("{blank},{blank}")))
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", " ", "\n\t", " \r\n"][..])
}

fn object(value: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    let members = prop::collection::vec((name(), value), 0..most);
    (members, blank()).prop_map(|(members, blank)| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}{blank}:{blank}{value}")).collect();
        list("{", &members, "}", blank)
    })
}

fn array(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop::collection::vec(value, 0..4), blank()).prop_map(|(values, blank)| list("[", &values, "]", blank))
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 48, 6, |inner| prop_oneof![object(inner.clone(), 13), array(inner)])
}

/// A turn as they are, or nearly.
fn turn() -> impl Strategy<Value = String> {
    let part = (string(), string()).prop_map(|(kind, text)| format!(r#"{{"type":{kind},"text":{text}}}"#));
    let content = prop_oneof![string(), array(part), value()];
    let said = (string(), content, any::<bool>()).prop_map(|(role, content, first)| {
        let (role, content) = (format!("\"role\":{role}"), format!("\"content\":{content}"));
        if first { format!("{{{role},{content}}}") } else { format!("{{{content} , {role}}}") }
    });
    prop_oneof![3 => said, 1 => value()]
}

fn body() -> impl Strategy<Value = String> {
    let member = (name(), value()).prop_map(|(name, value)| format!("{name}:{value}"));
    let turns = prop_oneof![3 => array(turn()), 1 => value()];
    let members = prop::collection::btree_map(name(), value(), 0..11);
    let twins = prop::collection::vec(member, 0..2);
    (members, twins, turns, any::<bool>(), prop::sample::select(&["messages", "input"][..])).prop_map(
        |(mut members, twins, turns, first, name)| {
            members.remove(&format!("\"{name}\""));
            let mut all: Vec<_> = members.into_iter().map(|(name, value)| format!("{name} :{value}")).collect();
            all.extend(twins);
            all.insert(if first { 0 } else { all.len() }, format!("\"{name}\":{turns}"));
            list("{", &all, "}", "")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn one_pass_finds_what_the_plain_way_finds(text in body(), format in prop::sample::select(&FORMATS[..])) {
        compare(&text, format);
    }
}

#[test]
fn what_is_nested_too_deeply_counts_as_it_is_written_in_both_ways() {
    for depth in 28..40 {
        let nested = format!("{}{{\"b\":1.0,\"a\":[1]}}{}", "[{\"x\":".repeat(depth / 2), "}]".repeat(depth / 2));
        for text in [
            format!(r#"{{"x":{nested},"messages":[{{"role":"user","content":"a"}}]}}"#),
            format!(
                r#"{{"messages":[{{"role":"user","y":{nested},"content":"a"}},{{"role":"user","content":{nested}}}]}}"#
            ),
        ] {
            compare(&text, Format::Chat);
        }
    }
}
