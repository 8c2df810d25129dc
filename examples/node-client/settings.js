// The command line.

import fs from "node:fs";
import os from "node:os";
import { parseArgs } from "node:util";

const TEXT = { type: "string" };
const USAGE = `usage: node client.js --broker mqtt://HOST:PORT --device ID --region NAME --hardware NAME --link NAME [options]

  --state DIR           where to keep what must survive a restart (edgefleet-node)
  --thin                the link has less than 256 kbit/s: chunks of 4,096 bytes
  --isa FLAGS           processor flags to report, with commas (those of /proc/cpuinfo)
  --may-leave KINDS     what the region lets leave: counts, aggregates, labels (counts,aggregates)
  --heartbeat SECONDS   between reports (60)
  --window SECONDS      what one telemetry window counts (60)
  --ask SECONDS         between the questions that stand in for an application's (1)
  --username NAME, --password-file FILE, --ca-file FILE   for the broker`;

function instructionFlags() {
  const told = fs.readFileSync("/proc/cpuinfo", "utf8").match(/^(flags|Features)\s*:(.*)$/m);
  const known = /^(avx|avx2|avx512f|avx_vnni|avx512_vnni|amx_int8|fma|asimd|asimddp|i8mm)$/;
  return told ? told[2].trim().split(/\s+/).filter((flag) => known.test(flag)) : [];
}

/** What the command line says; ends the process if it cannot be understood. */
export function settings(words) {
  let values;
  try {
    ({ values } = parseArgs({
      args: words,
      options: {
        broker: TEXT, device: TEXT, region: TEXT, hardware: TEXT, link: TEXT,
        state: { ...TEXT, default: "edgefleet-node" },
        thin: { type: "boolean", default: false },
        isa: TEXT,
        "may-leave": { ...TEXT, default: "counts,aggregates" },
        heartbeat: { ...TEXT, default: "60" },
        window: { ...TEXT, default: "60" },
        ask: { ...TEXT, default: "1" },
        username: TEXT, "password-file": TEXT, "ca-file": TEXT,
      },
    }));
    for (const name of ["broker", "device", "region", "hardware", "link"]) {
      if (!values[name]) throw new Error(`--${name} is missing`);
    }
    if (!/^mqtts?:\/\//.test(values.broker)) throw new Error(`--broker: '${values.broker}' is no mqtt:// address`);
    for (const name of ["device", "region", "hardware", "link"]) {
      if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(values[name])) throw new Error(`--${name}: '${values[name]}' is no name`);
    }
    for (const name of ["heartbeat", "window", "ask"]) {
      if (!(Number(values[name]) > 0)) throw new Error(`--${name}: '${values[name]}' is no number of seconds`);
    }
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
  return {
    ...values,
    heartbeatS: Number(values.heartbeat),
    windowS: Number(values.window),
    askS: Number(values.ask),
    chunkBytes: values.thin ? 4096 : 49152,
    mayLeave: new Set(values["may-leave"].split(",").filter(Boolean)),
    facts: {
      hardware: values.hardware,
      region: values.region,
      link: values.link,
      arch: { x64: "x86_64", arm64: "aarch64" }[os.arch()] ?? os.arch(),
      isa: values.isa === undefined ? instructionFlags() : values.isa.split(",").filter(Boolean),
      cores: os.cpus().length,
      ram_mb: Math.floor(os.totalmem() / 2 ** 20),
      providers: ["CPUExecutionProvider"],
    },
  };
}
