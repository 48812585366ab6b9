// Answers that are given again: they parse as they did, and are the same.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { regions } from "./gateway.js";
import { MESSAGES, MODEL, all } from "./sim.js";

let site, gateway;
before(async () => {
  site = await regions('[cache]\nmode = "exact"\nsampled = true');
  gateway = await site.gateway();
});
after(async () => {
  gateway.stop();
  await site.stop();
});
beforeEach(() => site.reset());

/** A client whose answers nobody else has: they are kept by key. */
const openai = (apiKey) => new OpenAI({ apiKey, baseURL: `${gateway.url}/v1`, timeout: 10_000 });
const outcome = ({ response }) => response.headers.get("x-cache");

test("a chat, whole and streamed", async () => {
  const client = openai("chat");
  const chat = (stream) => client.chat.completions.create({ model: MODEL, messages: MESSAGES, stream }).withResponse();
  const [first, again] = [await chat(false), await chat(false)];
  assert.deepEqual([outcome(first), outcome(again)], ["miss", "hit"]);
  assert.deepEqual(again.data, first.data);
  const streamed = await chat(true);
  assert.equal(outcome(streamed), "hit");
  const chunks = await all(streamed.data);
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, first.data.choices[0].message.content);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("a stream, chunk for chunk", async () => {
  const client = openai("stream");
  const chat = () => client.chat.completions.create({ model: MODEL, messages: MESSAGES, stream: true }).withResponse();
  const first = await chat();
  const chunks = await all(first.data);
  const again = await chat();
  assert.deepEqual([outcome(first), outcome(again)], ["miss", "hit"]);
  assert.deepEqual(await all(again.data), chunks);
});

test("messages, event for event", async () => {
  const client = new Anthropic({ apiKey: "messages", baseURL: gateway.url, timeout: 10_000 });
  const create = () => client.messages.create({ model: MODEL, max_tokens: 100, messages: MESSAGES, stream: true }).withResponse();
  const first = await create();
  const events = await all(first.data);
  const again = await create();
  assert.deepEqual([outcome(first), outcome(again)], ["miss", "hit"]);
  assert.deepEqual(await all(again.data), events);
});

test("a call of a tool is not kept", async () => {
  for (const target of Object.values(site.targets)) {
    await target.fault({ kind: "tool_call", name: "weather", arguments: { city: "Oslo" } });
  }
  const client = openai("tool");
  for (let turn = 0; turn < 2; turn++) {
    const answer = await client.chat.completions.create({ model: MODEL, messages: MESSAGES }).withResponse();
    assert.equal(outcome(answer), "miss");
    assert.deepEqual(JSON.parse(answer.data.choices[0].message.tool_calls[0].function.arguments), { city: "Oslo" });
  }
});
