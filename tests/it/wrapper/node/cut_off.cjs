// Runs invocations with the layer's cut_off.cjs, and with spans and an exporter that only record events. The first argument is the folder
// of cut_off.cjs, the second is a folder for files. Prints a line for each case.

"use strict";

const fs = require("node:fs");

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

const folder = process.argv[2];
const { CutOffs } = require(`${folder}/cut_off.cjs`);
const { Records } = require(`${folder}/records.cjs`);

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
function story() {
  const noted = [];
  const exporter = {
    export: (spans, done) => {
      const told = spans.map(({ name, attributes, status, ended, endTime, startTime }) => {
        const isInOrder = endTime[0] >= startTime[0];
        return `${name} ${status.code}: ${status.message} ${JSON.stringify(attributes)} ${ended && isInOrder}`;
      });
      noted.push(`${isSuppressed ? "suppressed" : "traced"} ${told.join(" | ")}`);
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

function check(form, told) {
  console.log(`${form}: ${typeof told === "string" ? told : JSON.stringify(told)}`);
}

async function main() {
  // Keeps the process alive for at most 20 s, because the layer's timers do not.
  const alive = setTimeout(() => process.exit(1), 20_000);
  let { noted, cutOffs, begin, flushed } = story();
  let invocation = begin(FIRST, 50, new Span("root", "1", 1, [9e9, 0]));
  const [ended, open, other] = [new Span("ended", "2"), new Span("open", "3"), new Span("of nobody", "4")];
  for (const span of [ended, open]) cutOffs.onStart(span, invocation.context);
  cutOffs.onStart(other, context());
  open.attributes.url = "a";
  cutOffs.onEnd(ended);
  await flushed;
  check("times out", noted);
  check("the span itself goes on", [open.ended, open.attributes]);

  ({ noted, cutOffs, begin, flushed } = story());
  const root = new Span("root", "1");
  invocation = begin(FIRST, 50, root);
  cutOffs.end(invocation);
  cutOffs.onEnd(root);
  begin(SECOND, 100, new Span("next", "2"));
  await flushed;
  check("ends in time", noted);

  ({ noted, cutOffs, begin, flushed } = story());
  const first = begin(FIRST, 3_600_000, new Span("first", "1"));
  invocation = begin(SECOND, 50, new Span("second", "2"));
  cutOffs.onStart(new Span("of the first", "3"), first.context);
  cutOffs.onStart(new Span("of the second", "4"), invocation.context);
  await flushed;
  check("beside another", noted);

  ({ noted, cutOffs, begin, flushed } = story());
  invocation = begin(FIRST, 50, new Span("root", "1", 0));
  await new Promise((resolve) => setTimeout(resolve, 100));
  check("is not sampled", [noted, cutOffs.open.size]);

  ({ noted, cutOffs, begin, flushed } = story());
  begin(FIRST, 0, new Span("root", "1"));
  await new Promise((resolve) => setTimeout(resolve, 100));
  check("is told of no deadline", noted);

  ({ noted, cutOffs, begin, flushed } = story());
  const leaking = begin(FIRST, 3_600_000, new Span("root", "0"));
  for (let number = 1; number < 2000; number += 1) cutOffs.onStart(new Span("never ends", `${number}`), leaking.context);
  const most = cutOffs.open.size;
  cutOffs.end(leaking);
  begin(SECOND, 3_600_000, new Span("root", "a"));
  check("known at most, and when the invocation is over", [most, cutOffs.open.size]);

  ({ noted, cutOffs, begin, flushed } = story());
  invocation = begin(FIRST, 3_600_000, new Span("root", "0"));
  const requests = [
    [2, { "http.response.status_code": 200 }],
    [2, { "http.status_code": 200 }],
    [2, { "url.full": "http://127.0.0.1" }],
    [0, { "http.response.status_code": 200 }],
  ];
  const sent = requests.map(([kind, attributes], at) => Object.assign(new Span("GET", `${at + 1}`), { kind, attributes }));
  const ofAnother = Object.assign(new Span("GET", "9"), { kind: 2, attributes: { "http.status_code": 200 } });
  for (const span of sent) cutOffs.onStart(span, invocation.context);
  cutOffs.onStart(ofAnother, begin(SECOND, 3_600_000, new Span("root", "a")).context);
  cutOffs.endAnswered(invocation);
  check("requests that are answered end", [...sent, ofAnother].map(({ ended }) => ended));

  ({ noted, cutOffs, begin, flushed } = story());
  cutOffs.makePartial = () => { throw new Error("no exporter"); };
  invocation = begin(FIRST, 50, new Span("root", "1"));
  const { write } = process.stderr;
  process.stderr.write = (text) => noted.push(text.trim());
  await flushed;
  process.stderr.write = write;
  cutOffs.end(invocation);
  check("has no exporter", noted);

  const records = new Records("127.0.0.1:9001");
  const place = `${process.argv[3]}/records`;
  records.file = fs.openSync(place, "w+");
  for (const requestId of [FIRST, "far too long to be a request id that Lambda gives", "short"]) {
    records.leave(requestId, new Span("root", "cd").spanContext());
  }
  check("records", fs.readFileSync(place, "latin1").match(/.{89}\r/gs));
  const [precious, link] = [`${process.argv[3]}/precious`, `/tmp/.lambda-otlp-invocations-link-${process.pid}`];
  fs.writeFileSync(precious, "precious");
  fs.symlinkSync(precious, link);
  new Records(`link:${process.pid}`).leave(FIRST, new Span("root", "1").spanContext());
  fs.unlinkSync(link);
  check("what a link names", fs.readFileSync(precious, "utf8"));
  clearTimeout(alive);
}

main();
