// The open spans of an invocation that is about to time out are exported as partial spans.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CutOffs } from "../cut_off.cjs";
import { Records } from "../records.cjs";

// The layer's timers do not keep the process alive.
const alive = setTimeout(() => {}, 20_000);
after(() => clearTimeout(alive));

const FIRST = "3da1f2dc-3222-475e-9205-e2e6c6318895";
const SECOND = "4ea1f2dc-3222-475e-9205-e2e6c6318896";

const context = (values = new Map()) => ({
  getValue: (key) => values.get(key),
  setValue: (key, value) => context(new Map(values).set(key, value)),
});
let isSuppressed = false;
const api = {
  ROOT_CONTEXT: context(),
  SpanKind: { CLIENT: 2 },
  SpanStatusCode: { ERROR: "error" },
  TraceFlags: { SAMPLED: 1 },
  createContextKey: Symbol,
  context: {
    with: (within, action) => {
      isSuppressed = within.getValue("suppressed") === true;
      try {
        return action();
      } finally {
        isSuppressed = false;
      }
    },
  },
};
const core = { suppressTracing: (within) => within.setValue("suppressed", true) };
const load = (name) => (name.endsWith("/core") ? core : api);

/// Mimics a span of the SDK, with methods in its class and values in the object.
class Span {
  constructor(name, spanId, traceFlags = 1, startTime = [1, 0]) {
    Object.assign(this, { name, spanId, traceFlags, startTime, attributes: {}, ended: false, endTime: [0, 0] });
  }

  spanContext() {
    return { traceId: "ab".repeat(16), spanId: this.spanId.padStart(16, "0"), traceFlags: this.traceFlags };
  }

  isRecording() {
    return this.traceFlags === 1;
  }

  end() {
    this.ended = true;
  }
}

/// Returns a `CutOffs`, its recorded events, a function that begins an invocation, and a promise of the first flush.
function begun() {
  const noted = [];
  const exporter = {
    export: (spans, done) => {
      const told = spans.map(({ name, attributes, status, ended, endTime, startTime }) => {
        assert.ok(isSuppressed && ended && endTime[0] >= startTime[0]);
        return { name, status: status.message, ...attributes };
      });
      noted.push(told);
      done({ code: 0 });
    },
  };
  const cutOffs = new CutOffs(load, () => exporter);
  let flush;
  const flushed = new Promise((resolve) => {
    flush = async () => {
      noted.push("flushed");
      resolve();
    };
  });
  const begin = (requestId, left, root) => {
    const lambda = { awsRequestId: requestId, getRemainingTimeInMillis: () => left };
    return cutOffs.begin(root, lambda, context(), flush);
  };
  return { noted, cutOffs, begin, flushed };
}

const partial = (name, more) => ({ name, status: "the invocation was about to time out", "lambda_otlp.partial": true, ...more });
const root = (name) => partial(name, { "error.type": "timeout" });

test("open spans are exported before the timeout, and then the others are flushed", async () => {
  const { noted, cutOffs, begin, flushed } = begun();
  const invocation = begin(FIRST, 50, new Span("root", "1", 1, [9e9, 0]));
  const [ended, open, other] = [new Span("ended", "2"), new Span("open", "3"), new Span("of nobody", "4")];
  for (const span of [ended, open]) cutOffs.onStart(span, invocation.context);
  cutOffs.onStart(other, context());
  open.attributes.url = "a";
  cutOffs.onEnd(ended);
  await flushed;
  assert.deepEqual(noted, [[root("root"), partial("open", { url: "a" })], "flushed"]);
  // The span itself goes on.
  assert.deepEqual([open.ended, open.attributes], [false, { url: "a" }]);
});

test("an invocation whose spans were exported before the timeout is known", async () => {
  const { begin, flushed } = begun();
  const invocation = begin(FIRST, 50, new Span("root", "1"));
  assert.equal(invocation.isCutOff, false);
  await flushed;
  assert.equal(invocation.isCutOff, true);
});

test("an invocation that ends in time exports nothing", async () => {
  const { noted, cutOffs, begin, flushed } = begun();
  const span = new Span("root", "1");
  cutOffs.end(begin(FIRST, 50, span));
  cutOffs.onEnd(span);
  begin(SECOND, 100, new Span("next", "2"));
  await flushed;
  assert.deepEqual(noted, [[root("next")], "flushed"]);
});

test("spans of a concurrent invocation are not exported", async () => {
  const { noted, cutOffs, begin, flushed } = begun();
  const first = begin(FIRST, 3_600_000, new Span("first", "1"));
  const invocation = begin(SECOND, 50, new Span("second", "2"));
  cutOffs.onStart(new Span("of the first", "3"), first.context);
  cutOffs.onStart(new Span("of the second", "4"), invocation.context);
  await flushed;
  assert.deepEqual(noted, [[root("second"), partial("of the second")], "flushed"]);
});

// The time left and the flags of the root span. Node fires a timer of more than 2^31 - 1 ms at once.
const WITHOUT_EXPORT = [
  ["is not sampled", 50, 0],
  ["has no deadline", 0, 1],
  ["has a deadline a second later than a timer can", 2 ** 31 + 1000, 1],
  ["has a deadline a million times too far away", 1.7e18, 1],
  ["has an infinite deadline", Infinity, 1],
];
for (const [name, left, flags] of WITHOUT_EXPORT) {
  test(`nothing is exported of an invocation that ${name}`, async () => {
    const { noted, cutOffs, begin } = begun();
    begin(FIRST, left, new Span("root", "1", flags));
    await sleep(100);
    assert.deepEqual(noted, []);
    if (flags === 0) assert.equal(cutOffs.open.size, 0);
  });
}

