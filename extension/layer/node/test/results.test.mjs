// The layer changes no outcome of an invocation, and the span tells the outcome.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, task } from "./local_lambda.mjs";

/// Older versions of Node have no raw JSON, so that these handlers fail.
const HAS_NO_RAW_JSON = typeof JSON.rawJSON !== "function";
const OF_BIGINT = "BigInt.prototype.toJSON = function () { return JSON.rawJSON(this.toString()); }; ";

// Handlers, and whether the span has an error.
const HANDLERS = {
  "raw JSON": [
    "async () => ({ id: JSON.rawJSON('12345678901234567890'), amount: JSON.rawJSON('1.10'), deep: [JSON.rawJSON('\"\\\\u0041\"')] })",
    HAS_NO_RAW_JSON,
  ],
  "raw JSON of a big number": [
    `async () => { ${OF_BIGINT} return { id: 12345678901234567890n, n: 1.5, s: 'é' }; }`,
    HAS_NO_RAW_JSON,
  ],
  "raw JSON of toJSON": ["async () => ({ at: { toJSON: () => [JSON.rawJSON('-0'), JSON.rawJSON('1e999')] } })", HAS_NO_RAW_JSON],
  "raw JSON alone": ["async () => JSON.rawJSON('1.10')", HAS_NO_RAW_JSON],
  "a promise": ["async () => 1", false],
  "a big number": ["async () => ({ n: 1n })", true],
  "a loop": ["async () => { const loop = {}; loop.loop = loop; return loop; }", true],
  "a failing toJSON": ["async () => ({ toJSON() { throw new TypeError('no'); } })", true],
  "a big number by callback": ["(event, context, callback) => callback(null, 1n)", true],
  "an unserializable thenable": ["() => ({ then(resolve) { resolve(1n); return Promise.resolve(); } })", true],
  "a thenable": ["() => ({ then: (resolve) => Promise.resolve(2).then(resolve) })", false],
  "a thenable that returns nothing": ["() => ({ then(resolve) { resolve(3); } })", false],
  "a lazy thenable": [
    "() => { let calls = 0; return { then(resolve, reject) { calls += 1; return Promise.resolve(calls).then(resolve, reject); } }; }",
    false,
  ],
  "a rejected thenable": ["() => ({ then: (_, reject) => Promise.resolve(new RangeError('no')).then(reject) })", true],
  "a class with a private field": [
    "() => new (class { #value = 4; then(resolve, reject) { return Promise.resolve(this.#value).then(resolve, reject); } })()",
    false,
  ],
  "a rejection in the same turn": ["async () => { Promise.reject(new Error('floating')); return 5; }", undefined],
  "a stateful toJSON": ["async () => { let calls = 0; return { at: { toJSON: () => ++calls } }; }", false],
  "a stateful getter": ["async () => { let calls = 0; return { get at() { calls += 1; return calls; } }; }", false],
  "a getter of the status code": [
    "async () => { let calls = 0; return { get statusCode() { calls += 1; return 499 + calls; } }; }",
    true,
  ],
  "a stateful proxy": [
    "async () => { let calls = 0; return new Proxy({ at: 0 }, { get: (of, name) => (name === 'at' ? ++calls : of[name]) }); }",
    false,
  ],
  "a toJSON that returns nothing": ["async () => ({ toJSON() {} })", false],
  "a toJSON that fails once": [
    "async () => { let calls = 0; return { toJSON() { calls += 1; if (calls === 1) throw new TypeError('no'); return calls; } }; }",
    true,
  ],
  "a stateful toJSON by callback": [
    "(event, context, callback) => { let calls = 0; callback(null, { toJSON: () => ++calls }); }",
    false,
  ],
  "a stateful toJSON by the context": [
    "(event, context) => { let calls = 0; context.succeed({ toJSON: () => ++calls }); }",
    false,
  ],
  "a stateful toJSON of a thenable": [
    "() => ({ then(resolve) { let calls = 0; resolve({ toJSON: () => ++calls }); return Promise.resolve(); } })",
    false,
  ],
  "a list that changes after the return": [
    "async () => { const found = [1]; setImmediate(() => found.push(2)); return found; }",
    false,
  ],
  "values that change after the return": [
    "async () => { const at = new Date(0), found = { at, deep: { n: 1 } }; setImmediate(() => { at.setTime(1e9); found.deep.n = 2; delete found.at; }); return found; }",
    false,
  ],
  "a value that changes after the callback": [
    "(event, context, callback) => { const found = { n: 1 }; callback(null, found); found.n = 2; }",
    false,
  ],
  "a value that changes after a callback that does not wait": [
    "(event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; const found = { n: 1 }; callback(null, found); found.n = 2; }",
    false,
  ],
  "a value that a timer changes after the callback": [
    "(event, context, callback) => { const found = { n: 1 }; callback(null, found); setTimeout(() => { found.n = 2; }, 50); }",
    false,
  ],
  "a value that changes after the context's answer": [
    "(event, context) => { const found = { n: 1 }; context.succeed(found); found.n = 2; }",
    false,
  ],
  "odd values": [
    "async () => ({ u: undefined, f() {}, s: Symbol('a'), list: [undefined, , () => 1, NaN, -0, 1e21], boxed: [new String('a'), new Number(1), new Boolean(false)], map: new Map([[1, 2]]), buffer: Buffer.from('ab'), bytes: new Uint8Array(2), url: new URL('http://a/'), error: new Error('no'), at: new Date(NaN), [Symbol('k')]: 1, 2: 2, 1: 1 })",
    false,
  ],
  "a name of the prototype": ['async () => JSON.parse(\'{"__proto__": {"a": 1}, "b": 2}\')', false],
  "an object without a prototype": ["async () => Object.assign(Object.create(null), { a: 1 })", false],
  "an array with a name": ["async () => Object.assign([1, 2], { name: 'a' })", false],
  "a class with inherited values": [
    "async () => new (class extends class { a = 1; get b() { return 2; } } { c = [3]; })()",
    false,
  ],
  "a method of Node on another object": ["async () => ({ at: { toJSON: Date.prototype.toJSON } })", true],
  "many values": ["async () => Array.from({ length: 20000 }, (_, at) => ({ at }))", false],
  "a late rejection": ["async () => { setTimeout(() => Promise.reject(new Error('late')), 2); return 6; }", false],
  "a late exception": ["async () => { setTimeout(() => { throw new Error('late'); }, 2); return 7; }", false],
  "a late exception after a callback": [
    "(event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; callback(null, 8); setTimeout(() => { throw new Error('late'); }, 2); }",
    false,
  ],
};

