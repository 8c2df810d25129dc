// Fetches blobs: listens, says what is missing, and asks again only after silence.

import { bitmap, parseFrame } from "./bytes.js";
import { Refused } from "./refused.js";
import { blobTopic, sha256 } from "./wire.js";

const SLOWEST_BPS = 64_000;
const STALL_MS = 6 * 3600_000;
const LONGEST_MS = 60_000;
const WRONG_COPIES = 3;
const HASH_BYTES = 16;
export const SMALL = 4096;

/** One blob under way. */
class Fetch {
  constructor(wire, blob, lane, chunkBytes, hashes) {
    Object.assign(this, { wire, blob, lane, chunkBytes, hashes });
    this.topic = blobTopic(blob.sha256, lane);
    this.count = Math.ceil(blob.size_bytes / chunkBytes);
    this.data = Buffer.alloc(blob.size_bytes);
    this.missing = new Set(Array(this.count).keys());
    this.wants = this.wrong = this.copies = this.unanswered = this.intervalMs = 0;
    this.lastMs = null;
    this.progressMs = Date.now();
    this.done = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  get bytesDone() {
    const last = this.blob.size_bytes - (this.count - 1) * this.chunkBytes;
    const short = this.count && !this.missing.has(this.count - 1) ? this.chunkBytes - last : 0;
    return (this.count - this.missing.size) * this.chunkBytes - short;
  }

  async begin() {
    clearTimeout(this.timer);
    if (await this.wire.listen(this.topic)) this.ask();
    else this.timer = setTimeout(() => this.begin(), LONGEST_MS);
  }

  ask() {
    if (Date.now() - this.progressMs > STALL_MS) {
      this.reject(new Refused("download_stalled", `nothing arrived for ${STALL_MS / 1000} s`));
      return;
    }
    this.wire.publish("want", {
      schema_version: 1,
      blob: this.blob.sha256,
      lane: this.lane,
      chunk_bytes: this.chunkBytes,
      chunks: this.count,
      missing: bitmap(this.count, (i) => this.missing.has(i)),
    });
    this.wants++;
    this.#wait();
    this.unanswered++;
  }

  hello(jitterMs) {
    this.unanswered = 0;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), Math.random() * jitterMs);
  }

  take(frame) {
    const { index, chunk } = parseFrame(frame) ?? { index: -1 };
    const length = Math.min(this.chunkBytes, this.blob.size_bytes - index * this.chunkBytes);
    const hash = this.hashes?.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES).toString("hex");
    if (index < 0 || index >= this.count || chunk.length !== length || (hash && !sha256(chunk).startsWith(hash))) {
      this.wrong++;
      return;
    }
    const now = Date.now();
    if (this.lastMs !== null) this.intervalMs = 0.8 * this.intervalMs + 0.2 * (now - this.lastMs);
    this.lastMs = now;
    this.unanswered = 0;
    this.#wait();
    if (!this.missing.delete(index)) return;
    this.progressMs = now;
    chunk.copy(this.data, index * this.chunkBytes);
    if (!this.missing.size) this.#finish();
  }

  #finish() {
    if (sha256(this.data) === this.blob.sha256) {
      this.resolve(this.data);
    } else if (this.hashes || ++this.copies >= WRONG_COPIES) {
      this.reject(new Refused("blob_corrupt", `blob ${this.blob.sha256} arrived with another digest`));
    } else {
      this.missing = new Set(Array(this.count).keys());
      this.ask();
    }
  }

  #wait() {
    clearTimeout(this.timer);
    const first = this.lastMs === null ? (4 * this.chunkBytes * 8000) / SLOWEST_BPS : 4 * this.intervalMs;
    const silence = Math.min(Math.max(first, 2_000) * 2 ** this.unanswered, LONGEST_MS);
    this.timer = setTimeout(() => this.ask(), silence * (1 + Math.random() / 2));
  }
}

/** All blobs under way. */
export class Fetcher {
  constructor(wire, lane) {
    this.wire = wire;
    this.lane = lane;
    this.under = new Set();
    wire.on("up", () => this.under.forEach((fetch) => fetch.begin()));
    wire.on("down", () => this.under.forEach((fetch) => clearTimeout(fetch.timer)));
    wire.on("message", (topic, data) => {
      for (const fetch of this.under) if (fetch.topic === topic) fetch.take(data);
    });
  }

  hello(jitterMs) {
    this.under.forEach((fetch) => fetch.hello(jitterMs));
  }

  /** The bytes of a blob; `hashes` is its hash list, if it has one, and `signal` cancels. */
  async blob(blob, { signal, counted, chunkBytes = SMALL, hashes = null }) {
    const fetch = new Fetch(this.wire, blob, this.lane, chunkBytes, hashes);
    counted.push(fetch);
    const cancel = () => fetch.reject(signal.reason);
    signal.addEventListener("abort", cancel);
    this.under.add(fetch);
    try {
      if (signal.aborted) cancel();
      else if (fetch.count) fetch.begin();
      else fetch.resolve(fetch.data);
      return await fetch.done;
    } finally {
      clearTimeout(fetch.timer);
      signal.removeEventListener("abort", cancel);
      this.under.delete(fetch);
      if (![...this.under].some((one) => one.topic === fetch.topic)) this.wire.leave(fetch.topic);
    }
  }
}
