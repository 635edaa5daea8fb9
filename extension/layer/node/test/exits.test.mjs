// The spans of a process that ends in the middle of an invocation are written to its log.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";

const PROGRAM = fileURLToPath(new URL("exiting.cjs", import.meta.url));
const files = fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-exits-"));
/// Answers no request with spans.
const server = http.createServer((request, response) => (request.url === "/arrived" ? response.end() : request.resume()));
before(() => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve)));
after(() => {
  server.closeAllConnections();
  server.close();
});

/// Returns the exit code, the written lines, their spans, the layer's messages, and for each invocation whether its record has
/// the mark that its spans are written.
async function ended(form, { isRead = true } = {}) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const address = `http://127.0.0.1:${server.address().port}`;
  const child = spawn(process.execPath, [PROGRAM, files, form, address], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  const exit = new Promise((resolve) => child.on("exit", resolve));
  const all = async (stream) => Buffer.concat(await stream.toArray()).toString();
  const said = all(child.stderr);
  if (!isRead) await exit;
  const lines = (await all(child.stdout)).split("\n").filter(Boolean);
  const code = await exit;
  const messages = (await said).split("\n").filter((line) => line.startsWith("lambda-otlp"));
  const records = fs.readFileSync(path.join(files, "records"), "latin1").match(/.{89}[\r\t]/gs);
  const marks = records.map((record) => record.endsWith("\t"));
  if (!isRead) return { code, lines, messages, marks };
  const envelopes = lines.map((line) => JSON.parse(line));
  const spans = envelopes.flatMap(({ payload }) => JSON.parse(zlib.gunzipSync(Buffer.from(payload, "base64"))));
  return { code, lines, envelopes, spans, messages, marks };
}

const complete = (name) => [name, null, {}, [], true];
const partial = (name, message, type) => [
  name,
  message,
  { "lambda_otlp.partial": true, ...(type && { "error.type": type }) },
  type === "RangeError" ? [type] : [],
  true,
];
const left = (code, name = "root") => partial(name, `the process ended with exit code ${code}`, "Runtime.ExitError");
const open = (code, name = "open") => partial(name, `the process ended with exit code ${code}`);

// The exit code, the spans, the marks of the invocations, and the messages.
const CASES = {
  exits: [
    3,
    [left(3), open(3), open(3, "open later"), complete("of a listener"), complete("of an earlier one"), complete("ended")],
  ],
  throws: [1, [partial("root", "nobody catches this", "RangeError"), open(1)]],
  "throws what nobody can look at": [129, [left(129)]],
  rejects: [128, [partial("root", "nobody handles this", "RangeError")]],
  "rejects, as Node ends by itself": [1, [partial("root", "nobody handles this", "RangeError")]],
  "waits for nothing": [0, [left(0)]],
  "goes on after a rejection": [0, [left(0, "next"), complete("root")], [true, true]],
  "ends between invocations": [0, [], [false]],
  "what is on its way is not written again": [1, [left(1), complete("ended")]],
  "what did not get on its way is written": [1, [left(1), complete("not sent")]],
  "what is still unsent after the wait is written": [
    1,
    [left(1), complete("not sent")],
    [true],
    ["lambda-otlp-handler: info: the extension has not accepted 1 spans in time"],
  ],
  "was about to time out": [1, [open(1, "began later")], [false]],
};

for (const [form, [code, spans, marks = [true], messages = []]] of Object.entries(CASES)) {
  test(`a process ends: ${form}`, async () => {
    const found = await ended(form);
    assert.deepEqual([found.code, found.spans, found.marks, found.messages], [code, spans, marks, messages]);
    assert.equal(found.lines.length, spans.length > 0 ? 1 : 0);
  });
}

const ENVELOPE = {
  source: "shop",
  endpoint: "/v1/traces",
  method: "POST",
  "content-type": "application/x-protobuf",
  "content-encoding": "gzip",
  base64: true,
};

test("a line has the envelope of an OTLP line", async () => {
  const {
    envelopes: [{ payload: _, __otel_otlp_stdout: __, ...envelope }],
  } = await ended("exits");
  assert.deepEqual(envelope, ENVELOPE);
});

test("a line has the fields of Lambda's JSON logs", async () => {
  const {
    envelopes: [{ payload: _, __otel_otlp_stdout: __, timestamp, ...envelope }],
    spans,
  } = await ended("writes JSON logs");
  assert.deepEqual([envelope, timestamp.length, spans], [{ ...ENVELOPE, level: "ERROR" }, 24, [left(1)]]);
});

test("spans beyond one line are written to several, without those too large for a line", async () => {
  const { code, lines, spans, messages, marks } = await ended("has much");
  const large = lines.filter((line) => line.length >= 60 * 1024);
  assert.ok(lines.length > 2);
  assert.deepEqual(
    [code, large.length, spans.length, new Set(spans.map(([name]) => name)).size, marks],
    [1, 1, 3002, 3002, [true]],
  );
  const reason = "1 of 3003 spans are too large for an OTLP line, or stdout is blocked or closed";
  assert.deepEqual(messages, [`lambda-otlp-handler: cannot write all spans at process exit: Error: ${reason}`]);
});

test("a process that has closed stdout says once that its spans are lost", async () => {
  const { code, lines, messages, marks } = await ended("has closed stdout");
  const reason = "lambda-otlp-handler: cannot write all spans at process exit: Error: ";
  assert.deepEqual([code, lines, messages.length, marks], [1, [], 1, [false]]);
  assert.ok(messages[0].startsWith(reason), messages[0]);
});

test("a process ends although nobody reads its log", async () => {
  const { code, lines, messages, marks } = await ended("nobody reads", { isRead: false });
  assert.ok(lines.length > 0);
  assert.deepEqual([code, messages.length, marks], [1, 1, [true]]);
});
