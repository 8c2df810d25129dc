// One model on this device: what it was told, the attempt at it, and what answers.

import { encodingOf, MAX_MANIFEST_BYTES, readManifest } from "./manifest.js";
import { Refused } from "./refused.js";
import { Variant } from "./runtime.js";
import { unpacked } from "./slots.js";

const TO_STAGED = ["notified", "downloading", "verified", "staged"];
const SUPERSEDED = new Refused("superseded", "a higher generation has come");

/** `device` has state, slots, fetcher, facts and chunkBytes, and `changed()` saves and reports. */
export class Model {
  constructor(name, device) {
    Object.assign(this, { name, device, live: null, counted: [], totalBytes: 0, seconds: 0, running: null });
    this.record = device.state.models[name] ?? { told: { generation: 0 }, attempt: null, committed: null, slots: {} };
    device.state.models[name] = this.record;
  }

  /** Go on after a start: the committed variant answers, and the attempt goes on or has ended. */
  async wake() {
    const { attempt, committed, told } = this.record;
    if (committed) await this.#answerWith(this.record.slots[committed]).catch((error) => console.error(error.message));
    const phase = attempt?.phase;
    if (phase === "self_test" || phase === "trial") {
      const detail = `the client ended during ${phase}`;
      this.#move(phase === "trial" ? "failed_rolled_back" : "failed_no_change", { reason: "interrupted", detail });
    } else if (TO_STAGED.includes(phase)) {
      this.#begin(told, attempt.tries + 1);
    }
  }

  /** Go by (generation, activate). */
  async desire(told) {
    const { record } = this;
    if (told.generation < record.told.generation) return;
    if (told.generation === record.told.generation) {
      if (!TO_STAGED.includes(record.attempt?.phase) || told.activate === record.told.activate) return;
      record.told.activate = told.activate;
      this.device.changed();
      this.activated?.();
      return;
    }
    const before = this.running;
    if (!before) {
      this.#begin(told);
      return;
    }
    this.stopping.abort(SUPERSEDED);
    await before;
    if (this.running === before) this.running = null;
    await this.desire(told);
  }

