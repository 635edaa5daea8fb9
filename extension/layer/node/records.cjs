// Records the root span of each invocation in a file in `/tmp`. If the invocation is cut off before it exports that span, the
// extension writes the span instead, so that spans exported earlier have their parent. Nothing here waits, and a failure costs
// only the record.
//
// The file is open only while it is written. The function may count its descriptors, or empty `/tmp`.
//
// Source: crates/wire/src/invocation_record.rs.

"use strict";

const fs = require("node:fs");
const { clock } = require("./originals.cjs");

const SLOTS = 64;
// On a managed instance, which runs many invocations at a time, in several threads.
const SLOTS_CONCURRENT = 2048;
const BYTES = 90;
const LEVELS_ABOVE_INFO = ["WARN", "ERROR", "FATAL"];
const WRITTEN = "\t";
// A bit of W3C's trace flags.
const SAMPLED = 1;

class Records {
  constructor(runtimeApi, isConcurrent = process.env.AWS_LAMBDA_INITIALIZATION_TYPE === "lambda-managed-instances") {
    this.runtimeApi = runtimeApi;
    this.isConcurrent = isConcurrent;
    this.slots = isConcurrent ? SLOTS_CONCURRENT : SLOTS;
    // The number of the next record. Other threads write to the same file.
    this.number = isConcurrent ? Math.floor(Math.random() * this.slots) : 0;
    /// Ids of the root spans, by the slots of their records.
    this.roots = [];
  }

  /// Names the root span of an invocation that begins, to the extension and, on a managed instance, to the forwarder.
  announce(requestId, context) {
    if (this.isConcurrent && context.traceFlags & SAMPLED) printRoot(requestId, context);
    this.record(requestId, context);
  }

  record(requestId, { traceId, spanId, traceFlags }) {
    // The carriage return marks a span that is in no line yet, and the form feed one that is not sampled.
    const end = traceFlags & SAMPLED ? "\r" : "\f";
    const record = Buffer.from(`v1 ${String(requestId).padEnd(36)} ${traceId} ${spanId}${end}`);
    if (this.runtimeApi === undefined || record.length !== BYTES) return;
    const slot = this.number % this.slots;
    if (!this.write((file) => fs.writeSync(file, record, 0, BYTES, slot * BYTES))) return;
    this.roots[slot] = spanId;
    this.number += 1;
  }

  /// Marks the root spans among these spans as written to a line.
  markWritten(spans) {
    const slots = spans.map(({ spanId }) => this.roots.indexOf(spanId)).filter((slot) => slot >= 0);
    if (slots.length === 0) return;
    this.write((file) => {
      for (const slot of slots) fs.writeSync(file, WRITTEN, slot * BYTES + BYTES - 1);
    });
  }

  /// Runs `action` with the open file. Returns `true` if it succeeds.
  write(action) {
    let file;
    try {
      file = this.open();
      action(file);
      return true;
    } catch {
      return false;
    } finally {
      if (file !== undefined) fs.closeSync(file);
    }
  }

  open() {
    return openRecords(this.runtimeApi);
  }
}

/// Prints the root line of an invocation in one write (docs/line-format.md). Source: crates/wire/src/root_line.rs.
function printRoot(requestId, { traceId, spanId }) {
  const level = process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase();
  const line = {
    _root: `${requestId} ${traceId} ${spanId}`,
    // Lambda takes a line without a level as INFO, and may drop it.
    ...(LEVELS_ABOVE_INFO.includes(level) && { timestamp: new Date(clock.now()).toISOString(), level }),
  };
  try {
    fs.writeSync(1, `${JSON.stringify(line)}\n`);
  } catch {
    // A full or closed stdout costs only the line.
  }
}

function openRecords(runtimeApi) {
  const name = runtimeApi.slice(0, 100).replace(/[^0-9A-Za-z.]/g, "-");
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = fs.constants;
  // Accepts only a regular file: a pipe could block, and a symbolic link could name a file of another program.
  const file = fs.openSync(`/tmp/.lambda-otlp-invocations-${name}`, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW, 0o666);
  if (fs.fstatSync(file).isFile()) return file;
  fs.closeSync(file);
  throw new Error("not a file");
}

module.exports = { Records };
