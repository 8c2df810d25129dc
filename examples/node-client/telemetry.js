// Counts what a variant answers, and keeps windows until they are acknowledged.

import { Latencies } from "./bytes.js";

const MAX_WINDOWS = 1_000;
const MAX_IN_FLIGHT = 32;

/** What one variant did since the last window. */
class Counters {
  requests = 0;
  errors = 0;
  notFinite = 0;
  latencies = new Latencies();
  begunMs = Date.now();
  begun = performance.now();
}

export class Telemetry {
  constructor(state, wire, mayLeave, heartbeatS) {
    Object.assign(this, { state, wire, mayLeave });
    this.resendMs = Math.max(heartbeatS * 500, 1_000);
    this.counters = new Map();
    this.sent = new Map();
    wire.on("up", () => this.sent.clear());
  }

  /** Count one answer of a slot, or a failure. */
  count(model, slot, seconds, { failed = false, finite = true } = {}) {
    const key = JSON.stringify([model, slot]);
    if (!this.counters.has(key)) this.counters.set(key, new Counters());
    const counters = this.counters.get(key);
    counters.requests++;
    if (failed) counters.errors++;
    else if (!finite) counters.notFinite++;
    else counters.latencies.add(seconds);
  }

  /** Make windows of what was counted: once a minute, and whenever another variant answers. */
  close() {
    for (const [key, counted] of this.counters) {
      const [model, slot] = JSON.parse(key);
      const window = {
        schema_version: 1,
        seq: ++this.state.seq,
        model,
        model_version: slot.model_version,
        variant: slot.variant,
        generation: slot.generation,
        duration_ms: Math.round(performance.now() - counted.begun),
        started_ms: counted.begunMs,
      };
      if (this.mayLeave.has("counts")) {
        Object.assign(window, { requests: counted.requests, errors: counted.errors, not_finite: counted.notFinite });
      }
      if (this.mayLeave.has("aggregates") && counted.latencies.counts.size) window.latency = String(counted.latencies);
      this.state.windows.push(window);
    }
    if (!this.counters.size) return;
    this.counters.clear();
    const excess = Math.max(this.state.windows.length - MAX_WINDOWS, 0);
    this.state.windows.splice(0, excess);
    this.state.dropped += excess;
    this.state.save();
  }

  /** Send what is due, the oldest first. */
  send() {
    const { windows, incarnation } = this.state;
    for (const window of windows.slice(0, MAX_IN_FLIGHT)) {
      if (!this.wire.connected || Date.now() - (this.sent.get(window.seq) ?? 0) < this.resendMs) continue;
      this.wire.publish("telemetry", { ...window, incarnation, first_kept_seq: windows[0].seq });
      this.sent.set(window.seq, Date.now());
    }
  }

  acked({ incarnation, through }) {
    if (incarnation !== this.state.incarnation) return;
    const left = this.state.windows.filter((window) => window.seq > through);
    if (left.length === this.state.windows.length) return;
    for (const { seq } of this.state.windows) if (seq <= through) this.sent.delete(seq);
    this.state.windows = left;
    this.state.save();
  }
}
