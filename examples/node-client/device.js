// The device: takes messages, reports, and asks what answers.

import { Fetcher } from "./fetch.js";
import { FEATURES } from "./manifest.js";
import { Model } from "./model.js";
import { VERSION } from "./runtime.js";
import { Slots } from "./slots.js";
import { State } from "./state.js";
import { Telemetry } from "./telemetry.js";
import { Wire } from "./wire.js";

const TICK_MS = 500;

export class Device {
  constructor(settings) {
    this.settings = settings;
    this.chunkBytes = settings.chunkBytes;
    this.facts = { ...settings.facts, onnxruntime: VERSION };
    this.state = new State(settings.state);
    this.slots = new Slots(settings.state);
    this.wire = new Wire(settings, this.#presence);
    this.fetcher = new Fetcher(this.wire, settings.link);
    this.telemetry = new Telemetry(this.state, this.wire, settings.mayLeave, settings.heartbeatS);
    this.models = new Map();
    this.setAside = this.asked = 0;
    this.wire.on("message", (topic, data) => this.#receive(topic, data));
    this.wire.on("up", () => this.report());
  }

  get #presence() {
    return { incarnation: this.state.incarnation, boot: this.state.boot };
  }

  async start() {
    for (const name of Object.keys(this.state.models)) await this.#model(name).wake();
    this.wire.start();
    this.ticking = setInterval(() => this.telemetry.send(), TICK_MS);
    this.closing = setInterval(() => this.telemetry.close(), this.settings.windowS * 1000);
    this.asking = setInterval(() => this.#ask(), this.settings.askS * 1000);
  }

  async stop() {
    for (const timer of [this.ticking, this.closing, this.asking]) clearInterval(timer);
    clearTimeout(this.reporting);
    this.telemetry.close();
    await this.wire.stop();
  }

  /** Something about a model is new: keep it, then say it. */
  changed() {
    this.state.save();
    this.report();
  }

  /** Send a complete report now; the next one is due after a heartbeat. */
  report() {
    const { state, settings } = this;
    state.report++;
    this.#reportIn(settings.heartbeatS * (0.9 + Math.random() * 0.2));
    this.wire.publish("reported", {
      schema_version: 1,
      ...this.#presence,
      report: state.report,
      agent_version: "node-client 1",
      features: FEATURES,
      sent_ms: Date.now(),
      facts: this.facts,
      models: Object.fromEntries([...this.models].map(([name, model]) => [name, model.reported])),
      set_aside: this.setAside,
      spooled_windows: state.windows.length,
      dropped_windows: state.dropped,
    }, 1);
  }

  tidy() {
    this.slots.tidy(new Set([...this.models.values()].flatMap((model) => Object.keys(model.record.slots))));
  }

  #reportIn(seconds) {
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => this.report(), seconds * 1000);
  }

  #model(name) {
    if (!this.models.has(name)) this.models.set(name, new Model(name, this));
    return this.models.get(name);
  }

  async #ask() {
    if (this.busy) return;
    this.busy = true;
    this.asked++;
    for (const model of this.models.values()) await model.ask(this.asked);
    this.busy = false;
  }

  #receive(topic, data) {
    const receivers = { [this.wire.desired]: this.#desired, [this.wire.acked]: this.#acked, [this.wire.hello]: this.#hello };
    const receive = receivers[topic];
    if (!receive || !data.length) return; // a chunk, or the retained message was cleared
    try {
      receive.call(this, JSON.parse(data));
    } catch (error) {
      this.setAside++;
      console.error(`a message on ${topic} was set aside: ${error.message}`);
    }
  }

  #desired({ models = {} }) {
    for (const [name, told] of Object.entries(models)) {
      if (!Number.isInteger(told.generation)) throw new Error(`${name} has no generation`);
      this.#model(name).desire({ activate: true, ...told });
    }
  }

  #acked(acked) {
    const { incarnation, boot, report } = this.state;
    const ahead = acked.boot > boot || (acked.boot === boot && acked.report > report);
    if (acked.incarnation === incarnation && ahead) {
      this.state.beginAnew(acked.through);
      this.wire.introduceAs(this.#presence);
    } else {
      this.telemetry.acked(acked);
    }
  }

  #hello({ jitter_s: jitterS = 2 }) {
    this.#reportIn(Math.random() * jitterS);
    this.fetcher.hello(jitterS * 1000);
    this.telemetry.sent.clear();
  }
}
