// What is checked of a manifest before anything it names is fetched, and which encoding is taken.

import { Refused } from "./refused.js";
import { sha256 } from "./wire.js";

export const FEATURES = ["reduced-answers"];
export const MAX_MANIFEST_BYTES = 131_072;

function instructionSet({ arch, isa }) {
  const has = (...flags) => flags.some((flag) => isa.includes(flag));
  if (arch === "aarch64") return has("asimddp", "i8mm") ? "arm-dotprod" : "arm-neon";
  if (has("avx_vnni", "avx512_vnni", "amx_int8")) return "x86-vnni";
  return has("avx2") ? "x86-avx2" : "x86-sse";
}

function older(mine, needed) {
  const numbers = (version) => (version.match(/\d+/g) ?? []).slice(0, 3).map(Number);
  const [a, b] = [numbers(mine), numbers(needed)];
  const at = [0, 1, 2].find((i) => (a[i] ?? 0) !== (b[i] ?? 0));
  return at !== undefined && (a[at] ?? 0) < (b[at] ?? 0);
}

/** The bytes of `core` as they stand in the manifest: its canonical JSON, whose sha256 is the variant's id. */
function coreBytes(data) {
  const text = data.toString("latin1"); // one character a byte
  let depth = 0;
  let begin = -1;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '"') {
      const from = at;
      for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
      if (depth === 1 && text.slice(from, at + 2) === '"core":') begin = at + 2;
    } else if (c === "{" || c === "[") {
      depth++;
    } else if (c === "}" || c === "]") {
      depth--;
      if (depth === 1 && begin >= 0) return data.subarray(begin, at + 1);
    }
  }
  throw new Refused("manifest_invalid", "the manifest has no core");
}

/** Read a manifest, whose digest matches, and check that this device may run it; throws Refused. */
export function readManifest(data, model, facts) {
  let manifest;
  try {
    manifest = JSON.parse(data);
  } catch (error) {
    throw new Refused("manifest_invalid", error.message);
  }
  const refuse = (reason, detail) => {
    throw new Refused(reason, detail);
  };
  if (manifest.model !== model) refuse("manifest_invalid", `it is of model '${manifest.model}', not of '${model}'`);
  if (sha256(coreBytes(data)) !== manifest.variant) refuse("manifest_invalid", "its core is not the variant's");
  const lacks = (manifest.needs ?? []).filter((need) => !FEATURES.includes(need));
  if (lacks.length) refuse("agent_too_old", `it needs ${lacks.join(", ")}`);
  const mine = instructionSet(facts);
  const sets = manifest.instruction_sets ?? [];
  if (sets.length && !sets.includes(mine)) refuse("wrong_hardware", `made for ${sets.join(", ")}, this is ${mine}`);
  const needed = manifest.min_onnxruntime ?? "1.20";
  if (older(facts.onnxruntime, needed)) refuse("runtime_too_old", `needs onnxruntime ${needed}`);
  const entries = Object.keys(manifest.core.runtime ?? {});
  if (entries.length) refuse("manifest_invalid", `this client obeys no runtime entries, such as ${entries[0]}`);
  if (!manifest.core.golden || !(manifest.answers || manifest.expected?.probabilities?.length)) {
    refuse("manifest_invalid", "nothing to test it with");
  }
  return manifest;
}

/** The zstd encoding in chunks of this size. */
export function encodingOf(manifest, chunkBytes) {
  const found = manifest.encodings.find((one) => one.kind === "zstd" && one.chunk_bytes === chunkBytes);
  if (!found) throw new Refused("manifest_invalid", `no zstd encoding in chunks of ${chunkBytes} bytes`);
  return found;
}
