// The worked examples of docs/protocol-bytes.md and docs/protocol-messages.md, read and made by this client.

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import zlib from "node:zlib";
import { bitmap, Latencies, parseAnswers, parseFrame } from "./bytes.js";
import { readManifest } from "./manifest.js";
import { compared, reduced } from "./runtime.js";
import { unpacked } from "./slots.js";
import { sha256 } from "./wire.js";

const docs = process.env.EDGEFLEET_DOCS ?? new URL("../../docs", import.meta.url).pathname;
const page = (name) => fs.readFileSync(`${docs}/${name}.md`, "utf8");
const BYTES = page("protocol-bytes");
const hex = (name) => Buffer.from(BYTES.match(new RegExp("```hex " + name + "\n([^`]*)```"))[1].replace(/\s/g, ""), "hex");
const BLOB = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));

test("a chunk frame, its hash and a bitmap", () => {
  const { index, chunk } = parseFrame(Buffer.concat([hex("frame").subarray(0, 5), BLOB.subarray(2 * 49152)]));
  assert.equal(index, 2);
  assert.ok(sha256(chunk).startsWith(hex("hash-list").subarray(32, 48).toString("hex")));
  assert.equal(parseFrame(Buffer.from([2, 0, 0, 0, 0, 1])), null);
  assert.equal(bitmap(11, (i) => [0, 2, 9].includes(i)), "BQI=");
});

test("an encoding, and one that unfolds to more than was said", () => {
  const text = Buffer.from("edgefleet ".repeat(20));
  assert.deepEqual(unpacked(hex("zstd"), { sha256: sha256(text), size_bytes: 200 }), text);
  for (const size_bytes of [199, 201]) {
    assert.throws(() => unpacked(hex("zstd"), { sha256: sha256(text), size_bytes }), { reason: "blob_corrupt" });
  }
});

test("answers, recorded and made", () => {
  const recorded = parseAnswers(hex("answers"));
  assert.deepEqual(recorded, [[0, 2, 1], [3, 0, 0]].map((row) => reduced(row, "logits")));
  assert.deepEqual(compared(recorded, recorded), { agreement: 1, difference: 0, scaling: 1 });
  const other = [[0, 2, 1], [0, 6, 0]].map((row) => reduced(row, "logits"));
  const { agreement, scaling } = compared(other, recorded);
  assert.deepEqual([agreement, scaling], [0.5, 5 / 3]);
});

test("a latency histogram", () => {
  const counted = new Latencies();
  for (const seconds of [0.0005, 0.0005, 0.0005, 0.01]) counted.add(seconds);
  const outer = Buffer.from(String(counted), "base64");
  assert.equal(outer.readUInt32BE(0), 0x1c849314);
  assert.deepEqual(zlib.inflateSync(outer.subarray(8)), hex("histogram"));
});

test("a manifest: the variant's id, and what does not fit this device", () => {
  const example = page("protocol-messages").match(/### Manifest\n[^]*?```json\n([^]*?)```/)[1];
  const sorted = (value) =>
    Array.isArray(value) || value === null || typeof value !== "object"
      ? value
      : Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
  const bytes = (changes) => Buffer.from(JSON.stringify(sorted({ ...JSON.parse(example), ...changes })));
  const facts = { arch: "x86_64", isa: ["avx2"], onnxruntime: "1.30.0" };
  assert.equal(readManifest(bytes({}), "fashion", facts).recipe, "fp32");
  const refusals = [
    [{ model: "other" }, "manifest_invalid"],
    [{ variant: "0".repeat(64) }, "manifest_invalid"],
    [{ needs: ["pairs"] }, "agent_too_old"],
    [{ instruction_sets: ["arm-neon"] }, "wrong_hardware"],
    [{ min_onnxruntime: "1.100" }, "runtime_too_old"],
    [{ answers: undefined }, "manifest_invalid"],
  ];
  for (const [changes, reason] of refusals) {
    assert.throws(() => readManifest(bytes(changes), "fashion", facts), { reason });
  }
});
