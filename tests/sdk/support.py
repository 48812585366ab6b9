"""Programs under test, the simulators' control endpoint, and what one answer says about who gave it."""

import collections
import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import openai

MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
MESSAGES = [{"role": "user", "content": "Why do walls need buttresses?"}]
REGIONS = ("eastus", "westeurope", "swedencentral")
# The longest a call may take, and the longest a client of these checks waits.
LONGEST_CALL = 25.0


class Program:
    """A program that prints where it can be reached, in lines that match `patterns`, and then runs until it is stopped."""

    def __init__(self, args, patterns, within=20.0):
        self.lines = collections.deque(maxlen=400)
        self.found = {}
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "NO_COLOR": "1"},
        )
        threading.Thread(target=self._read, daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self.found) == len(patterns), timeout=within)
        missing = set(patterns) - set(self.found)
        if missing:
            self.stop()
            raise AssertionError(f"{args[0]} did not say its {', '.join(sorted(missing))}:\n{self.output()}")

    def _read(self):
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line)
                for name, pattern in self._patterns.items():
                    match = pattern.search(line)
                    if match and name not in self.found:
                        self.found[name] = match.group(1)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def output(self):
        with self._changed:
            return "".join(self.lines)

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Control:
    """The control endpoint of the simulators."""

    def __init__(self, url):
        self._url = url.rstrip("/")

    def targets(self):
        return {target["name"]: target for target in self._send("GET", "")["targets"]}

    def stats(self):
        return {name: target["stats"] for name, target in self.targets().items()}

    def count(self, name):
        """The sum of one count over all targets."""
        return sum(stats[name] for stats in self.stats().values())

    def fault(self, target, fault):
        self._send("PUT", f"/{target}/fault", fault)

    def fault_everywhere(self, fault):
        for target in self.targets():
            self.fault(target, fault)

    def heal(self, target):
        self._send("DELETE", f"/{target}/fault")

    def reset(self):
        for target in self.targets():
            self._send("POST", f"/{target}/reset")

    def fingerprints(self):
        """The mark that each target leaves in its answers, asked from the targets directly."""
        body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 1}
        marks = {}
        for name, target in self.targets().items():
            answer = _fetch("POST", f"{target['url']}/v1/chat/completions", body)
            marks[answer["system_fingerprint"]] = name
        assert len(marks) == len(REGIONS), marks
        return marks

    def _send(self, method, path, body=None):
        return _fetch(method, f"{self._url}/control/targets{path}", body)


def _fetch(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@dataclass
class Site:
    """A gateway, and the control endpoint of the simulators behind it, if there is one."""

    url: str
    control: Control | None = None
    sent: list = field(default_factory=list, repr=False)

    def client(self, **options):
        """A client with the SDK's own defaults, retries included. What it sends is noted in `sent`."""
        return openai.OpenAI(**self._options(f"{self.url}/v1", options), http_client=self._counting())

    def azure(self, **options):
        options = {"azure_endpoint": self.url, "api_version": "2024-10-21", **options}
        return openai.AzureOpenAI(**self._options(None, options), http_client=self._counting())

    def async_client(self, **options):
        return openai.AsyncOpenAI(**self._options(f"{self.url}/v1", options))

    @staticmethod
    def _options(base_url, options):
        known = {"api_key": "test-key", "timeout": LONGEST_CALL}
        return {**known, **({"base_url": base_url} if base_url else {}), **options}

    def _counting(self):
        return openai.DefaultHttpxClient(event_hooks={"request": [self.sent.append]})


@dataclass(frozen=True)
class Answer:
    """What the gateway says about one answer, and the mark of the target in the answer itself."""

    served_by: str
    attempts: int
    trail: tuple
    fingerprint: str
    sdk_retries: int
    seconds: float

    @classmethod
    def of(cls, raw, fingerprint, started):
        return cls(
            served_by=raw.headers["x-served-by"],
            attempts=int(raw.headers["x-attempts"]),
            trail=tuple(raw.headers["x-attempt-trail"].split(", ")),
            fingerprint=fingerprint,
            sdk_retries=raw.retries_taken,
            seconds=time.monotonic() - started,
        )

    def check_trail(self):
        """Each attempt is written as `target;outcome;NNms`, and one of them is the answer."""
        assert len(self.trail) == self.attempts, self
        for attempt in self.trail:
            assert re.fullmatch(r"[^;]+;[^;]+;\d+ms", attempt), self
        assert any(attempt.startswith(f"{self.served_by};200;") for attempt in self.trail), self


def ask(client):
    """One chat call."""
    started = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    completion = raw.parse()
    assert completion.choices[0].message.content, completion
    return Answer.of(raw, completion.system_fingerprint, started)


def collect(chunks):
    """Checks the chunks of one stream, and gives its text, its finish reason and the mark of its target."""
    text, finish, last = "", None, None
    ids, marks = set(), set()
    for chunk in chunks:
        for choice in chunk.choices:
            ids.add(chunk.id)
            marks.add(chunk.system_fingerprint)
            text += choice.delta.content or ""
            assert finish is None, "a choice after the finish reason"
            finish = choice.finish_reason
        last = chunk
    assert len(ids) == 1 and len(marks) == 1, f"one stream has the ids {ids} and the marks {marks}"
    return text, finish, marks.pop(), last


def ask_streaming(client):
    """One streaming chat call, to its end."""
    started = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True)
    text, finish, mark, _ = collect(raw.parse())
    assert text and finish == "stop", (text, finish)
    return Answer.of(raw, mark, started)


def many(count, threads, call):
    """Makes `count` calls, and fails with all that went wrong."""
    pool = ThreadPoolExecutor(threads)
    try:
        calls = [pool.submit(call) for _ in range(count)]
        errors = collections.Counter(repr(error) for error in (call.exception() for call in calls) if error)
        assert not errors, f"{errors.total()} of {count} calls failed: {errors.most_common(5)}"
        return [call.result() for call in calls]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def wait_until(condition, within, every=0.005):
    """Waits until `condition()` is true, and gives the seconds that took."""
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        assert waited < within, f"not within {within} s: {condition.__doc__ or condition.__name__}"
        time.sleep(every)
    return time.monotonic() - started
