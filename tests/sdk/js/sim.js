// The simulator under test, and its control endpoint. `BUTTRESS_SIM_BIN` names the program.

import { spawn } from "node:child_process";
import readline from "node:readline";

export const MODEL = "gpt-4o-mini";
export const MESSAGES = [{ role: "user", content: "Why do walls need buttresses?" }];

/** Starts a program, and resolves when it has told this many addresses. */
export async function launch(program, options, addresses) {
  const child = spawn(program, options, { stdio: ["ignore", "pipe", "ignore"] });
  const found = [];
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const url = /(http:\/\/127\.0\.0\.1:\d+)/.exec(line);
    if (url) found.push(url[1]);
    if (found.length === addresses) break;
  }
  if (found.length < addresses) throw new Error(`${program} ended before it listened`);
  // Whoever is not listened to must not wait for it.
  child.stdout.resume();
  return { found, child };
}

/** Starts simulated targets with six words to an answer, and resolves when they have told where they are. */
export async function simulators(names) {
  const program = process.env.BUTTRESS_SIM_BIN;
  if (!program) throw new Error("run `cargo xtask sdk`, or set BUTTRESS_SIM_BIN");
  const options = ["--port", "0", "--control", "127.0.0.1:0", "--length", "6"];
  const targets = names.flatMap((name) => ["--target", name]);
  const { found, child } = await launch(program, [...options, ...targets], names.length + 1);
  const control = found.pop();
  const target = (name, url) => {
    const send = async (method, action, body) => {
      const at = `${control}/control/targets/${name}/${action}`;
      const response = await fetch(at, { method, body: body && JSON.stringify(body) });
      if (!response.ok) throw new Error(await response.text());
      return response.json();
    };
    return {
      url,
      fault: (fault) => send("PUT", "fault", fault),
      profile: (name) => send("PUT", "profile", name),
      reset: () => send("POST", "reset"),
    };
  };
  return {
    targets: Object.fromEntries(names.map((name, i) => [name, target(name, found[i])])),
    stop: () => child.kill(),
  };
}

/** Starts one simulated target. */
export async function start() {
  const { targets, stop } = await simulators(["sim"]);
  return { ...targets.sim, stop };
}

/** A fault at a place of a stream. */
export const at = (place, then) => ({ kind: "stream", at: place, then });

/** All that a stream gives. */
export async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}
