// Runs a variant with onnxruntime, compiled to WebAssembly, and tests it by its golden set.

import { createRequire } from "node:module";
import * as ort from "onnxruntime-web";
import { parseAnswers } from "./bytes.js";
import { readArray } from "./npz.js";
import { Refused } from "./refused.js";

ort.env.wasm.numThreads = 1;
export const VERSION = ort.env.versions?.web ?? createRequire(import.meta.url)("onnxruntime-web/package.json").version;
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array,
};

function softmax(values) {
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** An answer as recorded ones are: how far the largest output lies above the mean, and the five largest probabilities. */
export function reduced(values, kind) {
  const shares = kind === "probabilities" ? values.map((one) => Math.min(Math.max(one, 0), 1)) : softmax(values);
  const order = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, 5);
  return {
    spread: Math.fround(Math.max(...values) - values.reduce((a, b) => a + b, 0) / values.length),
    top: order.map((c) => [c, Math.round(shares[c] * 65535) / 65535]),
  };
}

/** By how much a probability differs at most; what is not listed is at most what the listed ones leave. */
function difference(one, other) {
  const known = new Map(other.top);
  const rest = Math.max(0, Math.min(...known.values(), 1 - [...known.values()].reduce((a, b) => a + b, 0)));
  return Math.max(...one.top.map(([c, p]) => (known.has(c) ? Math.abs(p - known.get(c)) : p - rest)));
}

export function compared(found, recorded) {
  if (found.length !== recorded.length) throw new Refused("self_test_failed", `${recorded.length} answers are recorded`);
  const pairs = found.map((answer, n) => [answer, recorded[n]]);
  const [small, large] = [found, recorded].map((all) => all.reduce((sum, one) => sum + one.spread, 0)).sort((a, b) => a - b);
  return {
    agreement: pairs.filter(([a, b]) => a.top[0][0] === b.top[0][0]).length / pairs.length,
    difference: Math.max(...pairs.flatMap(([a, b]) => [difference(a, b), difference(b, a)])),
    scaling: large === small ? 1 : large / small,
  };
}

/** A loaded variant. */
export class Variant {
  static async load(manifest, onnx, golden) {
    const variant = new Variant();
    try {
      variant.session = await ort.InferenceSession.create(onnx);
    } catch (error) {
      throw new Refused("load_failed", String(error.message ?? error).slice(0, 200));
    }
    const [input] = variant.session.inputMetadata;
    variant.input = input;
    variant.array = ARRAYS[input.type];
    if (!variant.array) throw new Refused("load_failed", `an input of type ${input.type}`);
    variant.scale = Math.fround(manifest.core.preprocessing?.scale ?? 1);
    variant.samples = readArray(golden, "inputs");
    if (!variant.samples.data.length) throw new Refused("self_test_failed", "the golden set is empty");
    return variant;
  }

  /** What the model answers to golden sample `n`, as numbers. */
  async answer(n) {
    const [, ...shape] = this.samples.shape;
    const size = shape.reduce((a, b) => a * b, 1);
    const scaled = this.samples.data.subarray(n * size, (n + 1) * size).map((x) => x * this.scale);
    const whole = this.array === BigInt64Array ? (x) => BigInt(Math.trunc(x)) : Number;
    const tensor = new ort.Tensor(this.input.type, this.array.from(scaled, whole), [1, ...shape]);
    const outputs = await this.session.run({ [this.input.name]: tensor });
    return Array.from(outputs[this.session.outputNames[0]].data, Number);
  }

  /** Answer the golden set, and compare with the recorded answers; throws Refused. */
  async test(manifest, answers) {
    const rows = [];
    for (let n = 0; n < this.samples.shape[0]; n++) rows.push(await this.answer(n));
    if (!rows.flat().every(Number.isFinite)) throw new Refused("self_test_failed", "an answer is not finite");
    const { expected } = manifest;
    const allowed = manifest.answers ?? {
      min_agreement: Math.max(expected.min_same_top1, 1) / expected.probabilities.length,
      max_difference: expected.max_difference,
      max_scaling: Infinity,
    };
    const found = manifest.answers
      ? compared(rows.map((row) => reduced(row, manifest.core.spec?.outputs ?? "logits")), parseAnswers(answers))
      : compared(
          rows.map((row) => reduced(softmax(row), "probabilities")),
          expected.probabilities.map((row) => reduced(row, "probabilities")),
        );
    if (
      found.agreement < allowed.min_agreement - 1e-9 ||
      found.difference > allowed.max_difference ||
      found.scaling > allowed.max_scaling
    ) {
      throw new Refused("self_test_failed", JSON.stringify(found));
    }
  }
}
