"""Official SDKs against the simulator itself: what it sends in each dialect must be what the SDK of that dialect parses."""

import functools

import anthropic
import openai
import pytest
from conftest import SIM_BIN, SIM_CONTROL, binary
from google import genai
from support import MESSAGES, MODEL, Control, Program

PROFILES = ("standard", "groq", "openrouter", "deepseek", "mistral", "vllm", "ollama")
TOOL = {"kind": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}}


def at(place, then):
    return {"kind": "stream", "at": place, "then": then}


def provider(error, **more):
    return {"kind": "provider", "error": error, **more}


OVERLOADED = {"error": "overloaded"}


class Sim:
    """One simulated target for each profile."""

    def __init__(self, control):
        self.control = control
        self.urls = {name: target["url"] for name, target in control.targets().items()}

    def fault(self, fault, profile="standard"):
        self.control.fault(profile, fault)

    @functools.cache
    def openai(self, profile="standard", path="/v1"):
        return openai.OpenAI(api_key="k", base_url=self.urls[profile] + path, max_retries=0, timeout=10)

    @functools.cache
    def azure(self):
        url = self.urls["standard"]
        return openai.AzureOpenAI(api_key="k", azure_endpoint=url, api_version="2024-10-21", max_retries=0, timeout=10)

    @functools.cache
    def anthropic(self):
        return anthropic.Anthropic(api_key="k", base_url=self.urls["standard"], max_retries=0, timeout=10)

    @functools.cache
    def gemini(self):
        return genai.Client(api_key="k", http_options={"base_url": self.urls["standard"], "timeout": 10_000})


@pytest.fixture(scope="session")
def providers():
    if not SIM_BIN:
        pytest.skip("BUTTRESS_SIM_BIN is not set")
    args = [binary(SIM_BIN), "--port", "0", "--control", "127.0.0.1:0", "--length", "6"]
    for profile in PROFILES:
        args += ["--target", f"{profile}={profile}"]
    program = Program(args, {"control": SIM_CONTROL})
    yield Sim(Control(program.found["control"]))
    program.stop()


@pytest.fixture
def sim(providers):
    providers.control.reset()
    return providers


def chat(client, **request):
    return client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **request})


def message(client, **request):
    return client.messages.create(**{"model": "claude", "messages": MESSAGES, "max_tokens": 100, **request})


@pytest.mark.parametrize("profile", PROFILES)
def test_chat_with_every_profile(sim, profile):
    client = sim.openai(profile)
    whole = chat(client)
    assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens == 6
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 6 and chunks[-1].usage.completion_tokens == 6


def test_chat_at_the_other_addresses(sim):
    for client in (sim.azure(), sim.openai(path="/openai/v1"), sim.openai(path="/v1beta/openai")):
        assert chat(client).choices[0].message.content
        assert [chunk for chunk in chat(client, stream=True) if chunk.choices][-1].choices[0].finish_reason == "stop"


def test_legacy_completions(sim):
    client = sim.openai()
    assert client.completions.create(model=MODEL, prompt="x").choices[0].finish_reason == "stop"
    parts = client.completions.create(model=MODEL, prompt="x", stream=True)
    assert len("".join(part.choices[0].text for part in parts).split()) == 6


def test_responses(sim):
    client = sim.openai()
    whole = client.responses.create(model=MODEL, input="x")
    assert whole.status == "completed" and len(whole.output_text.split()) == 6 and whole.usage.output_tokens == 6
    with client.responses.stream(model=MODEL, input="x") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == stream.get_final_response().output_text


def test_tools(sim):
    sim.fault(TOOL)
    client = sim.openai()
    call = chat(client).choices[0].message.tool_calls[0].function
    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
    item = client.responses.create(model=MODEL, input="x").output[0]
    assert (item.type, item.name) == ("function_call", "weather")
    block = message(sim.anthropic()).content[0]
    assert (block.type, block.input) == ("tool_use", {"city": "Oslo"})
    with sim.anthropic().messages.stream(model="claude", messages=MESSAGES, max_tokens=9) as stream:
        block = stream.get_final_message().content[0]
    assert (block.type, block.input) == ("tool_use", {"city": "Oslo"})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_request", openai.BadRequestError),
        ("invalid_api_key", openai.AuthenticationError),
        ("forbidden", openai.PermissionDeniedError),
        ("model_not_found", openai.NotFoundError),
        ("conflict", openai.ConflictError),
        ("unprocessable", openai.UnprocessableEntityError),
        ("rate_limit", openai.RateLimitError),
        ("insufficient_quota", openai.RateLimitError),
        ("overloaded", openai.InternalServerError),
    ],
)
def test_errors_of_openai(sim, error, expected):
    sim.fault(provider(error))
    for call in (chat, lambda client: client.responses.create(model=MODEL, input="x")):
        with pytest.raises(openai.APIStatusError) as caught:
            call(sim.openai())
        assert type(caught.value) is expected and caught.value.body["message"]


