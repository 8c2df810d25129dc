// Variants on the disk: slots/VARIANT/{manifest.json, model.onnx, golden.npz, answers}.

import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { Refused } from "./refused.js";
import { replaceFile, syncFolder } from "./state.js";
import { sha256 } from "./wire.js";

const FILES = { manifest: "manifest.json", onnx: "model.onnx", golden: "golden.npz", answers: "answers" };

/** The ONNX file in an encoding, verified; throws Refused. */
export function unpacked(encoding, onnx) {
  let data;
  try {
    data = zlib.zstdDecompressSync(encoding, { maxOutputLength: Math.max(onnx.size_bytes, 1) });
  } catch (error) {
    throw new Refused("blob_corrupt", `the encoding cannot be decompressed: ${error.message}`);
  }
  if (data.length !== onnx.size_bytes || sha256(data) !== onnx.sha256) {
    throw new Refused("blob_corrupt", "the decompressed bytes are not the model that the manifest names");
  }
  return data;
}

export class Slots {
  constructor(folder) {
    this.folder = path.join(folder, "slots");
  }

  /** Keep the files of a variant; they are complete once their folder has its name. */
  place(variant, contents) {
    const [beside, slot] = [`${variant}.new`, variant].map((name) => path.join(this.folder, name));
    fs.rmSync(beside, { recursive: true, force: true });
    fs.rmSync(slot, { recursive: true, force: true });
    fs.mkdirSync(beside);
    for (const [name, data] of Object.entries(contents)) if (data) replaceFile(path.join(beside, FILES[name]), data);
    fs.renameSync(beside, slot);
    syncFolder(this.folder);
  }

  /** The files of a variant, verified; throws Refused. */
  read(slot) {
    const file = (name) => path.join(this.folder, slot.variant, FILES[name]);
    const read = (name, expected) => {
      const data = fs.existsSync(file(name)) ? fs.readFileSync(file(name)) : Buffer.alloc(0);
      if (sha256(data) !== expected) throw new Refused("blob_corrupt", `${FILES[name]} of the slot has changed on disk`);
      return data;
    };
    const manifest = JSON.parse(read("manifest", slot.manifest));
    return {
      manifest,
      onnx: read("onnx", manifest.core.onnx.sha256),
      golden: read("golden", manifest.core.golden.sha256),
      answers: manifest.answers ? read("answers", manifest.answers.blob.sha256) : null,
    };
  }

  /** A golden set from any slot, since the variants of a model share one; null if none has it. */
  golden(expected) {
    const files = fs.readdirSync(this.folder).map((name) => path.join(this.folder, name, FILES.golden));
    const found = files.filter((file) => fs.existsSync(file)).map((file) => fs.readFileSync(file));
    return found.find((data) => sha256(data) === expected) ?? null;
  }

  /** Delete every variant but these. */
  tidy(keep) {
    for (const name of fs.readdirSync(this.folder)) {
      if (!keep.has(name)) fs.rmSync(path.join(this.folder, name), { recursive: true, force: true });
    }
  }
}
