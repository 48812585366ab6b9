// The gateway under test, in front of three simulated regions. `BUTTRESS_GATEWAY_BIN` names the program.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch, simulators } from "./sim.js";

export const [BROKEN, NEXT] = ["eastus", "westeurope"];
const REGIONS = [BROKEN, NEXT, "swedencentral"];

/** Starts three regions, and gives what starts a gateway in front of them that has known no failure yet, with more settings. */
export async function regions(...more) {
  const { targets, stop } = await simulators(REGIONS);
  const config = REGIONS.flatMap((name) => [
    `[[targets]]\nname = "${name}"\ndialect = "openai"\nurl = "${targets[name].url}/v1"`,
    `[[targets.endpoints]]\ndialect = "anthropic"\nurl = "${targets[name].url}"`,
  ]);
  const limits =
    '[failover]\nstream_timeout = "500ms"\nanswer_timeout = "500ms"\n[streams]\nidle = "500ms"\n[probes]\nevery = "off"';
  const folder = await mkdtemp(join(tmpdir(), "buttress-sdk-"));
  const file = join(folder, "gateway.toml");
  await writeFile(file, ['shutdown_grace = "100ms"', limits, ...more, ...config].join("\n"));
  return {
    targets,
    async gateway() {
      const program = process.env.BUTTRESS_GATEWAY_BIN;
      if (!program) throw new Error("run `cargo xtask sdk`, or set BUTTRESS_GATEWAY_BIN");
      const { found, child } = await launch(program, ["--listen", "127.0.0.1:0", "--config", file], 1);
      return { url: found[0], stop: () => child.kill() };
    },
    reset: () => Promise.all(REGIONS.map((name) => targets[name].reset())),
    async stop() {
      stop();
      await rm(folder, { recursive: true });
    },
  };
}
