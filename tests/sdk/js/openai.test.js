// The official OpenAI SDK against the simulator.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import OpenAI from "openai";
import { MESSAGES, MODEL, all, at, start } from "./sim.js";

let sim, client;
before(async () => {
  sim = await start();
  client = new OpenAI({ apiKey: "k", baseURL: `${sim.url}/v1`, maxRetries: 0, timeout: 10_000 });
});
after(() => sim.stop());
beforeEach(() => sim.reset());

const chat = (more) => client.chat.completions.create({ model: MODEL, messages: MESSAGES, ...more });

for (const profile of ["standard", "groq", "openrouter", "deepseek", "mistral", "vllm", "ollama"]) {
  test(`chat, whole and streamed, with the profile ${profile}`, async () => {
    await sim.profile(profile);
    const whole = await chat();
    assert.equal(whole.choices[0].finish_reason, "stop");
    const chunks = await all(chat({ stream: true, stream_options: { include_usage: true } }));
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text.split(" ").length, 6);
    assert.equal(chunks.at(-1).usage.completion_tokens, 6);
  });
}

test("responses, whole and streamed", async () => {
  const whole = await client.responses.create({ model: MODEL, input: "x" });
  assert.equal(whole.status, "completed");
  const events = await all(client.responses.create({ model: MODEL, input: "x", stream: true }));
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
});

test("a tool is called", async () => {
  await sim.fault({ kind: "tool_call", name: "weather", arguments: { city: "Oslo" } });
  const runner = client.chat.completions.stream({ model: MODEL, messages: MESSAGES });
  const message = await runner.finalMessage();
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Oslo" });
});

for (const [error, expected] of [
  ["invalid_request", OpenAI.BadRequestError],
  ["invalid_api_key", OpenAI.AuthenticationError],
  ["model_not_found", OpenAI.NotFoundError],
  ["rate_limit", OpenAI.RateLimitError],
  ["overloaded", OpenAI.InternalServerError],
]) {
  test(`${error} has a class of its own`, async () => {
    await sim.fault({ kind: "provider", error });
    await assert.rejects(chat(), expected);
  });
}

for (const place of ["start", "opening", { content: 2 }]) {
  test(`an error in a stream is thrown: ${JSON.stringify(place)}`, async () => {
    await sim.fault(at(place, { error: "overloaded" }));
    await assert.rejects(all(chat({ stream: true })), OpenAI.APIError);
  });
}

for (const fault of [
  { kind: "encoded", coding: "gzip" },
  { kind: "encoded", coding: "br" },
  { kind: "line_ends", end: "crlf" },
  { kind: "drip", bytes: 5, every_ms: 0 },
]) {
  test(`a stream comes through ${JSON.stringify(fault)}`, async () => {
    await sim.fault(fault);
    const chunks = await all(chat({ stream: true }));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  });
}
