"""Streams that do not run to their end."""

import time

import openai
import pytest
from support import MESSAGES, MODEL, wait_until

# Well within the two seconds is meant; a busy machine may need them.
WITHIN = 2.0


def test_a_client_that_leaves_cancels_the_call_upstream(site, measured):
    """The answer stalls after its first words. The client leaves, and the target must hear of it at once."""
    control = site.control
    control.fault_everywhere({"kind": "stall_after", "events": 5})
    before = control.count("cancelled")
    stream = site.client().chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    text = ""
    while not text:
        for choice in next(stream).choices:
            text += choice.delta.content or ""
    assert control.count("in_flight") == 1 and control.count("cancelled") == before
    left = time.monotonic()
    stream.close()
    wait_until(lambda: control.count("cancelled") == before + 1, within=WITHIN, every=0.002)
    measured(f"the target heard of it after {(time.monotonic() - left) * 1000:.0f} ms")
    assert control.count("in_flight") == 0


def test_a_client_with_little_time_hears_so_before_it_gives_up(site):
    """The SDK announces its timeout; the gateway answers before it, and says that a retry cannot help."""
    control = site.control
    control.fault_everywhere({"kind": "hang"})
    client = site.client(timeout=0.5)
    before = control.count("requests")
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert raised.value.status_code == 504
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert control.count("requests") == before + 1, "the SDK did not try again"


def test_a_client_that_leaves_early_cancels_the_call_upstream(site, measured):
    """The same while no target has answered yet."""
    control = site.control
    control.fault_everywhere({"kind": "slow_first_token", "ms": 1500})
    client = site.client(timeout=0.5, max_retries=0)
    before = control.count("cancelled")
    # The SDK says how long it will wait, and the gateway would answer in time; a client that says more leaves early.
    patience = {"x-stainless-read-timeout": "600"}
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=patience)
    left = time.monotonic()
    wait_until(lambda: control.count("cancelled") > before and control.count("in_flight") == 0, within=WITHIN, every=0.002)
    measured(f"the targets heard of it after {(time.monotonic() - left) * 1000:.0f} ms")
