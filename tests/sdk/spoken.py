"""The same question in each dialect, through the official SDK of that dialect, whole and as a stream."""

import asyncio
from dataclasses import dataclass, field

import anthropic
import httpx2
import openai
from support import LONGEST_CALL, MESSAGES, MODEL


@dataclass
class Told:
    """What one call was told so far. A call that fails leaves what came before."""

    text: str = ""
    # Whether the answer said of itself that it is whole, and whether it said that it failed.
    whole: bool = False
    failed: bool = False
    headers: dict = field(default_factory=dict)
    # The requests that the SDK made.
    sent: list = field(default_factory=list)

    def trail(self):
        """Target and outcome of each attempt."""
        return [tuple(attempt.split(";")[:2]) for attempt in self.headers["x-attempt-trail"].split(", ")]


class Chat:
    """OpenAI's chat completions."""

    name = "chat"
    Error = openai.APIError
    StatusError = openai.APIStatusError
    Client, AsyncClient = openai.OpenAI, openai.AsyncOpenAI
    HttpClient, AsyncHttpClient = openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient
    path = "/v1"

    @staticmethod
    def calls(client):
        return client.chat.completions, {"model": MODEL, "messages": MESSAGES}

    @staticmethod
    def read(told, chunk):
        for choice in chunk.choices:
            told.text += choice.delta.content or ""
            told.whole |= choice.finish_reason == "stop"

    @staticmethod
    def read_whole(told, completion):
        told.text = completion.choices[0].message.content
        told.whole = completion.choices[0].finish_reason == "stop"


class Responses(Chat):
    """OpenAI's responses."""

    name = "responses"

    @staticmethod
    def calls(client):
        return client.responses, {"model": MODEL, "input": "Why do walls need buttresses?"}

    @staticmethod
    def read(told, event):
        if event.type == "response.output_text.delta":
            told.text += event.delta
        if event.type == "response.completed":
            assert event.response.output_text == told.text
            told.whole = True
        if event.type == "response.failed":
            told.failed = bool(event.response.error.message)

    @staticmethod
    def read_whole(told, response):
        told.text = response.output_text
        told.whole = response.status == "completed"


class Messages:
    """Anthropic's messages."""

    name = "messages"
    Error = anthropic.APIError
    StatusError = anthropic.APIStatusError
    Client, AsyncClient = anthropic.Anthropic, anthropic.AsyncAnthropic
    HttpClient, AsyncHttpClient = anthropic.DefaultHttpxClient, anthropic.DefaultAsyncHttpxClient
    path = ""

    @staticmethod
    def calls(client):
        return client.messages, {"model": MODEL, "messages": MESSAGES, "max_tokens": 1000}

    @staticmethod
    def read(told, event):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            told.text += event.delta.text
        if event.type == "message_delta":
            told.whole = event.delta.stop_reason == "end_turn"

    @staticmethod
    def read_whole(told, message):
        told.text = "".join(block.text for block in message.content)
        told.whole = message.stop_reason == "end_turn"


DIALECTS = (Chat, Responses, Messages)


def ask(dialect, url, told, *, stream=True, lost=0):
    """Makes one call with the SDK's own defaults, retries included, and notes in `told` what it is told.

    The first `lost` requests of the SDK get nowhere.
    """

    def sent(request):
        told.sent.append(request)
        if len(told.sent) <= lost:
            raise httpx2.ConnectError("lost", request=request)

    # Nothing here is encrypted, and to read the machine's certificates takes longer than the call.
    http = dialect.HttpClient(event_hooks={"request": [sent]}, verify=False)
    with dialect.Client(api_key="k", base_url=url + dialect.path, timeout=LONGEST_CALL, http_client=http) as client:
        calls, request = dialect.calls(client)
        raw = calls.with_raw_response.create(**request, stream=stream)
        told.headers = raw.headers
        if not stream:
            dialect.read_whole(told, raw.parse())
            return
        for event in raw.parse():
            dialect.read(told, event)


def ask_async(dialect, url, told, *, stream=True):
    """The same with the asynchronous client."""

    async def sent(request):
        told.sent.append(request)

    async def run():
        http = dialect.AsyncHttpClient(event_hooks={"request": [sent]}, verify=False)
        async with dialect.AsyncClient(
            api_key="k", base_url=url + dialect.path, timeout=LONGEST_CALL, http_client=http
        ) as client:
            calls, request = dialect.calls(client)
            raw = await calls.with_raw_response.create(**request, stream=stream)
            told.headers = raw.headers
            answer = raw.parse()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if not stream:
                dialect.read_whole(told, answer)
                return
            async for event in answer:
                dialect.read(told, event)

    asyncio.run(run())
