// Writes spans as OTLP lines to stdout synchronously, for a process that ends.
//
// Source: docs/line-format.md; crates/wire/src/line/encode.rs.

"use strict";

const fs = require("node:fs");
const zlib = require("node:zlib");
const { clock } = require("./originals.cjs");

const VERSION = "0.1.0";
// Size limit of a line. A longer line may arrive as several log events.
const MAX_BYTES = 60 * 1024;
// Size limit of a line with a single span. One log event of Lambda holds such a line.
const MAX_SPAN_BYTES = 250 * 1024;
// Maximum number of spans in a line.
const MAX_SPANS = 512;
// A larger request of several spans is divided before compression, the slowest step. Few requests shrink to a tenth.
const MAX_REQUEST_BYTES = 10 * MAX_BYTES;

/// Writes spans in their order until the time `until`, and returns the written spans. `encode` returns an OTLP request with the
/// given spans.
function writeLines(spans, encode, until) {
  // Access to `process.stdout` makes a pipe non-blocking: a write to a full pipe fails with EAGAIN.
  void process.stdout;
  const written = [];
  const waiting = [];
  for (let at = 0; at < spans.length; at += MAX_SPANS) waiting.push(spans.slice(at, at + MAX_SPANS));
  waiting.reverse();
  while (waiting.length > 0 && clock.now() < until) {
    const batch = waiting.pop();
    const request = encode(batch);
    const isSingle = batch.length === 1;
    const text = isSingle || request.length <= MAX_REQUEST_BYTES ? line(batch[0], request) : undefined;
    if (text?.length <= (isSingle ? MAX_SPAN_BYTES : MAX_BYTES)) {
      if (!writeAll(text, until)) break;
      written.push(...batch);
    } else if (!isSingle) {
      const half = batch.length >> 1;
      waiting.push(batch.slice(half), batch.slice(0, half));
    }
  }
  return written;
}

function line({ resource }, request) {
  const { AWS_LAMBDA_LOG_FORMAT: format, AWS_LAMBDA_LOG_LEVEL: level } = process.env;
  // Lambda treats a line without a level as INFO, and may drop it.
  const isJson = format?.toLowerCase() === "json";
  const around = {
    __otel_otlp_stdout: VERSION,
    source: String(resource.attributes["service.name"] ?? ""),
    endpoint: "/v1/traces",
    method: "POST",
    "content-type": "application/x-protobuf",
    "content-encoding": "gzip",
    ...(isJson && { timestamp: new Date(clock.now()).toISOString(), level: level || "INFO" }),
    payload: zlib.gzipSync(request).toString("base64"),
    base64: true,
  };
  return Buffer.from(`${JSON.stringify(around)}\n`);
}

/// Returns `true` if the whole text was written.
function writeAll(text, until) {
  for (let at = 0; at < text.length; ) {
    try {
      at += fs.writeSync(1, text, at);
    } catch (error) {
      if (error.code !== "EAGAIN" || clock.now() >= until) return false;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return true;
}

module.exports = { writeLines };
