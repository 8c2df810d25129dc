// What survives a restart: one JSON file, replaced as a whole.

import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** Write a file so that a power cut leaves the old one or the new one. */
export function replaceFile(file, data) {
  const beside = `${file}.new`;
  const open = fs.openSync(beside, "w", 0o600);
  fs.writeSync(open, data);
  fs.fsyncSync(open);
  fs.closeSync(open);
  fs.renameSync(beside, file);
  syncFolder(path.dirname(file));
}

export function syncFolder(folder) {
  const open = fs.openSync(folder, "r");
  fs.fsyncSync(open);
  fs.closeSync(open);
}

const randomId = () => crypto.randomBytes(16).toString("hex");

/** Who the device is, its unacknowledged windows, and by model: what it was told, the attempt and the slots. */
export class State {
  constructor(folder) {
    this.folder = folder;
    fs.mkdirSync(path.join(folder, "slots"), { recursive: true, mode: 0o700 });
    this.file = path.join(folder, "state.json");
    const anew = { incarnation: randomId(), boot: 0, seq: 0, windows: [], dropped: 0, models: {} };
    const kept = fs.existsSync(this.file) ? JSON.parse(fs.readFileSync(this.file, "utf8")) : anew;
    Object.assign(this, kept, { boot: kept.boot + 1, report: 0 });
    this.seqAtStart = this.seq;
    this.save();
  }

  save() {
    const { incarnation, boot, seq, windows, dropped, models } = this;
    replaceFile(this.file, JSON.stringify({ incarnation, boot, seq, windows, dropped, models }));
  }

  /** Another copy of this state has moved on: take a new incarnation. */
  beginAnew(through) {
    this.windows = this.windows.filter((one) => one.seq > Math.min(through, this.seqAtStart));
    Object.assign(this, { incarnation: randomId(), boot: 1, report: 0 });
    this.save();
  }
}