test("the open spans are limited, and forgotten with their invocation", () => {
  const { cutOffs, begin } = begun();
  const leaking = begin(FIRST, 3_600_000, new Span("root", "0"));
  for (let number = 1; number < 2000; number += 1) cutOffs.onStart(new Span("never ends", `${number}`), leaking.context);
  assert.equal(cutOffs.open.size, 1024);
  cutOffs.end(leaking);
  begin(SECOND, 3_600_000, new Span("root", "a"));
  assert.equal(cutOffs.open.size, 1);
});

test("spans of answered requests end with their invocation", () => {
  const { cutOffs, begin } = begun();
  const invocation = begin(FIRST, 3_600_000, new Span("root", "0"));
  // The kind and the attributes of a span, and whether it ends.
  const requests = [
    [2, { "http.response.status_code": 200 }, true],
    [2, { "http.status_code": 200 }, true],
    [2, { "url.full": "http://127.0.0.1" }, false],
    [0, { "http.response.status_code": 200 }, false],
  ];
  const sent = requests.map(([kind, attributes], at) => Object.assign(new Span("GET", `${at + 1}`), { kind, attributes }));
  const ofAnother = Object.assign(new Span("GET", "9"), { kind: 2, attributes: { "http.status_code": 200 } });
  for (const span of sent) cutOffs.onStart(span, invocation.context);
  cutOffs.onStart(ofAnother, begin(SECOND, 3_600_000, new Span("root", "a")).context);
  cutOffs.endAnswered(invocation);
  assert.deepEqual(
    [...sent, ofAnother].map(({ ended }) => ended),
    [...requests.map(([, , ends]) => ends), false],
  );
});

test("an export that fails is reported, and the other spans are flushed", async (t) => {
  const { noted, cutOffs, begin, flushed } = begun();
  cutOffs.makePartial = () => {
    throw new Error("no exporter");
  };
  const write = t.mock.method(process.stderr, "write", (text) => noted.push(text));
  const invocation = begin(FIRST, 50, new Span("root", "1"));
  await flushed;
  write.mock.restore();
  cutOffs.end(invocation);
  assert.deepEqual(noted, ["lambda-otlp-handler: cannot export the open spans: Error: no exporter\n", "flushed"]);
});

test("a record names the root span of an invocation", () => {
  const place = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-records-")), "records");
  fs.writeFileSync(place, "");
  const records = new Records("127.0.0.1:9001");
  records.open = () => fs.openSync(place, "r+");
  for (const requestId of [FIRST, "far too long to be a request id that Lambda gives", "short"]) {
    records.record(requestId, new Span("root", "cd").spanContext());
  }
  const ids = `${"ab".repeat(16)} ${"cd".padStart(16, "0")}`;
  assert.equal(fs.readFileSync(place, "latin1"), `v1 ${FIRST} ${ids}\rv1 ${"short".padEnd(36)} ${ids}\r`);
});

test("a managed instance keeps the records of 1,600 invocations at a time", () => {
  const place = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-records-")), "records");
  fs.writeFileSync(place, "");
  const records = new Records("127.0.0.1:9001", true);
  records.open = () => fs.openSync(place, "r+");
  for (let number = 0; number < 1600; number += 1) records.record(`r-${number}`, new Span("root", "cd").spanContext());
  const found = fs.readFileSync(place, "latin1").match(/v1 r-\d+ /g);
  assert.equal(new Set(found).size, 1600);
});

test("a managed instance prints the root line of each sampled invocation", () => {
  const context = { traceId: "ab".padStart(32, "0"), spanId: "cd".padStart(16, "0"), traceFlags: 1 };
  const line = `{"_root":"${FIRST} ${context.traceId} ${context.spanId}"`;
  const records = JSON.stringify(fileURLToPath(new URL("../records.cjs", import.meta.url)));
  const cases = [
    ["on-demand", "INFO", 1, ""],
    ["lambda-managed-instances", "INFO", 0, ""],
    ["lambda-managed-instances", "INFO", 1, `${line}}\n`],
    ["lambda-managed-instances", "warn", 1, `${line},"timestamp":"TIME","level":"WARN"}\n`],
  ];
  for (const [kind, level, traceFlags, expected] of cases) {
    const given = JSON.stringify({ ...context, traceFlags });
    const program = `new (require(${records}).Records)(undefined).announce("${FIRST}", ${given})`;
    const env = { ...process.env, AWS_LAMBDA_INITIALIZATION_TYPE: kind, AWS_LAMBDA_LOG_LEVEL: level };
    const printed = execFileSync(process.execPath, ["-e", program], { env, encoding: "utf8" });
    assert.equal(printed.replace(/20\d\d-\d\d-\d\dT[\d:.]+Z/, "TIME"), expected, `${kind} ${level}`);
  }
});

test("a link in place of the records is not followed", () => {
  const precious = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-records-")), "precious");
  const link = `/tmp/.lambda-otlp-invocations-link-${process.pid}`;
  fs.writeFileSync(precious, "precious");
  fs.symlinkSync(precious, link);
  new Records(`link:${process.pid}`).record(FIRST, new Span("root", "1").spanContext());
  fs.unlinkSync(link);
  assert.equal(fs.readFileSync(precious, "utf8"), "precious");
});
