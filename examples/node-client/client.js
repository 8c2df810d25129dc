#!/usr/bin/env node
// A device of an edgefleet fleet: joins, fetches, verifies, tests, switches, rolls back, and reports what it measured.

import { Device } from "./device.js";
import { settings } from "./settings.js";

const device = new Device(settings(process.argv.slice(2)));
device.start();
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => device.stop().then(() => process.exit(0)));
}
