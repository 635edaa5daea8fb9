// The layer changes no outcome of an invocation, and the span tells the outcome.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, task } from "./local_lambda.mjs";

// Handlers, and whether the span has an error.
const HANDLERS = {
  "a promise": ["async () => 1", false],
  "a big number": ["async () => ({ n: 1n })", true],
  "a loop": ["async () => { const loop = {}; loop.loop = loop; return loop; }", true],
  "a failing toJSON": ["async () => ({ toJSON() { throw new TypeError('no'); } })", true],
  "a big number by callback": ["(event, context, callback) => callback(null, 1n)", true],
  "an unserializable thenable": ["() => ({ then(resolve) { resolve(1n); return Promise.resolve(); } })", true],
  "a thenable": ["() => ({ then: (resolve) => Promise.resolve(2).then(resolve) })", false],
  "a thenable that returns nothing": ["() => ({ then(resolve) { resolve(3); } })", false],
  "a lazy thenable": ["() => { let calls = 0; return { then(resolve, reject) { calls += 1; return Promise.resolve(calls).then(resolve, reject); } }; }", false],
  "a rejected thenable": ["() => ({ then: (_, reject) => Promise.resolve(new RangeError('no')).then(reject) })", true],
  "a class with a private field": ["() => new (class { #value = 4; then(resolve, reject) { return Promise.resolve(this.#value).then(resolve, reject); } })()", false],
  "a rejection in the same turn": ["async () => { Promise.reject(new Error('floating')); return 5; }", undefined],
  "a late rejection": ["async () => { setTimeout(() => Promise.reject(new Error('late')), 2); return 6; }", false],
  "a late exception": ["async () => { setTimeout(() => { throw new Error('late'); }, 2); return 7; }", false],
  "a late exception after a callback": ["(event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; callback(null, 8); setTimeout(() => { throw new Error('late'); }, 2); }", false],
};

test("outcomes are those without the layer", async (context) => {
  for (const [name, [handler, hasError]] of Object.entries(HANDLERS)) {
    await context.test(name, async () => {
      const folder = task({ "index.js": `exports.handler = ${handler};` });
      const withoutTime = (ran) => ran.results.map((result) => (typeof result === "string" ? result.replace(/ after [0-9.]+ ms/, "") : result));
      const [without, ran] = [await run(folder, [{}], { wrapper: false }), await run(folder, [{}])];
      assert.deepEqual(withoutTime(ran), withoutTime(without), ran.text);
      if (hasError === undefined) return;
      const [span] = ran.kind("SERVER");
      assert.equal(span.status?.code === 2, hasError, JSON.stringify(span));
      assert.equal("error.type" in span.attributes, hasError);
    });
  }
});
