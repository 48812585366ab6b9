"""A region fails inside its answers. Each call is answered whole by another region, or raises the SDK's own error."""

import functools

import pytest
from spoken import DIALECTS, Chat, Messages, Responses, Told, ask, ask_async
from support import REGIONS

BROKEN, NEXT, _ = REGIONS


def at(place, then):
    return {"kind": "stream", "at": place, "then": then}


OVERLOADED = {"error": "overloaded"}
COMMENTS = {"comments": {"every_ms": 50}}
# What happens before the first content, so that the caller has seen nothing.
BEFORE = {
    "error-first": at("start", OVERLOADED),
    "error-after-the-opening": at("opening", OVERLOADED),
    "empty": {"kind": "empty"},
    "only-done": {"kind": "only_done"},
    "end-after-the-opening": at("opening", "end"),
    "truncated": at("opening", "close"),
    "reset": at("opening", "reset"),
    "silent": at("opening", "stall"),
    "only-comments": at("opening", COMMENTS),
    "late": {"kind": "slow_first_token", "ms": 5_000},
    "malformed-first": at("start", "malformed"),
    "malformed-after-the-opening": at("opening", "malformed"),
}
# What happens after two words.
AFTER = {
    "end": at({"content": 2}, "end"),
    "truncated": at({"content": 2}, "close"),
    "reset": at({"content": 2}, "reset"),
    "error": at({"content": 2}, OVERLOADED),
    "silent": at({"content": 2}, "stall"),
    "only-comments": at({"content": 2}, COMMENTS),
    "malformed": at({"content": 2}, "malformed"),
}
# What a region does to an answer that is not a stream.
WHOLE = {
    "hang": {"kind": "hang"},
    "late": {"kind": "slow_first_token", "ms": 5_000},
    "500": {"kind": "status", "status": 500},
    "overloaded": {"kind": "provider", "error": "overloaded"},
    "empty": {"kind": "empty"},
    "error-under-200": at("start", OVERLOADED),
    "half": at("opening", "end"),
    "truncated": at("opening", "close"),
    "reset": at("opening", "reset"),
    "silent": at("opening", "stall"),
    "malformed": at("opening", "malformed"),
}

dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
CLIENTS = {"chat": (Chat, ask), "responses": (Responses, ask), "messages": (Messages, ask)}
CLIENTS |= {"chat-async": (Chat, ask_async), "messages-async": (Messages, ask_async)}
clients = pytest.mark.parametrize(("dialect", "call"), CLIENTS.values(), ids=CLIENTS.keys())


def cases(faults):
    return pytest.mark.parametrize("fault", faults.values(), ids=faults.keys())


@pytest.fixture(scope="module")
def healthy(simulators):
    """What a region says to the first question after a reset when nothing is wrong: that follows from its seed alone."""

    @functools.cache
    def text(region, dialect, stream):
        simulators.reset()
        told = Told()
        ask(dialect, simulators.targets()[region]["url"], told, stream=stream)
        assert told.whole and told.text
        simulators.reset()
        return told.text

    return text


def check_elsewhere(site, healthy, fault, dialect, call, stream):
    """Another region answers, and the caller's SDK has nothing to do."""
    expected = healthy(NEXT, dialect, stream)
    site.control.fault(BROKEN, fault)
    told = Told()
    call(dialect, site.url, told, stream=stream)
    assert told.whole and told.text == expected
    assert told.headers["x-served-by"] == NEXT, told.headers
    assert [region for region, _ in told.trail()] == [BROKEN, NEXT]
    assert len(told.sent) == 1 and told.sent[0].headers["x-stainless-retry-count"] == "0"
    return told


@clients
@cases(BEFORE)
def test_before_content_the_call_completes_elsewhere(attentive, healthy, dialect, fault, call):
    check_elsewhere(attentive, healthy, fault, dialect, call, stream=True)


