// An instrumentation that fails changes neither the calls of the function nor their results.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { packages, run, target, task } from "./local_lambda.mjs";

const { guardInstrumentation } = createRequire(import.meta.url)("../boundary.cjs");

/// What an instrumentation does around a call.
const WRAPPERS = {
  passes: (original) => (value) => original(value),
  "fails before": () => () => fail(),
  "fails after": (original) => (value) => {
    original(value);
    fail();
  },
  "hides an error": (original) => (value) => {
    try {
      return original(value);
    } catch {
      return undefined;
    }
  },
  "calls twice": (original) => (value) => {
    original(value);
    return original(value);
  },
  "fails in then": (original) => (value) => {
    const made = original(value);
    return typeof made?.then === "function" ? made.then(fail, fail) : made;
  },
  "fails in a chain of its own": (original) => (value) => {
    const made = original(value);
    if (typeof made?.then === "function") made.then(fail, fail);
    return made;
  },
  "adds handlers to a failing promise": (original) => (value) => {
    const made = original(value);
    if (typeof made?.then === "function") made.then(fail).catch(() => {});
    return made;
  },
  "fails in a second then": (original) => (value) => {
    const made = original(value);
    const same = (error) => {
      throw error;
    };
    return typeof made?.then === "function" ? made.then((found) => found, same).then(fail, fail) : made;
  },
};

function fail() {
  throw new TypeError("ours");
}

/// Returns a holder of functions that an instrumentation has wrapped.
function instrumented(holder, wrapper) {
  class Base {
    _wrap = (of, name, wrapper) => {
      of[name] = wrapper(of[name]);
    };
    constructor() {
      this.init();
    }
  }
  class Own extends Base {
    init() {
      for (const name of Object.keys(holder)) this._wrap(holder, name, wrapper);
      return [{ patch: fail, files: [] }];
    }
  }
  const Guarded = guardInstrumentation(Own, "test");
  new Guarded();
  return holder;
}

const OWN = new RangeError("own");
const ORIGINALS = {
  returns: () => "result",
  throws: () => {
    throw OWN;
  },
  resolves: async () => "result",
  rejects: async () => {
    throw OWN;
  },
};

test("a call runs once and has its own outcome", async (context) => {
  for (const [kind, wrapper] of Object.entries(WRAPPERS)) {
    for (const [ending, original] of Object.entries(ORIGINALS)) {
      await context.test(`${kind}, ${ending}`, async () => {
        const seen = [];
        const holder = {
          call(value) {
            seen.push(value);
            return original();
          },
        };
        instrumented(holder, wrapper);
        const call = async () => holder.call(7);
        if (original === ORIGINALS.returns || original === ORIGINALS.resolves) assert.equal(await call(), "result");
        else await assert.rejects(call, OWN);
        assert.deepEqual(seen, [7]);
      });
    }
  }
});

test("a callback gets its answer once, and its error is its own", () => {
  const wrappers = [
    (original) => (callback) =>
      original((answer) => {
        callback(answer);
        fail();
      }),
    (original) => (_callback) => original(fail),
    (original) => (callback) => original(callback),
  ];
  for (const wrapper of wrappers) {
    const holder = instrumented({ call: (callback) => callback("answer") }, wrapper);
    const seen = [];
    holder.call((answer) => seen.push(answer));
    assert.deepEqual(seen, ["answer"]);
    const own = () => {
      throw OWN;
    };
    assert.throws(() => holder.call(own), OWN);
  }
});

test("an emitter keeps its methods, and its listeners hear of each event", () => {
  const emitter = new EventEmitter();
  const wrapper = (original) => () => {
    const made = original();
    made.prependListener("answer", (inner) => {
      inner.on("end", fail);
      fail();
    });
    return made;
  };
  const holder = instrumented({ call: () => emitter }, wrapper);
  const inner = new EventEmitter();
  const seen = [];
  assert.deepEqual(Object.keys(holder.call()), Object.keys(new EventEmitter()));
  emitter.on("answer", () => seen.push("answer"));
  inner.on("end", () => seen.push("end"));
  emitter.emit("answer", inner);
  inner.emit("end");
  assert.deepEqual(seen, ["answer", "end"]);
  assert(!Object.hasOwn(emitter, "on") && !Object.hasOwn(inner, "on"));
});

