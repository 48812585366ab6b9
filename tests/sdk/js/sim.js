// The simulator under test, and its control endpoint. `BUTTRESS_SIM_BIN` names the program.

import { spawn } from "node:child_process";
import readline from "node:readline";

export const MODEL = "gpt-4o-mini";
export const MESSAGES = [{ role: "user", content: "Why do walls need buttresses?" }];

/** Starts one simulated target with six words to an answer, and resolves when it has told where it is. */
export async function start(...args) {
  const program = process.env.BUTTRESS_SIM_BIN;
  if (!program) throw new Error("run `cargo xtask sdk`, or set BUTTRESS_SIM_BIN");
  const options = ["--port", "0", "--control", "127.0.0.1:0", "--length", "6", "--target", "sim", ...args];
  const child = spawn(program, options, { stdio: ["ignore", "pipe", "inherit"] });
  const found = [];
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const url = /(http:\/\/127\.0\.0\.1:\d+)/.exec(line);
    if (url) found.push(url[1]);
    if (found.length === 2) break;
  }
  const [url, control] = found;
  const send = async (method, action, body) => {
    const response = await fetch(`${control}/control/targets/sim/${action}`, { method, body: body && JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
  return {
    url,
    fault: (fault) => send("PUT", "fault", fault),
    profile: (name) => send("PUT", "profile", name),
    reset: () => send("POST", "reset"),
    stop: () => child.kill(),
  };
}

/** A fault at a place of a stream. */
export const at = (place, then) => ({ kind: "stream", at: place, then });

/** All that a stream gives. */
export async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}
