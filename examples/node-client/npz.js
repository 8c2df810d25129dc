// Reads arrays from NumPy's .npz: a ZIP file of .npy files, stored or deflated.

import zlib from "node:zlib";

const TYPES = {
  "|u1": Uint8Array, "|i1": Int8Array, "<u2": Uint16Array, "<i2": Int16Array, "<u4": Uint32Array, "<i4": Int32Array,
  "<i8": BigInt64Array, "<u8": BigUint64Array, "<f4": Float32Array, "<f8": Float64Array,
};

/** The array `name` of an .npz as { shape, data }, with data as Float32Array. */
export function readArray(npz, name) {
  const npy = member(npz, `${name}.npy`);
  const [at, length] = npy[6] === 1 ? [10, npy.readUInt16LE(8)] : [12, npy.readUInt32LE(8)];
  const head = npy.toString("latin1", at, at + length);
  const type = TYPES[head.match(/'descr': '([^']*)'/)?.[1]];
  if (!type || /'fortran_order': True/.test(head)) throw new Error(`an array in a form that is not known: ${head}`);
  const shape = head.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((size) => size.trim()).map(Number);
  const body = npy.subarray(at + length);
  const copied = body.buffer.slice(body.byteOffset, body.byteOffset + body.length);
  return { shape, data: Float32Array.from(new type(copied), Number) };
}

function member(zip, name) {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06"));
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameBytes, extra, comment] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset));
    if (zip.toString("utf8", at + 46, at + 46 + nameBytes) === name) {
      const local = zip.readUInt32LE(at + 42);
      const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const packed = zip.subarray(from, from + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 8 ? zlib.inflateRawSync(packed) : Buffer.from(packed);
    }
    at += 46 + nameBytes + extra + comment;
  }
  throw new Error(`there is no ${name} in the archive`);
}
