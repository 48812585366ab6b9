//! Answers in the form that is asked for.

use super::*;

const STREAM: [&str; 5] = [
    "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n",
    ": keep-alive\n\ndata: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

#[tokio::test(start_paused = true)]
async fn a_stream_is_given_again_event_for_event_and_byte_for_byte() {
    let bench = bench(Conversations::new());
    bench.probe.next(sse(&STREAM));
    let first = bench.send(chat(r#","stream":true"#)).await;
    let again = bench.send(chat(r#","stream":true"#)).await;
    assert_eq!(again.cache(), "hit");
    assert_eq!(again.body.data, first.body.data);
    assert_eq!(again.head.headers["content-type"], "text/event-stream");
}

#[tokio::test(start_paused = true)]
async fn a_stream_answers_who_wants_no_stream() {
    let bench = bench(Conversations::new());
    bench.probe.next(sse(&STREAM));
    bench.send(chat(r#","stream":true"#)).await;
    let whole = bench.send(chat("")).await;
    assert_eq!((whole.cache(), whole.header("content-type")), ("hit", "application/json"));
    let value: serde_json::Value = serde_json::from_str(&whole.text()).expect("it is JSON");
    assert_eq!(value["choices"][0]["message"], serde_json::json!({ "role": "assistant", "content": "Hello" }));
    assert_eq!((&value["choices"][0]["finish_reason"], &value["object"]), (&"stop".into(), &"chat.completion".into()));
    assert_eq!((&value["id"], &value["model"], value.get("usage")), (&"c-1".into(), &"m-1".into(), None));
    assert_eq!(bench.probe.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_answers_who_wants_a_stream_and_back_again() {
    let bench = bench(Conversations::new());
    bench.probe.next(json(WHOLE));
    bench.send(chat("")).await;
    let stream = bench.send(chat(r#","stream":true,"stream_options":{"include_usage":true}"#)).await;
    assert_eq!((stream.cache(), stream.header("content-type")), ("hit", "text/event-stream"));
    let text = stream.text();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let events = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let chunks: Vec<serde_json::Value> = events.filter_map(|data| serde_json::from_str(data).ok()).collect();
    let content: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(content, "Hello, \"you\"");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 5);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "c-1" && chunk["system_fingerprint"] == "f"));
    // And a stream as a provider would give it can be kept and made whole.
    let other = super::bench(Conversations::new());
    let parts: Vec<&'static str> = vec![Box::leak(text.into_boxed_str())];
    other.probe.next(sse(&parts));
    other.send(chat(r#","stream":true"#)).await;
    let whole = other.send(chat("")).await;
    let (was, is): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(WHOLE).expect("JSON"), serde_json::from_str(&whole.text()).expect("JSON"));
    assert_eq!(is, was);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_tell_its_usage_does_not_answer_who_asks_for_it() {
    let bench = bench(Conversations::new());
    bench.probe.next(sse(&STREAM));
    bench.probe.next(sse(&STREAM));
    bench.send(chat(r#","stream":true"#)).await;
    let asked = bench.send(chat(r#","stream":true,"stream_options":{"include_usage":true}"#)).await;
    assert_eq!(asked.header("cache-status"), "buttress-cache; fwd=vary-miss");
}

#[tokio::test(start_paused = true)]
async fn in_other_formats_an_answer_is_given_in_the_form_it_came_in() {
    let bench = bench(Conversations::new());
    let body = |stream: bool| {
        let text = format!(
            r#"{{"model":"c","max_tokens":5,"temperature":0,"stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        post("/v1/messages", &text)
    };
    let whole = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],"model":"c","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let stream = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ];
    bench.probe.next(json(whole));
    bench.probe.next(sse(&stream));
    for stream in [false, true] {
        let first = bench.send(body(stream)).await;
        let again = bench.send(body(stream)).await;
        assert_eq!((first.cache(), again.cache()), ("miss", "hit"), "{stream}");
        assert_eq!(again.body.data, first.body.data);
    }
    assert_eq!(bench.probe.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_text_of_responses_is_found_and_their_answers_kept() {
    let bench = bench(Conversations::new());
    let done = r#"{"id":"r","object":"response","status":"completed","tools":[],"output":[{"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    bench.probe.always(json(done));
    let bodies = [
        r#"{"model":"m","temperature":0,"input":"hi"}"#,
        r#"{"temperature":0.0,"input":"hi","model":"m","stream":false}"#,
    ];
    let [first, again] = bodies.map(|body| post("/v1/responses", body));
    assert_eq!(bench.send(first).await.cache(), "miss");
    assert_eq!(bench.send(again).await.cache(), "hit");
    let stateful = post("/v1/responses", r#"{"model":"m","temperature":0,"input":"hi","previous_response_id":"r"}"#);
    assert_eq!(bench.send(stateful).await.header("cache-status"), "buttress-cache; fwd=bypass; detail=stateful");
}
