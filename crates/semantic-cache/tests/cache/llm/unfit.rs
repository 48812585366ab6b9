//! What is left alone, and what is not kept.

use buttress_semantic_cache::{Bypass, Unfit};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_has_no_one_right_answer_is_left_alone_unless_it_is_allowed() {
    let strict = Conversations::new();
    let messages = |content: &str, more: &str| {
        post(
            "/v1/chat/completions",
            &format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]{more}}}"#),
        )
    };
    let zero = r#","temperature":0"#;
    let image = r#"[{"type":"text","text":"what is it"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]"#;
    let audio = r#"[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]"#;
    for (request, bypass, allowed) in [
        (messages(r#""hi""#, ""), Bypass::Sampled, Some(strict.sampled())),
        (messages(r#""hi""#, r#","temperature":0.2"#), Bypass::Sampled, Some(strict.sampled())),
        (chat(r#","tools":[{"type":"function","function":{"name":"f"}}]"#), Bypass::Tools, Some(strict.with_tools())),
        (messages(image, zero), Bypass::Media, Some(strict.with_media())),
        (messages(audio, zero), Bypass::Media, Some(strict.with_media())),
        (messages(r#""mail ada@example.org""#, zero), Bypass::Personal, Some(strict.personal())),
        (chat(r#","n":2"#), Bypass::Several, None),
        (chat(r#","logprobs":true"#), Bypass::Several, None),
        (post("/v1/unheard-of", "{}"), Bypass::Kind, None),
        (post("/v1/chat/completions", "{"), Bypass::Kind, None),
    ] {
        let again = || {
            let mut again = Request::new(request.body().clone());
            (*again.method_mut(), *again.uri_mut(), *again.headers_mut()) =
                (request.method().clone(), request.uri().clone(), request.headers().clone());
            again
        };
        let bench = bench(strict);
        bench.probe.always(json(WHOLE));
        assert_eq!(bench.send(again()).await.cache(), "bypass");
        assert_eq!(bench.cache.bypassed_for(bypass), 1, "{bypass:?}");
        let Some(allowed) = allowed else { continue };
        let bench = super::bench(allowed);
        bench.probe.always(json(WHOLE));
        assert_eq!(
            [bench.send(again()).await.cache(), bench.send(again()).await.cache()],
            ["miss", "hit"],
            "{bypass:?}"
        );
    }
}

fn ends(finish: &str) -> Reply {
    let body = format!(
        r#"{{"id":"c","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hi"}},"finish_reason":"{finish}"}}]}}"#
    );
    json(Box::leak(body.into_boxed_str()))
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_or_not_only_words_is_not_kept() {
    let call = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let refuses = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"No."},"finish_reason":"stop"}]}"#;
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
    for (reply, unfit) in [
        (ends("length"), Unfit::Finish),
        (ends("content_filter"), Unfit::Finish),
        (json(call), Unfit::Content),
        (json(refuses), Unfit::Content),
        (json("<html>"), Unfit::Malformed),
        (json(r#"{"error":{"message":"m","type":"server_error"}}"#), Unfit::Failure),
        (sse(&[chunk]), Unfit::Truncated),
        (sse(&[chunk, "data: [DONE]\n\n"]), Unfit::Finish),
        (
            sse(&[chunk, "data: {\"error\":{\"message\":\"m\",\"code\":\"server_error\"}}\n\n", "data: [DONE]\n\n"]),
            Unfit::Failure,
        ),
        (sse(&[chunk, "data: {\"choi"]), Unfit::Truncated),
    ] {
        let bench = bench(Conversations::new());
        bench.probe.always(reply);
        for _ in 0..2 {
            assert_eq!(bench.send(chat("")).await.cache(), "miss");
        }
        assert_eq!(bench.cache.unfit_for(unfit), 2, "{unfit:?} {:?}", bench.cache.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_tool_is_kept_where_tools_are_allowed() {
    let call = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let bench = bench(Conversations::new().with_tools());
    bench.probe.always(json(call));
    assert_eq!([bench.send(chat("")).await.cache(), bench.send(chat("")).await.cache()], ["miss", "hit"]);
    assert_eq!(bench.send(chat(r#","stream":true"#)).await.cache(), "miss", "it is not made into another form");
}
