"""The endpoints, through the OpenAI client."""

import asyncio
import math

import pytest
import spoken
from conftest import GATEWAY_URL
from google import genai
from support import EMBEDDING_MODEL, MESSAGES, MODEL, ask, collect


def test_chat(gateway):
    completion = gateway.client().chat.completions.create(model=MODEL, messages=MESSAGES)
    choice = completion.choices[0]
    assert completion.object == "chat.completion" and completion.id
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason == "stop"
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


def test_chat_stops_at_the_length_asked_for(gateway):
    completion = gateway.client().chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 2


def test_streaming_chat(gateway):
    chunks = list(gateway.client().chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    text, finish, _, last = collect(chunks)
    assert len(chunks) > 3 and text and finish == "stop"
    assert last.usage is None, "usage was not asked for"


def test_streaming_chat_with_usage(gateway):
    stream = gateway.client().chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    text, finish, _, last = collect(stream)
    assert text and finish == "stop"
    assert last.choices == [] and last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


def test_stream_helper_sees_the_whole_answer(gateway):
    with gateway.client().chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "".join(deltas)


def test_chat_async(gateway):
    async def run():
        async with gateway.async_client() as client:
            calls = [client.chat.completions.create(model=MODEL, messages=MESSAGES) for _ in range(8)]
            return await asyncio.gather(*calls)

    completions = asyncio.run(run())
    assert all(completion.choices[0].message.content for completion in completions)


def test_streaming_chat_async(gateway):
    async def run():
        async with gateway.async_client() as client:
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            return [chunk async for chunk in stream]

    text, finish, _, _ = collect(asyncio.run(run()))
    assert text and finish == "stop"


def test_embeddings(gateway):
    """By default the client asks for base64 and decodes it; both forms are the same vectors."""
    inputs = ["a wall", "a buttress"]
    embeddings = gateway.client().embeddings
    decoded = embeddings.create(model=EMBEDDING_MODEL, input=inputs)
    floats = embeddings.create(model=EMBEDDING_MODEL, input=inputs, encoding_format="float")
    assert [item.index for item in decoded.data] == [0, 1]
    assert decoded.usage.total_tokens > 0
    for one, other in zip(decoded.data, floats.data, strict=True):
        assert len(one.embedding) == 1536
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)


def test_embeddings_with_dimensions(gateway):
    response = gateway.client().embeddings.create(model=EMBEDDING_MODEL, input="a wall", dimensions=64)
    assert len(response.data[0].embedding) == 64


def test_models(gateway):
    models = gateway.client().models.list().data
    assert models and all(model.object == "model" and model.id for model in models)


def test_azure_chat(gateway):
    completion = gateway.azure().chat.completions.create(model=MODEL, messages=MESSAGES)
    assert completion.choices[0].message.content
    assert gateway.sent[-1].url.path == f"/openai/deployments/{MODEL}/chat/completions"


def test_azure_streaming_chat(gateway):
    stream = gateway.azure().chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    text, finish, _, last = collect(stream)
    assert text and finish == "stop" and last.usage.total_tokens > 0


def test_azure_embeddings(gateway):
    response = gateway.azure().embeddings.create(model=EMBEDDING_MODEL, input=["a wall"])
    assert len(response.data[0].embedding) == 1536


def test_answers_name_the_target(gateway):
    answer = ask(gateway.client())
    answer.check_trail()
    assert answer.attempts == 1 and answer.sdk_retries == 0


@pytest.mark.skipif(bool(GATEWAY_URL), reason="the gateway at BUTTRESS_GATEWAY_URL speaks what its targets speak")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", spoken.DIALECTS, ids=lambda dialect: dialect.name)
def test_each_sdk_is_answered_with_nothing_configured(gateway, dialect, stream):
    told = spoken.Told()
    spoken.ask(dialect, gateway.url, told, stream=stream)
    assert told.whole and told.text and told.headers["x-served-by"]


@pytest.mark.skipif(bool(GATEWAY_URL), reason="the gateway at BUTTRESS_GATEWAY_URL speaks what its targets speak")
def test_gemini_is_answered_with_nothing_configured(gateway):
    client = genai.Client(api_key="k", http_options={"base_url": gateway.url, "timeout": 10_000})
    assert client.models.generate_content(model="gemini-2.5-flash", contents="x").text
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="x"))
    assert chunks[-1].candidates[0].finish_reason.value == "STOP"
