// A region fails inside its answers. Each call is answered whole by another region, or throws the SDK's own error.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { BROKEN, NEXT, regions } from "./gateway.js";
import { MESSAGES, MODEL, at } from "./sim.js";

/** What one call was told so far. A call that fails leaves what came before. */
const nothing = () => ({ text: "", whole: false, failed: false, headers: undefined, sent: [] });

const chat = {
  name: "chat",
  Client: OpenAI,
  path: "/v1",
  call: (client, stream) => client.chat.completions.create({ model: MODEL, messages: MESSAGES, stream }),
  read(told, chunk) {
    for (const choice of chunk.choices) {
      told.text += choice.delta.content ?? "";
      told.whole ||= choice.finish_reason === "stop";
    }
  },
  readWhole: ({ choices: [choice] }) => ({ text: choice.message.content, whole: choice.finish_reason === "stop" }),
};
const responses = {
  name: "responses",
  Client: OpenAI,
  path: "/v1",
  call: (client, stream) => client.responses.create({ model: MODEL, input: "Why do walls need buttresses?", stream }),
  read(told, event) {
    if (event.type === "response.output_text.delta") told.text += event.delta;
    told.whole ||= event.type === "response.completed";
    told.failed ||= event.type === "response.failed" && event.response.error.message !== "";
  },
  readWhole: (response) => ({ text: response.output_text, whole: response.status === "completed" }),
};
const messages = {
  name: "messages",
  Client: Anthropic,
  path: "",
  call: (client, stream) => client.messages.create({ model: MODEL, messages: MESSAGES, max_tokens: 1000, stream }),
  read(told, event) {
    if (event.type === "content_block_delta") told.text += event.delta.text;
    if (event.type === "message_delta") told.whole = event.delta.stop_reason === "end_turn";
  },
  readWhole: (message) => ({ text: message.content[0].text, whole: message.stop_reason === "end_turn" }),
};

/** Makes one call with the SDK's own defaults, retries included, and notes in `told` what it is told. The first `lost` requests
 *  of the SDK get nowhere. */
async function ask(dialect, url, told, { stream = true, lost = 0 } = {}) {
  const counting = (input, init) => {
    told.sent.push(new Headers(init.headers).get("x-stainless-retry-count"));
    if (told.sent.length <= lost) throw new TypeError("lost");
    return fetch(input, init);
  };
  const client = new dialect.Client({ apiKey: "k", baseURL: url + dialect.path, timeout: 10_000, fetch: counting });
  const { data, response } = await dialect.call(client, stream).withResponse();
  told.headers = response.headers;
  if (!stream) return Object.assign(told, dialect.readWhole(data));
  for await (const event of data) dialect.read(told, event);
}

let site, gateway;
before(async () => (site = await regions()));
after(() => site.stop());
// A gateway remembers what broke, so each check has its own.
beforeEach(async () => {
  await site.reset();
  gateway = await site.gateway();
});
afterEach(() => gateway.stop());

const known = new Map();
/** What a region says to the first question when nothing is wrong. That follows from its seed alone. */
async function healthy(region, dialect, stream) {
  const key = `${region} ${dialect.name} ${stream}`;
  if (!known.has(key)) {
    const told = nothing();
    await ask(dialect, site.targets[region].url, told, { stream });
    assert.ok(told.whole && told.text);
    known.set(key, told.text);
    await site.reset();
  }
  return known.get(key);
}

async function checkElsewhere(dialect, fault, stream) {
  const expected = await healthy(NEXT, dialect, stream);
  await site.targets[BROKEN].fault(fault);
  const told = nothing();
  await ask(dialect, gateway.url, told, { stream });
  assert.ok(told.whole, "the answer is whole");
  assert.equal(told.text, expected);
  assert.equal(told.headers.get("x-served-by"), NEXT);
  const trail = told.headers.get("x-attempt-trail").split(", ");
  assert.deepEqual(trail.map((attempt) => attempt.split(";")[0]), [BROKEN, NEXT]);
  assert.deepEqual(told.sent, ["0"], "the SDK has nothing to do");
}