@pytest.mark.parametrize("place", ["start", "opening", {"content": 2}], ids=str)
@pytest.mark.parametrize("profile", ["standard", "groq", "openrouter", "deepseek", "vllm"])
def test_an_error_in_a_chat_stream_is_raised(sim, profile, place):
    sim.fault(at(place, OVERLOADED), profile)
    with pytest.raises(openai.APIError) as caught:
        list(chat(sim.openai(profile), stream=True))
    assert type(caught.value) is openai.APIError and caught.value.message


def test_an_error_in_a_stream_of_responses_is_seen(sim):
    sim.fault(at("start", OVERLOADED))
    with pytest.raises(openai.APIError):
        for event in sim.openai().responses.create(model=MODEL, input="x", stream=True):
            if event.type == "error":
                raise openai.APIError(event.message, None, body=None)
    sim.fault(at("opening", OVERLOADED))
    events = list(sim.openai().responses.create(model=MODEL, input="x", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.error.code == "overloaded"


def test_a_stream_that_is_cut_short_raises_nothing_by_itself(sim):
    """Why a gateway has to tell: the SDK takes an end without a finish reason for an end."""
    sim.fault(at({"content": 2}, "end"))
    chunks = list(chat(sim.openai(), stream=True))
    assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_coded_answers(sim, coding):
    sim.fault({"kind": "encoded", "coding": coding})
    assert chat(sim.openai()).choices[0].message.content
    assert list(chat(sim.openai(), stream=True))[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("fault", [{"kind": "line_ends", "end": "crlf"}, {"kind": "drip", "bytes": 7, "every_ms": 0}], ids=["crlf", "drip"])
def test_streams_in_other_ends_of_lines_and_pieces(sim, fault):
    sim.fault(fault)
    assert list(chat(sim.openai(), stream=True))[-1].choices[0].finish_reason == "stop"
    with sim.anthropic().messages.stream(model="claude", messages=MESSAGES, max_tokens=9) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"


def test_messages(sim):
    client = sim.anthropic()
    whole = message(client)
    assert whole.stop_reason == "end_turn" and whole.usage.output_tokens == 6
    with client.messages.stream(model="claude", messages=MESSAGES, max_tokens=100) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text and final.usage.output_tokens == 6 and final.usage.input_tokens > 0
    assert client.messages.count_tokens(model="claude", messages=MESSAGES).input_tokens > 0


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        ("invalid_request", 400, anthropic.BadRequestError),
        ("invalid_api_key", 401, anthropic.AuthenticationError),
        ("forbidden", 403, anthropic.PermissionDeniedError),
        ("model_not_found", 404, anthropic.NotFoundError),
        ("conflict", 409, anthropic.ConflictError),
        ("rate_limit", 429, anthropic.RateLimitError),
        ("server_error", 500, anthropic.InternalServerError),
        ("overloaded", 529, anthropic.APIStatusError),
    ],
)
def test_errors_of_anthropic(sim, error, status, expected):
    sim.fault(provider(error))
    with pytest.raises(expected) as caught:
        message(sim.anthropic())
    assert caught.value.status_code == status and caught.value.body["type"] == "error"


@pytest.mark.parametrize("place", ["start", "opening", {"content": 2}], ids=str)
def test_an_error_in_a_stream_of_messages_is_raised(sim, place):
    sim.fault(at(place, OVERLOADED))
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(message(sim.anthropic(), stream=True))
    assert caught.value.body["error"]["type"] == "overloaded_error"


def test_gemini(sim):
    client = sim.gemini()
    whole = client.models.generate_content(model="gemini-2.5-flash", contents="x")
    assert len(whole.text.split()) == 6 and whole.usage_metadata.candidates_token_count == 6
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="x"))
    assert len("".join(chunk.text or "" for chunk in chunks).split()) == 6
    assert chunks[-1].candidates[0].finish_reason.value == "STOP"
    assert client.models.count_tokens(model="gemini-2.5-flash", contents="x").total_tokens > 0


@pytest.mark.parametrize(
    ("error", "code", "status", "expected"),
    [
        ("rate_limit", 429, "RESOURCE_EXHAUSTED", genai.errors.ClientError),
        ("invalid_api_key", 400, "INVALID_ARGUMENT", genai.errors.ClientError),
        ("overloaded", 503, "UNAVAILABLE", genai.errors.ServerError),
    ],
)
def test_errors_of_gemini(sim, error, code, status, expected):
    sim.fault(provider(error))
    with pytest.raises(expected) as caught:
        sim.gemini().models.generate_content(model="gemini-2.5-flash", contents="x")
    assert (caught.value.code, caught.value.status) == (code, status)