  #begin(told, tries = 1) {
    this.record.told = told;
    this.record.attempt = { generation: told.generation, rollout: told.rollout, manifest: told.manifest, tries };
    this.counted = [];
    this.totalBytes = this.seconds = 0;
    this.stopping = new AbortController();
    this.#move("notified");
    this.running = this.#run(told, this.stopping.signal);
  }

  async #run(told, signal) {
    try {
      if (!told.manifest) {
        Object.assign(this.record, { committed: null });
        this.#switchTo(null);
        this.#move("removed");
        this.#tidy([]);
        return;
      }
      const slot = await this.#slotOf(told, signal);
      if (slot.variant === this.record.committed && this.live) {
        this.record.slots[slot.variant] = slot;
        this.#switchTo({ ...this.live, slot });
        this.#move("already_installed");
        return;
      }
      this.record.slots[slot.variant] = slot;
      this.#move("staged");
      await this.#activation(signal);
      await this.#switch(told, slot, signal);
    } catch (error) {
      if (error === SUPERSEDED) return;
      this.stopping.abort(error); // what else is being fetched for it
      const refused = error instanceof Refused ? error : new Refused("load_failed", String(error.message ?? error));
      const phase = this.record.attempt.phase;
      this.#move(phase === "notified" && refused.fits === false ? "rejected" : "failed_no_change", {
        reason: refused.reason,
        detail: refused.message.slice(0, 2000),
      });
      this.#tidy([this.record.committed, this.record.previous]);
    }
  }

  /** The slot that has the manifest, fetched if it is not on the disk. */
  async #slotOf(told, signal) {
    const here = Object.values(this.record.slots).find((slot) => slot.manifest === told.manifest);
    if (here) {
      try {
        this.device.slots.read(here);
        this.record.attempt.variant = here.variant;
        return { ...here, generation: told.generation };
      } catch (error) {
        console.error(`${error.message}: it is fetched again`);
      }
    }
    return this.#fetch(told, signal);
  }

  /** The manifest's bytes, what they say, and the encoding to take; what does not fit this device is refused. */
  async #manifest(told, signal) {
    const { fetcher, facts, chunkBytes } = this.device;
    try {
      if (told.manifest_bytes > MAX_MANIFEST_BYTES) throw new Refused("manifest_invalid", "the manifest is too large");
      this.totalBytes = told.manifest_bytes;
      const ref = { sha256: told.manifest, size_bytes: told.manifest_bytes };
      const data = await fetcher.blob(ref, { signal, counted: this.counted });
      const manifest = readManifest(data, this.name, facts);
      return { data, manifest, encoding: encodingOf(manifest, chunkBytes) };
    } catch (error) {
      if (error.reason === "blob_corrupt") error.reason = "manifest_invalid";
      if (error.reason !== "download_stalled") error.fits = false;
      throw error;
    }
  }

  async #fetch(told, signal) {
    const { data, manifest, encoding } = await this.#manifest(told, signal);
    const { fetcher, chunkBytes, slots } = this.device;
    const options = { signal, counted: this.counted };
    const held = slots.golden(manifest.core.golden.sha256);
    const recorded = manifest.answers?.blob;
    const small = [encoding.chunk_hashes, ...(recorded ? [recorded] : []), ...(held ? [] : [manifest.core.golden])];
    this.totalBytes += [encoding.blob, ...small].reduce((sum, ref) => sum + ref.size_bytes, 0);
    this.record.attempt.variant = manifest.variant;
    this.#move("downloading");
    const begun = performance.now();
    const got = await Promise.all(small.map((ref) => fetcher.blob(ref, options)));
    const hashes = got[0];
    if (hashes.length !== 16 * Math.ceil(encoding.blob.size_bytes / chunkBytes)) {
      throw new Refused("manifest_invalid", `a hash list of ${hashes.length} bytes`);
    }
    const packed = await fetcher.blob(encoding.blob, { ...options, chunkBytes, hashes });
    this.seconds = (performance.now() - begun) / 1000;
    const onnx = unpacked(packed, manifest.core.onnx);
    this.#move("verified");
    const answers = recorded ? got[1] : null;
    slots.place(manifest.variant, { manifest: data, onnx, golden: held ?? got.at(-1), answers });
    return {
      variant: manifest.variant,
      manifest: told.manifest,
      model_version: manifest.model_version,
      generation: told.generation,
    };
  }

  /** Wait, staged, for the order to switch. */
  async #activation(signal) {
    while (!this.record.told.activate) {
      await new Promise((resolve, reject) => {
        this.activated = resolve;
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    }
    signal.throwIfAborted();
  }

  async #switch(told, slot, signal) {
    const { record, device } = this;
    this.#move("self_test");
    const files = device.slots.read(slot);
    const variant = await Variant.load(files.manifest, files.onnx, files.golden);
    await variant.test(files.manifest, files.answers);
    signal.throwIfAborted();
    const before = this.live;
    this.#switchTo({ slot, variant });
    this.#move("trial");
    const failed = await this.#trial(told.trial_s ?? 30, signal);
    if (failed) {
      this.#switchTo(before);
      signal.throwIfAborted();
      this.#move(before ? "failed_rolled_back" : "failed_unsafe", { reason: "trial_failed", detail: failed });
      this.#tidy([record.committed, record.previous]);
      return;
    }
    const kept = told.keep ? Object.values(record.slots).find((one) => one.manifest === told.keep) : null;
    record.previous = told.at_once ? null : told.keep ? (kept?.variant ?? null) : record.committed;
    record.committed = slot.variant;
    this.#tidy([record.committed, record.previous]);
    this.#move("committed");
  }

  /** Let the new variant answer; resolves to why it failed, or null. */
  #trial(seconds, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), seconds * 1000);
      const end = (why) => (clearTimeout(timer), resolve(why));
      this.onFailure = end;
      signal.addEventListener("abort", () => end("superseded"));
    }).finally(() => (this.onFailure = null));
  }

  async #answerWith(slot) {
    const files = this.device.slots.read(slot);
    this.#switchTo({ slot, variant: await Variant.load(files.manifest, files.onnx, files.golden) });
  }

  #switchTo(live) {
    this.device.telemetry.close();
    this.live = live;
  }

  /** Ask what answers one question, as an application would. */
  async ask(n) {
    const { live } = this;
    if (!live) return;
    const begun = performance.now();
    try {
      const row = await live.variant.answer(n % live.variant.samples.shape[0]);
      const finite = row.every(Number.isFinite);
      this.device.telemetry.count(this.name, live.slot, (performance.now() - begun) / 1000, { finite });
      if (!finite) this.onFailure?.("an answer is not finite");
    } catch (error) {
      this.device.telemetry.count(this.name, live.slot, 0, { failed: true });
      this.onFailure?.(`an error of the runtime: ${error.constructor.name}`);
    }
  }

  #tidy(keep) {
    const kept = Object.entries(this.record.slots).filter(([variant]) => keep.includes(variant));
    this.record.slots = Object.fromEntries(kept);
    this.device.tidy();
  }

  #move(phase, { reason, detail } = {}) {
    Object.assign(this.record.attempt, { phase, reason, detail });
    console.log(`${this.name}, generation ${this.record.attempt.generation}: ${phase}${reason ? ` (${reason}: ${detail})` : ""}`);
    this.device.changed();
  }

  /** This model's part of a report; fields that are undefined are not written. */
  get reported() {
    const { attempt, committed, slots, told } = this.record;
    const sum = (name) => this.counted.reduce((total, fetch) => total + fetch[name], 0);
    const transfer = {
      bytes_total: this.totalBytes,
      bytes_done: sum("bytesDone"),
      seconds: this.seconds,
      wants: sum("wants"),
      wrong_chunks: sum("wrong"),
    };
    return {
      generation: told.generation,
      answering: this.live?.slot,
      committed: committed ? slots[committed] : undefined,
      slots: Object.values(slots),
      attempt: attempt ? { ...attempt, transfer } : undefined,
    };
  }
}
