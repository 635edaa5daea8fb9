// Encodes spans as OTLP requests in protobuf, and exports them to the extension. It replaces OpenTelemetry's exporter: its
// packages take longer to load than the SDK.
//
// Source: opentelemetry-proto 1.9, trace.proto, common.proto and resource.proto; OTLP specification, "OTLP/HTTP Response".

"use strict";

const { clock, say } = require("./originals.cjs");

// Retry delay while the extension has no room, as in the `RetryInfo` of its gRPC responses.
const RETRY_MS = 50;
const RETRIABLE = [429, 502, 503, 504];
// Bits of `Span.flags`: the parent is known to be local or remote, and it is remote.
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;
// Bound of OTLP's signed integers of 64 bits.
const LARGEST = 2 ** 63;

/// Writes a message from its end to its start, so that each length is known when it is written. `tag` is the number of a field times
/// 8, plus its type in protobuf: 0x12 is field 2 with a length.
class Writer {
  constructor() {
    this.buffer = Buffer.allocUnsafe(4096);
    /// The place of the byte that was written last.
    this.at = this.buffer.length;
  }

  makeRoom(bytes) {
    if (this.at >= bytes) return;
    const used = this.buffer.length - this.at;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, used + bytes));
    this.buffer.copy(larger, larger.length - used, this.at);
    this.at = larger.length - used;
    this.buffer = larger;
  }

  varint(number) {
    this.makeRoom(10);
    let bytes = 1;
    for (let rest = number; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
    this.at -= bytes;
    let at = this.at;
    for (; number >= 128; number = Math.floor(number / 128)) this.buffer[at++] = (number % 128) | 128;
    this.buffer[at] = number;
  }

  number(tag, number) {
    if (!number) return;
    this.varint(number);
    this.varint(tag);
  }

  integer(tag, number) {
    if (number >= 0) {
      this.varint(number);
    } else {
      // Protobuf encodes a negative number as an unsigned integer of 64 bits, in ten bytes.
      this.makeRoom(10);
      let rest = BigInt.asUintN(64, BigInt(number));
      this.at -= 10;
      for (let at = this.at; at < this.at + 10; at += 1, rest >>= 7n)
        this.buffer[at] = Number(rest & 127n) | (at < this.at + 9 ? 128 : 0);
    }
    this.varint(tag);
  }

  double(tag, number) {
    this.makeRoom(8);
    this.at -= 8;
    this.buffer.writeDoubleLE(number, this.at);
    this.varint(tag);
  }

  time(tag, [seconds, nanoseconds]) {
    this.makeRoom(8);
    this.at -= 8;
    this.buffer.writeBigUInt64LE(BigInt(seconds) * 1000000000n + BigInt(nanoseconds), this.at);
    this.varint(tag);
  }

  fixed32(tag, number) {
    this.makeRoom(4);
    this.at -= 4;
    this.buffer.writeUInt32LE(number, this.at);
    this.varint(tag);
  }

  bytes(tag, bytes) {
    this.makeRoom(bytes.length);
    this.at -= bytes.length;
    this.buffer.set(bytes, this.at);
    this.varint(bytes.length);
    this.varint(tag);
  }

  text(tag, text) {
    if (text === undefined || text === null || text === "") return;
    this.string(tag, String(text));
  }

  string(tag, text) {
    const length = Buffer.byteLength(text);
    this.makeRoom(length);
    this.at -= length;
    this.buffer.write(text, this.at, length);
    this.varint(length);
    this.varint(tag);
  }

  id(tag, hexadecimal) {
    this.bytes(tag, Buffer.from(hexadecimal, "hex"));
  }

  /// The number of bytes that are written. `at` changes when the buffer grows.
  get written() {
    return this.buffer.length - this.at;
  }

  message(tag, write) {
    const before = this.written;
    write();
    this.varint(this.written - before);
    this.varint(tag);
  }

  /// Drops an item that cannot be encoded, and keeps all others.
  item(write, { name }) {
    const before = this.written;
    try {
      write();
    } catch (error) {
      this.at = this.buffer.length - before;
      say(`the span ${JSON.stringify(name)} is dropped, because it cannot be encoded: ${error}`);
    }
  }

  /// Writes the last item first, which keeps the order of the items.
  all(items, write) {
    for (let at = items.length - 1; at >= 0; at -= 1) write(items[at]);
  }

  done() {
    return this.buffer.subarray(this.at);
  }
}

function writeValue(to, value) {
  if (typeof value === "string") return to.string(0x0a, value);
  if (typeof value === "boolean") return to.integer(0x10, value ? 1 : 0);
  // Like OpenTelemetry's exporter, even if a number is too large to be exact.
  if (typeof value === "number")
    return Number.isInteger(value) && value >= -LARGEST && value < LARGEST ? to.integer(0x18, value) : to.double(0x21, value);
  if (value instanceof Uint8Array) return to.bytes(0x3a, value);
  if (Array.isArray(value)) {
    return to.message(0x2a, () => to.all(value, (each) => to.message(0x0a, () => writeValue(to, each))));
  }
  if (typeof value === "object" && value !== null) return to.message(0x32, () => writeAttributes(to, 0x0a, value));
  return undefined;
}