@clients
@cases(AFTER)
def test_after_content_the_sdk_raises_its_own_error(attentive, healthy, dialect, fault, call):
    """What came before is what the region would have said, and it is never taken for the whole."""
    expected = healthy(BROKEN, dialect, stream=True)
    attentive.control.fault(BROKEN, fault)
    told = Told()
    if dialect is Responses and fault is AFTER["error"]:
        # What the target itself reports goes on as it came, and this is how OpenAI reports: the SDK has an event for it.
        call(dialect, attentive.url, told)
        assert told.failed
    else:
        with pytest.raises(dialect.Error) as caught:
            call(dialect, attentive.url, told)
        assert caught.value.message and caught.value.body, "it says what happened"
    assert not told.whole and expected.startswith(told.text) and 0 < len(told.text) < len(expected)
    assert told.headers["x-served-by"] == BROKEN
    assert len(told.sent) == 1, "what has begun is not asked for again"


@pytest.mark.parametrize("dialect", [Chat, Messages], ids=lambda dialect: dialect.name)
def test_an_end_without_a_finish_reason_is_passed_on_without_one(attentive, healthy, dialect):
    """The target says that nothing more comes, by `[DONE]` or `message_stop`, and not why. Nothing is made up in its place."""
    expected = healthy(BROKEN, dialect, stream=True)
    attentive.control.fault(BROKEN, at({"content": 2}, "done"))
    told = Told()
    ask(dialect, attentive.url, told)
    assert not told.whole and expected.startswith(told.text) and told.headers["x-served-by"] == BROKEN


@dialects
@cases({"end": at("finish", "end"), "truncated": at("finish", "close"), "reset": at("finish", "reset")})
def test_after_the_finish_the_call_completes(attentive, healthy, dialect, fault):
    """The answer said that it is whole. That `[DONE]` or its like is missing takes nothing from it."""
    expected = healthy(BROKEN, dialect, stream=True)
    attentive.control.fault(BROKEN, fault)
    told = Told()
    ask(dialect, attentive.url, told)
    assert told.whole and told.text == expected
    assert told.headers["x-served-by"] == BROKEN and len(told.sent) == 1


@dialects
@cases(WHOLE)
def test_an_answer_that_is_no_stream_comes_from_elsewhere(attentive, healthy, dialect, fault):
    check_elsewhere(attentive, healthy, fault, dialect, ask, stream=False)


def test_a_response_that_failed_comes_from_elsewhere(attentive, healthy):
    """200, and the failure is told in the body alone."""
    error = {"code": "server_error", "message": "The model failed."}
    body = {"id": "resp_1", "object": "response", "status": "failed", "error": error, "output": []}
    check_elsewhere(attentive, healthy, {"kind": "status", "status": 200, "body": body}, Responses, ask, stream=False)


def test_an_error_in_a_choice_comes_from_elsewhere(attentive, healthy):
    """As OpenRouter tells of a provider that failed: 200, and the failure is in the choice."""
    error = {"code": 502, "message": "The provider failed."}
    choice = {"index": 0, "finish_reason": "error", "error": error, "message": {"role": "assistant", "content": ""}}
    body = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    check_elsewhere(attentive, healthy, {"kind": "status", "status": 200, "body": body}, Chat, ask, stream=False)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@dialects
def test_when_every_region_fails_the_sdk_hears_so_once(attentive, dialect, stream):
    """The gateway has tried all there is, and says so: the SDK's own retries would only repeat that."""
    attentive.control.fault_everywhere(at("start", OVERLOADED))
    told = Told()
    with pytest.raises(dialect.StatusError) as caught:
        ask(dialect, attentive.url, told, stream=stream)
    error = caught.value
    assert error.status_code in (503, 529), error
    assert error.response.headers["x-should-retry"] == "false"
    assert float(error.response.headers["retry-after"]) > 0
    assert "x-served-by" not in error.response.headers
    assert len(told.sent) == 1, "the SDK tried again"
    if dialect is Messages:
        assert error.body["type"] == "error" and error.body["error"]["message"]
    else:
        assert error.body["message"]


@dialects
def test_an_sdk_that_tries_again_costs_fewer_attempts(attentive, dialect):
    """The SDK says which of its calls this is, and what it did itself is not done again. Its first two never arrive here."""
    attentive.control.fault_everywhere({"kind": "status", "status": 503})

    def attempts(lost):
        told = Told()
        with pytest.raises(dialect.StatusError) as caught:
            ask(dialect, attentive.url, told, stream=False, lost=lost)
        assert told.sent[-1].headers["x-stainless-retry-count"] == str(lost) and len(told.sent) == lost + 1
        return int(caught.value.response.headers["x-attempts"])

    first = attempts(lost=0)
    assert attempts(lost=2) < first