test("a function of an argument settles the call", () => {
  const wrapper = (original) => (command) => {
    const result = original(command);
    command.resolve = fail;
    return result;
  };
  const seen = [];
  const command = { resolve: (answer) => seen.push(answer) };
  instrumented({ call: () => undefined }, wrapper).call(command);
  command.resolve("answer");
  assert.deepEqual(seen, ["answer"]);
});

test("an instrumentation of several versions is guarded in all of its parts", () => {
  class Part {
    definitions = [{ patch: fail }];
    _wrap = (of, name, wrapper) => {
      of[name] = wrapper(of[name]);
    };
    getModuleDefinitions() {
      return this.definitions;
    }
  }
  class Own {
    old = new Part();
    init() {}
  }
  const { old } = new (guardInstrumentation(Own, "test"))();
  const holder = { call: () => "result" };
  old._wrap(holder, "call", () => fail);
  assert.equal(holder.call(), "result");
  assert.equal(old.definitions[0].patch(holder), holder);
});

test("a package whose change fails loads as it is", () => {
  class Own {
    constructor() {
      this.definitions = this.init();
    }
    init() {
      return { patch: fail };
    }
  }
  const Guarded = guardInstrumentation(Own, "test");
  const { definitions } = new Guarded();
  const exports = {};
  assert.equal(definitions.patch(exports), exports);
});

/// Calls by library. The instrumentations fail at the start of a span, at its attributes or at its end.
const APP = `
const http = require("http"), https = require("https");
const { trace } = require("@opentelemetry/api");
const { SNSClient, PublishCommand } = require("@aws-sdk/client-sns");
const URL = process.env.TARGET;
const sns = new SNSClient({ endpoint: URL, region: "eu-west-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } });
const get = (client, url) => new Promise((resolve, reject) => {
  client.get(url, (response) => { response.resume(); response.on("end", () => resolve(response.statusCode)); }).on("error", reject);
});
const CALLS = {
  "aws-sdk": async () => (await sns.send(new PublishCommand({ TopicArn: "arn:aws:sns:eu-west-1:1:t", Message: "a" }))).$metadata.httpStatusCode,
  "aws-sdk, callback": () => new Promise((resolve) => sns.send(new PublishCommand({ TopicArn: "t", Message: "a" }), (error, found) => resolve([error?.name, found?.$metadata.httpStatusCode]))),
  "http": () => get(http, URL),
  "http, refused": () => get(http, "http://127.0.0.1:1/"),
  "https, refused": () => get(https, "https://127.0.0.1:1/"),
  "undici": async () => (await fetch(URL)).status,
  "undici, refused": () => fetch("http://127.0.0.1:59999/"),
};
const fail = () => { throw new Error("a fault of the layer"); };
function faults(event) {
  const span = trace.getActiveSpan();
  if (event === null || span === undefined) return () => {};
  const tracer = trace.getTracer("a");
  const real = tracer._getTracer?.() ?? tracer;
  const [holder, name] = { start: [real, "startSpan"], attribute: [span, "setAttributes"], one: [span, "setAttribute"], end: [span, "end"], error: [span, "recordException"] }[event];
  const kind = Object.getPrototypeOf(holder), original = kind[name];
  kind[name] = fail;
  return () => { kind[name] = original; };
}
exports.handler = async (event) => {
  const found = {};
  const restore = faults(event);
  try {
    for (const [name, call] of Object.entries(CALLS)) found[name] = await call().catch((error) => error.cause?.code ?? error.code ?? error.name);
  } finally { restore(); }
  return found;
};`;
const FAULTS = [null, "start", "attribute", "one", "end", "error", null];

test("calls have their results if their instrumentations fail", async () => {
  const server = await target();
  const folder = task({ "index.js": APP }, packages(["@aws-sdk/client-sns@3", "@opentelemetry/api@1.9"]));
  const env = { TARGET: server.url };
  const without = await run(folder, [null], { wrapper: false, env });
  assert.equal(Object.keys(without.results[0]).length, 7);
  const ran = await run(folder, FAULTS, { env });
  server.close();
  assert.deepEqual(
    ran.results,
    FAULTS.map(() => without.results[0]),
    ran.text,
  );
  const reported = ran.text.split("\n").filter((line) => line.includes("failed in a call"));
  const names = reported.map((line) => /instrumentation (\S+)/.exec(line)[1]);
  assert.deepEqual([...new Set(names)].sort(), ["aws-sdk", "http", "undici"], ran.text);
  assert.equal(names.length, 3);
});
