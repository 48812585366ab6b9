// The official Anthropic SDK against the simulator.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { MESSAGES, all, at, start } from "./sim.js";

const REQUEST = { model: "claude", messages: MESSAGES, max_tokens: 100 };
let sim, client;
before(async () => {
  sim = await start();
  client = new Anthropic({ apiKey: "k", baseURL: sim.url, maxRetries: 0, timeout: 10_000 });
});
after(() => sim.stop());
beforeEach(() => sim.reset());

test("messages, whole and streamed", async () => {
  const whole = await client.messages.create(REQUEST);
  assert.equal(whole.stop_reason, "end_turn");
  const final = await client.messages.stream(REQUEST).finalMessage();
  assert.equal(final.content[0].text.split(" ").length, 6);
  assert.equal(final.usage.output_tokens, 6);
  const count = await client.messages.countTokens({ model: "claude", messages: MESSAGES });
  assert.ok(count.input_tokens > 0);
});

test("a tool is called", async () => {
  await sim.fault({ kind: "tool_call", name: "weather", arguments: { city: "Oslo" } });
  const final = await client.messages.stream(REQUEST).finalMessage();
  assert.deepEqual(final.content[0].input, { city: "Oslo" });
});

for (const [error, expected, status] of [
  ["invalid_request", Anthropic.BadRequestError, 400],
  ["invalid_api_key", Anthropic.AuthenticationError, 401],
  ["rate_limit", Anthropic.RateLimitError, 429],
  ["overloaded", Anthropic.InternalServerError, 529],
]) {
  test(`${error} has a class of its own`, async () => {
    await sim.fault({ kind: "provider", error });
    await assert.rejects(client.messages.create(REQUEST), (thrown) => thrown instanceof expected && thrown.status === status);
  });
}

for (const place of ["start", "opening", { content: 2 }]) {
  test(`an error in a stream is thrown: ${JSON.stringify(place)}`, async () => {
    await sim.fault(at(place, { error: "overloaded" }));
    await assert.rejects(all(client.messages.create({ ...REQUEST, stream: true })), /[Oo]verloaded/);
  });
}