function writeAttributes(to, tag, attributes) {
  to.all(Object.entries(attributes ?? {}), ([name, value]) => {
    to.message(tag, () => {
      to.message(0x12, () => writeValue(to, value));
      to.string(0x0a, name);
    });
  });
}

function flagsOf(flags, isRemote) {
  return ((flags ?? 0) & 0xff) | HAS_IS_REMOTE | (isRemote ? IS_REMOTE : 0);
}

function writeSpan(to, span) {
  const context = span.spanContext();
  const parent = span.parentSpanContext;
  // `flags` is field 16.
  to.fixed32(16 * 8 + 5, flagsOf(context.traceFlags, parent?.isRemote));
  to.message(0x7a, () => {
    to.number(0x18, span.status.code);
    to.text(0x12, span.status.message);
  });
  to.number(0x70, span.droppedLinksCount);
  to.all(span.links, (link) =>
    to.message(0x6a, () => {
      to.fixed32(0x35, flagsOf(link.context.traceFlags, link.context.isRemote));
      to.number(0x28, link.droppedAttributesCount);
      writeAttributes(to, 0x22, link.attributes);
      to.text(0x1a, link.context.traceState?.serialize());
      to.id(0x12, link.context.spanId);
      to.id(0x0a, link.context.traceId);
    }),
  );
  to.number(0x60, span.droppedEventsCount);
  to.all(span.events, (event) =>
    to.message(0x5a, () => {
      to.number(0x20, event.droppedAttributesCount);
      writeAttributes(to, 0x1a, event.attributes);
      to.text(0x12, event.name);
      to.time(0x09, event.time);
    }),
  );
  to.number(0x50, span.droppedAttributesCount);
  writeAttributes(to, 0x4a, span.attributes);
  to.time(0x41, span.endTime);
  to.time(0x39, span.startTime);
  // Kinds of the API are smaller by one.
  to.number(0x30, (span.kind ?? 0) + 1);
  to.text(0x2a, span.name);
  if (parent?.spanId) to.id(0x22, parent.spanId);
  to.text(0x1a, context.traceState?.serialize());
  to.id(0x12, context.spanId);
  to.id(0x0a, context.traceId);
}

function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return [...groups];
}

/// Returns an OTLP request with the spans.
function encode(spans) {
  const to = new Writer();
  to.all(
    grouped(spans, (span) => span.resource),
    ([resource, ofResource]) =>
      to.message(0x0a, () => {
        to.text(0x1a, resource.schemaUrl);
        to.all(
          grouped(ofResource, (span) => span.instrumentationScope),
          ([scope, ofScope]) =>
            to.message(0x12, () => {
              to.text(0x1a, scope.schemaUrl);
              to.all(ofScope, (span) => to.item(() => to.message(0x12, () => writeSpan(to, span)), span));
              to.message(0x0a, () => {
                writeAttributes(to, 0x1a, scope.attributes);
                to.text(0x12, scope.version);
                to.text(0x0a, scope.name);
              });
            }),
        );
        to.message(0x0a, () => writeAttributes(to, 0x0a, resource.attributes));
      }),
  );
  return to.done();
}

/// Sends spans to the extension, and retries until the timeout while the extension has no room.
class Exporter {
  constructor({ url, timeoutMillis, agent }) {
    this.url = url;
    this.timeoutMillis = timeoutMillis;
    this.agent = agent;
  }

  export(spans, done) {
    let body;
    try {
      body = encode(spans);
    } catch (error) {
      return done({ code: 1, error });
    }
    const until = clock.now() + this.timeoutMillis;
    const attempt = () =>
      this.send(body, until - clock.now(), (error, status) => {
        if (error !== undefined) return done({ code: 1, error });
        if (status === 200) return done({ code: 0 });
        if (!RETRIABLE.includes(status) || clock.now() + RETRY_MS >= until) {
          return done({ code: 1, error: new Error(`the extension answered ${status}`) });
        }
        return clock.setTimeout(attempt, RETRY_MS);
      });
    return attempt();
  }

  /// Posts the body, and calls `answered` with an error or with the status of the answer.
  send(body, timeoutMs, answered) {
    const headers = { "content-type": "application/x-protobuf", "content-length": body.length };
    // Tracers patch `http.request`, and would record the export as a call of the function.
    const { ClientRequest } = require("node:http");
    const request = new ClientRequest(this.url, { method: "POST", agent: this.agent, headers });
    let isDone = false;
    const finish = (error, status) => {
      clock.clearTimeout(timer);
      if (!isDone) answered(error, status);
      isDone = true;
    };
    const timer = clock.setTimeout(() => request.destroy(new Error("the export timed out")), timeoutMs);
    request.on("error", (error) => {
      // The extension closed the connection while it was idle. The request needs a new connection.
      if (!isDone && request.reusedSocket && error.code === "ECONNRESET") {
        clock.clearTimeout(timer);
        isDone = true;
        return this.send(body, timeoutMs, answered);
      }
      return finish(error);
    });
    request.on("response", (response) => {
      response.on("error", finish).on("close", () => finish(new Error("the response is incomplete")));
      response.resume().on("end", () => finish(undefined, response.statusCode));
    });
    request.end(body);
  }

  async forceFlush() {}

  async shutdown() {
    this.agent.destroy();
  }
}

module.exports = { Exporter, encode };
