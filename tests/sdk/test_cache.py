"""Answers that are given again, through the official clients: whole and streamed, and the same as they were."""

import json

import anthropic
import pytest
from conftest import GATEWAY_URL
from support import MESSAGES, MODEL, collect

pytestmark = pytest.mark.skipif(bool(GATEWAY_URL), reason="the gateway at BUTTRESS_GATEWAY_URL caches as it is set to")

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


EXACT = ["[cache]", 'mode = "exact"', "sampled = true"]
SEMANTIC = ["[cache]", 'mode = "semantic"', "sampled = true", "[cache.semantic]", 'policy = "threshold"', "threshold = 0.85"]


def test_an_answer_is_the_same_when_it_is_given_again_whole_and_streamed(start_gateway):
    site = start_gateway(SEMANTIC)
    client = site.client()
    create = client.chat.completions.with_raw_response.create

    def whole(text):
        raw = create(model=MODEL, messages=[{"role": "user", "content": text}])
        return raw.headers["x-cache"], raw.parse()

    def streamed(text):
        raw = create(model=MODEL, messages=[{"role": "user", "content": text}], stream=True)
        return raw.headers["x-cache"], collect(raw.parse())[:3]

    question = "Why do the walls of this church need buttresses?"
    (miss, first), (hit, again) = whole(question), whole(question)
    assert (miss, hit) == ("miss", "hit") and again == first
    (outcome, (text, finish, _)) = streamed(question)
    assert (outcome, text, finish) == ("hit", first.choices[0].message.content, "stop"), "a stream is made of the whole"
    (outcome, like) = whole("why do the walls of this church need buttresses")
    assert outcome == "semantic-hit" and like.choices[0].message.content == first.choices[0].message.content

    other = "How high are the towers of that cathedral?"
    (miss, first), (hit, again) = streamed(other), streamed(other)
    assert (miss, hit) == ("miss", "hit") and again == first
    assert site.control.count("requests") == 2


def test_a_message_of_anthropic_is_the_same_when_it_is_given_again(start_gateway):
    client = anthropic.Anthropic(base_url=start_gateway(EXACT).url, api_key="test-key")

    def streamed():
        with client.messages.stream(model=MODEL, max_tokens=100, messages=MESSAGES) as stream:
            return stream.response.headers["x-cache"], stream.get_final_message()

    (miss, first), (hit, again) = streamed(), streamed()
    assert (miss, hit) == ("miss", "hit") and again == first
    create = client.messages.with_raw_response.create
    answers = [create(model=MODEL, max_tokens=100, messages=MESSAGES) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit"], "it is given as it came"
    assert answers[0].parse() == answers[1].parse()


def test_a_call_of_a_tool_is_not_kept_where_that_is_not_allowed(start_gateway):
    site = start_gateway(EXACT)
    site.control.fault_everywhere({"kind": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}})
    create = site.client().chat.completions.with_raw_response.create
    for more in ({}, {"tools": [WEATHER]}):
        for _ in range(2):
            raw = create(model=MODEL, messages=MESSAGES, **more)
            assert raw.headers["x-cache"] == ("bypass" if more else "miss")
            call = raw.parse().choices[0].message.tool_calls[0]
            assert json.loads(call.function.arguments) == {"city": "Oslo"}
    assert site.control.count("requests") == 4