test("outcomes are those without the layer", async (context) => {
  for (const [name, [handler, hasError]] of Object.entries(HANDLERS)) {
    await context.test(name, async () => {
      const folder = task({ "index.js": `exports.handler = ${handler};` });
      const [without, ran] = [await run(folder, [{}], { wrapper: false }), await run(folder, [{}])];
      assert.deepEqual(ran.texts, without.texts, ran.text);
      if (hasError === undefined) return;
      const [span] = ran.kind("SERVER");
      assert.equal(span.status?.code === 2, hasError, JSON.stringify(span));
      assert.equal("error.type" in span.attributes, hasError);
    });
  }
});

// Handlers that fail without an error of their own, and the error type that the runtime states.
const TYPES = {
  "a thrown string": ["async () => { throw 'no'; }", "string", "no"],
  "a thrown number": ["async () => { throw 7; }", "number", "7"],
  "a string by callback": ["(event, context, callback) => callback('no')", "string", "no"],
  "a thrown object": ["async () => { throw { toString: () => 'no' }; }", "object", "no"],
  "a loop": ["async () => { const loop = {}; loop.loop = loop; return loop; }", "Runtime.JSONStringifyError"],
  "a big number": ["async () => ({ n: 1n })", "Runtime.JSONStringifyError"],
  "a failing toJSON": ["async () => ({ toJSON() { throw new TypeError('no'); } })", "Runtime.JSONStringifyError", "no"],
};

test("a failure without an error of its own has the runtime's type", async (context) => {
  for (const [name, [handler, type, message]] of Object.entries(TYPES)) {
    await context.test(name, async () => {
      const ran = await run(task({ "index.js": `exports.handler = ${handler};` }), [{}]);
      const [span] = ran.kind("SERVER");
      assert.equal(span.attributes["error.type"], type);
      if (message !== undefined) assert.equal(span.status.message, message);
    });
  }
});

