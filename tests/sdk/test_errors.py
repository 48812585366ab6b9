"""The client raises the right class, and does not retry what the gateway has given up on."""

import json
import time

import openai
import pytest
from support import LONGEST_CALL, MESSAGES, MODEL, REGIONS

RATE_LIMITED = {"kind": "provider", "error": "rate_limit", "retry_after_ms": 30_000}
SERVER_ERROR = {"kind": "provider", "error": "server_error"}
TOO_LONG = {"kind": "provider", "error": "context_length_exceeded"}
DEAD_KEY = {"kind": "provider", "error": "invalid_api_key"}
REFUSE = {"kind": "refuse"}


def refused(site, expected, **request):
    """Makes a call that must fail with `expected`, after a single request of the client."""
    client = site.client()
    started = time.monotonic()
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **request})
    assert type(caught.value) is expected, caught.value
    assert time.monotonic() - started < LONGEST_CALL
    assert len(site.sent) == 1, "the client retried"
    assert caught.value.body["message"], "no error object in the form of the API"
    return caught.value


def test_a_wrong_request_is_not_tried_elsewhere(configured):
    before = configured.control.count("requests")
    error = refused(configured, openai.BadRequestError, messages=[])
    assert error.code == "empty_array" and error.param == "messages"
    assert configured.control.count("requests") - before <= 1


def test_a_body_that_is_not_json(configured):
    http = openai.DefaultHttpxClient()
    headers = {"content-type": "application/json", "authorization": "Bearer test-key"}
    response = http.post(f"{configured.url}/v1/chat/completions", content=b'{"model": ', headers=headers)
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["message"]


def test_a_prompt_that_is_too_long(configured):
    configured.control.fault_everywhere(TOO_LONG)
    error = refused(configured, openai.BadRequestError)
    assert error.code == "context_length_exceeded"


def test_an_unknown_model(configured):
    """The code is that of the last region asked: Azure has its own."""
    error = refused(configured, openai.NotFoundError, model="gpt-nowhere")
    assert error.code in ("model_not_found", "DeploymentNotFound")


def test_an_unknown_path(configured):
    with pytest.raises(openai.NotFoundError):
        configured.client().post("/no-such-endpoint", cast_to=object, body={})


def test_everything_is_rate_limited(site):
    """The hint is passed on, and left to the caller: nobody waits for it here."""
    site.control.fault_everywhere(RATE_LIMITED)
    error = refused(site, openai.RateLimitError)
    assert error.response.headers["x-should-retry"] == "false"
    assert 25 <= float(error.response.headers["retry-after"]) <= 35
    check_attempts(site, error.response.headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", [REFUSE, SERVER_ERROR, DEAD_KEY], ids=["refuse", "500", "401"])
def test_everything_is_down(site, fault, stream):
    """Also when the gateway's own keys are dead: that is nothing the caller's key could mend, so it is no 401."""
    site.control.fault_everywhere(fault)
    error = refused(site, openai.InternalServerError, stream=stream)
    assert error.status_code == 503
    assert error.response.headers["x-should-retry"] == "false"
    check_attempts(site, error.response.headers, heard=fault is not REFUSE)


def check_attempts(site, headers, heard=True):
    """The attempts are counted, told and few; and they are those that the regions saw, where they could see any."""
    attempts = int(headers["x-attempts"])
    assert len(headers["x-attempt-trail"].split(", ")) == attempts
    assert len(REGIONS) <= attempts <= 2 * len(REGIONS)
    assert "x-served-by" not in headers, "nobody served this"
    if heard:
        assert site.control.count("requests") == attempts
