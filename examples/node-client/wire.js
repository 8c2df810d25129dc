// One MQTT connection, renewed for ever after a random pause.

import crypto from "node:crypto";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import mqtt from "mqtt";

const ROOT = "edgefleet/v1";
const STEADY_MS = 10_000;
const LONGEST_MS = 60_000;

export const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
export const blobTopic = (blob, lane) => `${ROOT}/blobs/${blob}/${lane}`;

/** Emits `up` after each CONNACK, `down`, and `message` with topic and bytes. */
export class Wire extends EventEmitter {
  constructor(settings, presence) {
    super();
    this.settings = settings;
    this.presence = presence;
    this.failures = 0;
    const { device } = settings;
    const shard = sha256(device).slice(0, 2);
    this.up = (kind) => `${ROOT}/up/${shard}/${device}/${kind}`;
    this.desired = `${ROOT}/down/${device}/desired`;
    this.acked = `${ROOT}/down/${device}/acked`;
    this.hello = `${ROOT}/down/all/hello`;
  }

  get connected() {
    return Boolean(this.client?.connected);
  }

  start() {
    const { settings } = this;
    const read = (name) => (settings[name] ? fs.readFileSync(settings[name]) : undefined);
    let since = Infinity;
    const client = mqtt.connect(settings.broker, {
      protocolVersion: 4,
      clean: true,
      clientId: `${settings.device}-${crypto.randomBytes(4).toString("hex")}`,
      keepalive: Math.max(5, Math.min(60, Math.round(settings.heartbeatS))),
      connectTimeout: 5_000,
      reconnectPeriod: 0,
      username: settings.username,
      password: read("password-file")?.toString().trimEnd(),
      ca: read("ca-file"),
      will: { topic: this.up("presence"), payload: this.#presence(false), qos: 1, retain: false },
    });
    this.client = client;
    client.on("message", (topic, data) => this.emit("message", topic, data));
    client.on("error", (error) => console.error(`broker: ${error.message}`));
    client.on("connect", () => {
      since = Date.now();
      client.subscribe([this.desired, this.acked, this.hello], { qos: 0 });
      client.publish(this.up("presence"), this.#presence(true), { qos: 1 });
      this.emit("up");
    });
    client.once("close", () => {
      client.end(true);
      this.emit("down");
      if (this.ending) return;
      this.failures = Date.now() - since > STEADY_MS ? 0 : this.failures + 1;
      const first = Math.max(1_000, settings.heartbeatS * 100);
      this.timer = setTimeout(() => this.start(), Math.random() * Math.min(first * 2 ** this.failures, LONGEST_MS));
    });
  }

  publish(kind, message, qos = 0) {
    if (this.connected) this.client.publish(this.up(kind), JSON.stringify(message), { qos });
  }

  /** Subscribe; resolves to whether the broker has confirmed it. */
  async listen(topic) {
    if (!this.connected) return false;
    const granted = await this.client.subscribeAsync(topic, { qos: 0 }).catch(() => []);
    return granted.some((one) => one.qos < 128);
  }

  leave(topic) {
    if (this.connected) this.client.unsubscribe(topic);
  }

  /** Connect again, since a connection's last will cannot change. */
  introduceAs(presence) {
    this.presence = presence;
    this.client?.end();
  }

  async stop() {
    this.ending = true;
    clearTimeout(this.timer);
    if (this.connected) {
      const said = this.client.publishAsync(this.up("presence"), this.#presence(false), { qos: 1 });
      await Promise.race([said, new Promise((resolve) => setTimeout(resolve, 500))]);
      await this.client.endAsync(true);
    }
  }

  #presence(online) {
    return JSON.stringify({ schema_version: 1, online, ...this.presence });
  }
}
