// What is not JSON: chunk frames, bitmaps, answers, and the latency histogram.

import zlib from "node:zlib";

/** The index and the bytes of a chunk; null if it is no frame of version 1. */
export function parseFrame(data) {
  return data.length > 5 && data[0] === 1 ? { index: data.readUInt32BE(1), chunk: data.subarray(5) } : null;
}

/** A bitmap in base64 of the chunks for which `isSet`. */
export function bitmap(count, isSet) {
  const bits = Buffer.alloc(Math.ceil(count / 8));
  for (let i = 0; i < count; i++) if (isSet(i)) bits[i >> 3] |= 1 << (i & 7);
  return bits.toString("base64");
}

/** The recorded answers of a classifier: how far the largest output lies above the mean, and the top classes. */
export function parseAnswers(data) {
  if (data[0] !== 1) throw new Error(`version ${data[0]} of the answers is unknown`);
  const answers = [];
  let at = 3;
  for (let left = data.readUInt16BE(1); left > 0; left--) {
    const end = at + 2 + data.readUInt16BE(at);
    const answer = { spread: data.readFloatBE(at + 2), top: [] };
    for (at += 6; at < end; at += 6) {
      answer.top.push([data.readUInt32BE(at), data.readUInt16BE(at + 4) / 65535]);
    }
    answers.push(answer);
  }
  return answers;
}

const HIGHEST = 6_000_000;

/** Counts latencies in units of 10 µs, and writes them as an HDR histogram. */
export class Latencies {
  counts = new Map();

  add(seconds) {
    const units = Math.min(Math.max(Math.round(seconds * 1e5), 1), HIGHEST);
    const b = Math.max(32 - Math.clz32(units) - 8, 0);
    const index = units < 256 ? units : 128 * b + (units >> b);
    this.counts.set(index, (this.counts.get(index) ?? 0) + 1);
  }

  toString() {
    const body = [];
    const number = (n) => {
      let left = n >= 0 ? 2 * n : -2 * n - 1;
      for (; left > 127; left = Math.floor(left / 128)) body.push((left % 128) | 128);
      body.push(left);
    };
    let next = 0;
    for (const index of [...this.counts.keys()].sort((a, b) => a - b)) {
      if (index > next) number(next - index);
      number(this.counts.get(index));
      next = index + 1;
    }
    const head = Buffer.alloc(40);
    head.writeUInt32BE(0x1c849313, 0);
    head.writeUInt32BE(body.length, 4);
    head.writeUInt32BE(2, 12);
    head.writeBigUInt64BE(1n, 16);
    head.writeBigUInt64BE(BigInt(HIGHEST), 24);
    head.writeDoubleBE(1, 32);
    const packed = zlib.deflateSync(Buffer.concat([head, Buffer.from(body)]));
    const outer = Buffer.alloc(8);
    outer.writeUInt32BE(0x1c849314, 0);
    outer.writeUInt32BE(packed.length, 4);
    return Buffer.concat([outer, packed]).toString("base64");
  }
}