// Ways to fail, and whether the runtime's response has the stack of the function's error.
const FAILURES = {
  "a throw of an async function": "async () => { throw new TypeError('no'); }",
  "a throw": "() => { throw new TypeError('no'); }",
  "a callback": "(event, context, callback) => callback(new TypeError('no'))",
  "context.fail": "(event, context) => context.fail(new TypeError('no'))",
  "a cause": "async () => { throw new Error('outer', { cause: new TypeError('no') }); }",
};

test("an error that leaves the handler has no frames of the layer", async (context) => {
  for (const [name, handler] of Object.entries(FAILURES)) {
    await context.test(name, async () => {
      const text = `const stacks = []; exports.handler = (event, ...others) => {
        if (event.asks) return Promise.resolve(stacks);
        const note = (error) => { stacks.push(error); return error; };
        const own = TypeError; globalThis.TypeError = class extends own { constructor(text) { super(text); note(this); } };
        return (${handler})(event, ...others); };
        exports.asks = () => stacks;
        module.exports.handler = ((of) => (event, ...others) => event.asks ? Promise.resolve(stacks.map((it) => it.stack)) : of(event, ...others))(exports.handler);`;
      const ran = await run(task({ "index.js": text }), [{}, { asks: true }]);
      const [, stacks] = ran.results;
      assert.equal(stacks.length, 1, ran.text);
      assert.match(stacks[0], /index\.js/);
      assert.doesNotMatch(stacks[0] + ran.results[0], /handler\.cjs|bundle\.cjs|AsyncLocalStorage/);
      const [span] = ran.kind("SERVER");
      assert.doesNotMatch(JSON.stringify(span.events), /handler\.cjs|bundle\.cjs|AsyncLocalStorage/);
    });
  }
});

test("the stack trace of a span has no causes, as with OpenTelemetry's SDK", async () => {
  const ran = await run(task({ "index.js": `exports.handler = ${FAILURES["a cause"]};` }), [{}]);
  const [span] = ran.kind("SERVER");
  const exception = span.events.find(({ name }) => name === "exception");
  const stack = exception.attributes.find(({ key }) => key === "exception.stacktrace").value.stringValue;
  assert.match(stack, /^Error: outer\n {4}at .*index\.js/);
  assert.doesNotMatch(stack, /TypeError/);
});

// Functions that fail. The stacks in the runtime's log are those of its answers.
const STACKS = {
  "a throw below functions":
    "const f = (n) => { if (n > 0) return f(n - 1); throw new TypeError('no'); }; exports.handler = async () => f(5);",
  "a throw far below":
    "const f = (n) => { if (n > 0) return f(n - 1); throw new TypeError('no'); }; exports.handler = () => f(9);",
  "a function of another name": "async function work() { throw new TypeError('no'); } exports.handler = work;",
  "a function of another name, after it waited":
    "const work = async () => { await null; throw new TypeError('no'); }; exports.handler = work;",
  "a method": "class Shop { async work() { throw new TypeError(typeof this); } } exports.handler = new Shop().work;",
  "a rejection that nobody handles":
    "exports.handler = async () => { Promise.reject(new Error('floating')); await new Promise((resolve) => setTimeout(resolve, 50)); };",
  "a text": "exports.handler = async () => { throw 'no'; };",
  "a module": "const f = () => { throw new TypeError('no'); }; f();",
};

test("stacks are those without the layer", async (context) => {
  for (const [name, text] of Object.entries(STACKS)) {
    await context.test(name, async () => {
      const folder = task({ "index.js": text });
      const stacks = (ran) =>
        ran.text.split("\n").flatMap((line) => {
          const [, found] = /\tERROR\t[^{]*(\{.*\})$/.exec(line) ?? [];
          // Newer versions of Node name a replaced method otherwise.
          return found === undefined
            ? []
            : [JSON.parse(found).stack.map((frame) => frame.replace("Module.<anonymous>", "Module._compile"))];
        });
      const [without, ran] = [await run(folder, [{}], { wrapper: false }), await run(folder, [{}])];
      assert.notEqual(stacks(without).length, 0, without.text);
      assert.deepEqual(stacks(ran), stacks(without), ran.text);
    });
  }
});

test("an error of the handler's module has no frames of the layer", async () => {
  const ran = await run(task({ "index.js": "throw new TypeError('no');" }), [{}]);
  assert.match(ran.text, /index\.js/);
  assert.doesNotMatch(ran.text, /instrument\.cjs/);
});
