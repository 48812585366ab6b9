"""One region breaks: every call succeeds elsewhere, the answer says where, and traffic comes back."""

import asyncio
import collections
import time

import pytest
from support import LONGEST_CALL, MESSAGES, MODEL, REGIONS, Answer, ask, ask_streaming, collect, many, wait_until

BROKEN = REGIONS[0]
FAULTS = {
    "500": {"kind": "status", "status": 500},
    "refuse": {"kind": "refuse"},
    "hang": {"kind": "hang"},
    "429": {"kind": "provider", "error": "rate_limit", "retry_after_ms": 30_000},
}
faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


def check_answers(site, answers, marks, before):
    """No answer is from the broken region, and each is from the region it names: by its mark, and by the region's count."""
    for answer in answers:
        assert answer.served_by != BROKEN and answer.served_by in REGIONS, answer
        assert marks[answer.fingerprint] == answer.served_by, answer
        assert answer.sdk_retries == 0, answer
        assert answer.seconds < LONGEST_CALL, answer
        answer.check_trail()
    served = collections.Counter(answer.served_by for answer in answers)
    wait_until(lambda: not any(site.control.stats()[region]["in_flight"] for region in served), within=5)
    after = site.control.stats()
    for region, count in served.items():
        # More is no lie: a probe is answered too.
        assert after[region]["completed"] - before[region]["completed"] >= count, region
    return served


def break_region(site, fault):
    """Breaks a region that is known to serve. Gives the marks of all, and their counts before."""
    marks = site.control.fingerprints()
    wait_until(lambda: ask(site.client()).served_by == BROKEN, within=10)
    before = site.control.stats()
    site.control.fault(BROKEN, fault)
    return marks, before


def describe(answers, served, total):
    slowest = max(answer.seconds for answer in answers)
    regions = ", ".join(f"{region} {count}" for region, count in sorted(served.items()))
    return f"{len(answers)} calls in {total:.1f} s, slowest {slowest * 1000:.0f} ms, served by {regions}"


@pytest.mark.limit(150)
@faults
def test_calls_go_elsewhere_and_come_back(site, fault, measured):
    marks, before = break_region(site, fault)
    client = site.client()
    started = time.monotonic()
    answers = many(200, 20, lambda: ask(client))
    total = time.monotonic() - started
    served = check_answers(site, answers, marks, before)
    assert len(answers) == 200 and total < 60
    asked = site.control.stats()[BROKEN]["requests"] - before[BROKEN]["requests"]
    site.control.heal(BROKEN)
    back = wait_until(lambda: ask(client).served_by == BROKEN, within=60, every=0.1)
    measured(f"{describe(answers, served, total)}; {BROKEN} asked {asked} times; back after {back:.1f} s")


@pytest.mark.limit(90)
@faults
def test_streams_go_elsewhere(site, fault, measured):
    marks, before = break_region(site, fault)
    client = site.client()
    started = time.monotonic()
    answers = many(50, 10, lambda: ask_streaming(client))
    total = time.monotonic() - started
    served = check_answers(site, answers, marks, before)
    assert len(answers) == 50 and total < 60
    measured(describe(answers, served, total))


@pytest.mark.limit(90)
def test_async_calls_go_elsewhere(site):
    marks, before = break_region(site, FAULTS["500"])

    async def call(client, stream):
        started = time.monotonic()
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=stream)
        if stream:
            _, finish, mark, _ = collect([chunk async for chunk in raw.parse()])
            assert finish == "stop"
        else:
            mark = raw.parse().system_fingerprint
        return Answer.of(raw, mark, started)

    async def run():
        async with site.async_client() as client:
            return await asyncio.gather(*(call(client, stream) for stream in [False, True] * 20))

    answers = asyncio.run(run())
    check_answers(site, answers, marks, before)


def test_the_trail_shows_the_failed_attempt(site):
    """The first call after the break meets the broken region; what it met is in the trail."""
    break_region(site, FAULTS["500"])
    answer = ask(site.client())
    answer.check_trail()
    assert answer.attempts >= 2 and answer.trail[0].startswith(f"{BROKEN};500;"), answer