const OVERLOADED = { error: "overloaded" };
const COMMENTS = { comments: { every_ms: 50 } };
const BEFORE = {
  "an error first": at("start", OVERLOADED),
  "an error after the opening": at("opening", OVERLOADED),
  nothing: { kind: "empty" },
  "only the end": { kind: "only_done" },
  "an end after the opening": at("opening", "end"),
  "a truncation": at("opening", "close"),
  "a reset": at("opening", "reset"),
  silence: at("opening", "stall"),
  "only comments": at("opening", COMMENTS),
  "late content": { kind: "slow_first_token", ms: 5_000 },
  "a malformed first event": at("start", "malformed"),
  "a malformed event after the opening": at("opening", "malformed"),
};
const AFTER = {
  "an end": at({ content: 2 }, "end"),
  "a truncation": at({ content: 2 }, "close"),
  "a reset": at({ content: 2 }, "reset"),
  "an error": at({ content: 2 }, OVERLOADED),
  silence: at({ content: 2 }, "stall"),
  "only comments": at({ content: 2 }, COMMENTS),
  "a malformed event": at({ content: 2 }, "malformed"),
};
const WHOLE = {
  "a hang": { kind: "hang" },
  "a 500": { kind: "status", status: 500 },
  overload: { kind: "provider", error: "overloaded" },
  nothing: { kind: "empty" },
  "an error under 200": at("start", OVERLOADED),
  "half an answer": at("opening", "end"),
  "a truncation": at("opening", "close"),
  "a reset": at("opening", "reset"),
  "malformed JSON": at("opening", "malformed"),
};

for (const dialect of [chat, responses, messages]) {
  for (const [name, fault] of Object.entries(BEFORE)) {
    test(`${dialect.name}: ${name} before content, and the call completes elsewhere`, () => checkElsewhere(dialect, fault, true));
  }
  for (const [name, fault] of Object.entries(WHOLE)) {
    test(`${dialect.name}: ${name} instead of a whole answer, which comes from elsewhere`, () => checkElsewhere(dialect, fault, false));
  }
  for (const [name, fault] of Object.entries(AFTER)) {
    test(`${dialect.name}: ${name} after content, and the SDK throws its own error`, async () => {
      const expected = await healthy(BROKEN, dialect, true);
      await site.targets[BROKEN].fault(fault);
      const told = nothing();
      const call = ask(dialect, gateway.url, told);
      if (dialect === responses && name === "an error") {
        // What the target itself reports goes on as it came: the SDK has an event for it.
        await call;
        assert.ok(told.failed);
      } else {
        await assert.rejects(call, (thrown) => thrown instanceof dialect.Client.APIError && thrown.message !== "");
      }
      assert.ok(!told.whole && told.text !== "" && told.text !== expected && expected.startsWith(told.text), told.text);
      assert.equal(told.headers.get("x-served-by"), BROKEN);
      assert.deepEqual(told.sent, ["0"], "what has begun is not asked for again");
    });
  }
  for (const then of ["end", "close", "reset"]) {
    test(`${dialect.name}: ${then} after the finish, and the call completes`, async () => {
      const expected = await healthy(BROKEN, dialect, true);
      await site.targets[BROKEN].fault(at("finish", then));
      const told = nothing();
      await ask(dialect, gateway.url, told);
      assert.ok(told.whole);
      assert.equal(told.text, expected);
      assert.equal(told.headers.get("x-served-by"), BROKEN);
    });
  }
  for (const stream of [false, true]) {
    test(`${dialect.name}: when every region fails the SDK hears so once, stream ${stream}`, async () => {
      for (const target of Object.values(site.targets)) await target.fault(at("start", OVERLOADED));
      const told = nothing();
      await assert.rejects(ask(dialect, gateway.url, told, { stream }), (thrown) => {
        assert.ok(thrown instanceof dialect.Client.InternalServerError);
        assert.ok([503, 529].includes(thrown.status));
        assert.equal(thrown.headers.get("x-should-retry"), "false");
        return Number(thrown.headers.get("retry-after")) > 0;
      });
      assert.deepEqual(told.sent, ["0"], "the SDK tried again");
    });
  }
}

for (const dialect of [chat, responses, messages]) {
  test(`${dialect.name}: an SDK that tries again costs fewer attempts`, async () => {
    for (const target of Object.values(site.targets)) await target.fault({ kind: "status", status: 503 });
    const attempts = async (lost) => {
      const told = nothing();
      const thrown = await ask(dialect, gateway.url, told, { stream: false, lost }).catch((thrown) => thrown);
      assert.ok(thrown instanceof dialect.Client.InternalServerError);
      assert.deepEqual(told.sent, ["0", "1", "2"].slice(0, lost + 1), "the SDK says which of its calls this is");
      return Number(thrown.headers.get("x-attempts"));
    };
    const first = await attempts(0);
    assert.ok((await attempts(2)) < first);
  });
}
