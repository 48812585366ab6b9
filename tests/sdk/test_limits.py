"""Callers' own limits, through the official clients: who comes too soon waits as long as it is told, and no wait is no retry."""

import time

import anthropic
import openai
import pytest
from conftest import GATEWAY_URL
from support import LONGEST_CALL, MESSAGES, MODEL

pytestmark = pytest.mark.skipif(bool(GATEWAY_URL), reason="the gateway at BUTTRESS_GATEWAY_URL has limits of its own")

# In a minute, so that one comes each two seconds.
REQUESTS = 30
PERIOD = 60 / REQUESTS
PRICES = ['[prices."*"]', "input = 1000", "output = 1000"]


@pytest.fixture
def limited(start_gateway):
    """Starts a gateway whose callers have these limits."""
    return lambda *limits: start_gateway(["[limits.default]", *limits, *PRICES])


def openai_calls(site):
    client = site.client()
    create = client.chat.completions.with_raw_response.create
    return lambda **request: create(**{"model": MODEL, "messages": MESSAGES, "max_tokens": 5, **request}), openai


def anthropic_calls(site):
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [site.sent.append]})
    client = anthropic.Anthropic(base_url=site.url, api_key="test-key", timeout=LONGEST_CALL, http_client=http)
    create = client.messages.with_raw_response.create
    return lambda **request: create(**{"model": MODEL, "messages": MESSAGES, "max_tokens": 5, **request}), anthropic


CLIENTS = pytest.mark.parametrize("calls", [openai_calls, anthropic_calls], ids=["openai", "anthropic"])


@CLIENTS
def test_a_client_that_comes_too_soon_waits_as_long_as_it_is_told_and_is_served(limited, calls):
    site = limited(f"rpm = {REQUESTS}")
    call, _ = calls(site)
    began = time.monotonic()
    for served in range(1, 3 * REQUESTS):
        before = len(site.sent)
        answer = call()
        if answer.retries_taken:
            break
    took = time.monotonic() - began
    assert answer.retries_taken == 1 and len(site.sent) == before + 2, "once too soon, and then in time"
    # However long each call took: no sooner than as many had come, and not long after that.
    come = (served - REQUESTS) * PERIOD
    assert come <= took < come + 4, (served, took)


@CLIENTS
def test_a_quota_that_is_used_up_is_not_asked_for_again(limited, calls):
    # A token costs a tenth of a cent.
    site = limited("dollars_per_day = 0.05")
    call, sdk = calls(site)
    with pytest.raises(sdk.PermissionDeniedError) as raised:
        for _ in range(50):
            before = len(site.sent)
            call()
    assert len(site.sent) == before + 1, "the client retried"
    assert raised.value.response.headers["x-should-retry"] == "false"


@CLIENTS
def test_what_can_never_pass_is_not_asked_for_again(limited, calls):
    site = limited("tpm = 1000")
    call, sdk = calls(site)
    with pytest.raises(sdk.APIStatusError) as raised:
        call(max_tokens=5000)
    assert raised.value.status_code == 413 and len(site.sent) == 1, "the client retried"
    assert "tokens-per-minute" in raised.value.message
