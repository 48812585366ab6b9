"""Callers' own limits, through the official clients: who comes too soon waits as long as it is told, and no wait is no retry."""

import time

import anthropic
import openai
import pytest
from conftest import GATEWAY_URL, NO_PROBES, start_configured
from support import LONGEST_CALL, MESSAGES, MODEL, Site

pytestmark = pytest.mark.skipif(bool(GATEWAY_URL), reason="the gateway at BUTTRESS_GATEWAY_URL has limits of its own")

# One comes each two seconds.
REQUESTS = 30
PRICES = ['[prices."*"]', "input = 1000", "output = 1000"]


@pytest.fixture
def limited(simulators, tmp_path):
    """Starts a gateway whose callers have these limits."""
    simulators.reset()
    programs = []

    def start(*limits):
        lines = ["[limits.default]", *limits, *PRICES, *NO_PROBES]
        for name, target in simulators.targets().items():
            lines += ["[[targets]]", f'name = "{name}"', 'dialect = "openai"', f'url = "{target["url"]}/v1"']
            lines += ["[[targets.endpoints]]", 'dialect = "anthropic"', f'url = "{target["url"]}"']
        config = tmp_path / "gateway.toml"
        config.write_text("\n".join(lines) + "\n")
        programs.append(start_configured(str(config)))
        return Site(programs[-1].found["url"], simulators)

    yield start
    for program in programs:
        program.stop()
        print(program.output())


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
    for _ in range(3 * REQUESTS):
        began, before = time.monotonic(), len(site.sent)
        answer = call()
        if answer.retries_taken:
            break
    waited = time.monotonic() - began
    assert answer.retries_taken == 1 and len(site.sent) == before + 2, "once too soon, and then in time"
    # The clients' own first wait is half a second at most.
    assert 0.5 < waited < 4, waited


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
