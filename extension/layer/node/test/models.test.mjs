// Calls of models become spans without prompts and answers. tests/interop has the clients of OpenAI, Anthropic and AWS.

import assert from "node:assert/strict";
import nodeModule, { createRequire } from "node:module";
import { test } from "node:test";
import { run, task } from "./local_lambda.mjs";

const require = createRequire(import.meta.url);
const { requestPreSpanHook, responseHook } = require("../bedrock.cjs");

// A package with the parts of OpenAI's client on which the layer depends: `post`, and a promise that reads the response when it
// is asked to.
const CLIENT = `
class Promised extends Promise {
  constructor(responsePromise, parseResponse) {
    super((resolve) => resolve(null));
    Object.assign(this, { responsePromise, parseResponse });
  }
  parse() { return (this.parsed ??= this.responsePromise.then((props) => this.parseResponse(props))); }
  asResponse() { return this.responsePromise.then(({ response }) => response); }
  then(...actions) { return this.parse().then(...actions); }
}
class Stream {
  constructor(iterator) { this.iterator = iterator; }
  [Symbol.asyncIterator]() { return this.iterator(); }
}
class NotFoundError extends Error {}
class OpenAI {
  baseURL = "http://localhost:8000/v1";
  closed = [];
  post(path, { body, stream }) {
    const { closed } = this;
    const choice = { message: { content: "secret" }, finish_reason: "stop" };
    const parts = [{ id: "1", model: "gpt-x-2026", choices: [{}] }, { choices: [choice], usage: { prompt_tokens: 3, completion_tokens: 5 } }];
    const iterator = async function* () { try { yield* parts; } finally { closed.push(body.model); } };
    const sent = body.model === "none" ? Promise.reject(new NotFoundError("no such model")) : Promise.resolve({ response: { status: 200 } });
    return new Promised(sent, () => (stream ? new Stream(iterator) : { ...parts[0], ...parts[1] }));
  }
}
`;
const PACKAGE = {
  "node_modules/openai/package.json": JSON.stringify({
    name: "openai",
    exports: { ".": { import: "./client.mjs", require: "./client.js" } },
  }),
  "node_modules/openai/client.mjs": `${CLIENT}export { OpenAI };`,
  "node_modules/openai/client.js": `${CLIENT}exports.OpenAI = OpenAI;`,
};
const CALLS = `
const client = new OpenAI();
const ask = (path, options) => client.post(path, { ...options, body: { model: "gpt-x", max_tokens: 9, messages: ["secret"], ...options } });
export const handler = async () => {
  const found = [await ask("/chat/completions"), await ask("/models"), (await ask("/chat/completions").asResponse()).status];
  for await (const part of await ask("/chat/completions", { stream: true })) found.push(part);
  for await (const part of await ask("/chat/completions", { stream: true, model: "left" })) { found.push(part); break; }
  await ask("/chat/completions", { model: "none" }).then(undefined, ({ message }) => found.push(message));
  return [found, client.closed, client.post.name, client.post.length, Object.keys(client)];
};
`;
const MODULE = `import { OpenAI } from "openai";${CALLS}`;
const LATER = `export const handler = async () => {
  const { OpenAI } = await import("openai");
  ${CALLS.replace("export const handler =", "const call =")}
  return call();
};`;
const below = (folder, files) => Object.fromEntries(Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text]));
const DEPENDENCY = "node_modules/@shop/dependency";
const FORMS = {
  "ES module": { ...PACKAGE, "index.mjs": MODULE },
  "ES module of a package that has the client in a folder of its own": {
    "package.json": '{ "dependencies": { "@shop/dependency": "1.0.0" } }',
    "index.mjs": 'export { handler } from "./shop.mjs";',
    "shop.mjs": 'export { handler } from "@shop/dependency";',
    ...below(DEPENDENCY, { ...PACKAGE, "package.json": '{ "exports": "./index.mjs" }', "index.mjs": MODULE }),
  },
  "ES module, loaded in the invocation": {
    ...PACKAGE,
    "index.mjs": LATER,
  },
  "ES module of a package that loads the client in the invocation": {
    "package.json": '{ "dependencies": { "@shop/dependency": "1.0.0" } }',
    "index.mjs": 'export { handler } from "@shop/dependency";',
    ...below(DEPENDENCY, { ...PACKAGE, "package.json": '{ "exports": "./index.mjs" }', "index.mjs": LATER }),
  },
  "CommonJS, which loads the ES module in the invocation": {
    ...PACKAGE,
    "index.cjs": LATER.replace("export const handler", "exports.handler"),
  },
  "CommonJS, which loads an ES module of a package that has the client in a folder of its own": {
    "package.json": '{ "dependencies": { "@shop/dependency": "1.0.0" } }',
    "index.cjs": 'exports.handler = async () => (await import("@shop/dependency")).handler();',
    ...below(DEPENDENCY, { ...PACKAGE, "package.json": '{ "exports": "./index.mjs" }', "index.mjs": MODULE }),
  },
  // Its hooks are those of `require` too.
  ...(typeof nodeModule.registerHooks === "function" && {
    "CommonJS, of whose `require` an ES module loads the client": {
      ...PACKAGE,
      "index.cjs": 'exports.handler = require("@shop/dependency").handler;',
      ...below(DEPENDENCY, { "package.json": '{ "exports": "./index.mjs" }', "index.mjs": MODULE }),
    },
  }),
  CommonJS: {
    ...PACKAGE,
    "index.cjs": `const { OpenAI } = require("openai");${CALLS.replace("export const handler", "exports.handler")}`,
  },
};
const COMPLETE = {
  "gen_ai.usage.input_tokens": 3,
  "gen_ai.usage.output_tokens": 5,
  "gen_ai.response.finish_reasons": ["stop"],
  "gen_ai.response.model": "gpt-x-2026",
};
const EXPECTED = [
  ["chat gpt-x", COMPLETE],
  ["chat gpt-x", {}],
  ["chat gpt-x", COMPLETE],
  ["chat left", { "gen_ai.response.model": "gpt-x-2026" }],
  ["chat none", { "error.type": "NotFoundError" }],
];

for (const [form, files] of Object.entries(FORMS)) {
  test(`calls of a model are spans, and the results are those of before: ${form}`, async () => {
    const folder = task(files);
    const without = await run(folder, [{}], { wrapper: false });
    const ran = await run(folder, [{}]);
    const off = await run(folder, [{}], { env: { OTEL_NODE_DISABLED_INSTRUMENTATIONS: "openai" } });
    assert.deepEqual(ran.results, without.results, ran.text);
    const spans = ran.kind("CLIENT");
    const names = [...Object.keys(COMPLETE), "error.type"];
    const found = spans.map(({ name, attributes }) => [
      name,
      Object.fromEntries(names.filter((key) => key in attributes).map((key) => [key, attributes[key]])),
    ]);
    const [texts, expected] = [found, EXPECTED].map((each) => each.map((call) => JSON.stringify(call)).sort());
    assert.deepEqual(texts, expected, ran.text);
    assert.ok(!JSON.stringify(spans).includes("secret"), JSON.stringify(spans));
    for (const { attributes } of spans) {
      assert.deepEqual([attributes["gen_ai.provider.name"], attributes["gen_ai.request.max_tokens"]], ["openai", 9]);
      assert.deepEqual([attributes["server.address"], attributes["server.port"]], ["localhost", 8000]);
    }
    assert.deepEqual(off.kind("CLIENT"), [], off.text);
    assert.deepEqual(off.results, without.results, off.text);
  });
}

test("a function whose packages alone call import() starts no hooks", async () => {
  const folder = task({
    ...PACKAGE,
    "node_modules/store/index.js": 'exports.load = () => import("node:async_hooks");',
    "index.cjs": `const { load } = require("store"); require("openai");
exports.handler = async () => [Object.keys(await load()).length > 0, Symbol.for("lambda-otlp: imports") in globalThis];`,
  });
  const ran = await run(folder, [{}]);
  assert.deepEqual(ran.results, [[true, false]], ran.text);
});

const OWN = {
  "node_modules/@own/instrumentation-openai/package.json": JSON.stringify({
    exports: { import: "./index.mjs", require: "./index.js" },
  }),
  "node_modules/@own/instrumentation-openai/index.mjs": "",
  "node_modules/@own/instrumentation-openai/index.js": "",
};
const OWN_FORMS = {
  "ES module": { "index.mjs": `import "@own/instrumentation-openai"; ${MODULE}` },
  CommonJS: { "index.cjs": `require("@own/instrumentation-openai"); ${FORMS.CommonJS["index.cjs"]}` },
};

for (const [form, files] of Object.entries(OWN_FORMS)) {
  test(`the function's own instrumentation of a client makes the only spans: ${form}`, async () => {
    const ran = await run(task({ ...PACKAGE, ...OWN, ...files }), [{}]);
    assert.equal(ran.kind("SERVER").length, 1, ran.text);
    assert.deepEqual(ran.kind("CLIENT"), [], ran.text);
    assert.ok(!ran.text.includes("lambda-otlp-handler"), ran.text);
  });
}

const BEDROCK = {
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "aws.bedrock",
  "gen_ai.request.model": "amazon.nova",
  "gen_ai.system": "aws.bedrock",
};
const fails = () => {
  throw new SyntaxError("secret");
};

test("a body of bytes is text to the instrumentation of AWS's SDK, and the function's own stays", () => {
  const body = new TextEncoder().encode('{"a":1}');
  const commandInput = { modelId: "amazon.nova", body };
  const described = (request) => ({ isIncoming: false, spanAttributes: { a: JSON.parse(request.commandInput.body).a } });
  const found = requestPreSpanHook(described, { commandName: "InvokeModel", commandInput });
  assert.deepEqual(found, {
    isIncoming: false,
    isStream: false,
    spanName: "chat amazon.nova",
    spanAttributes: { ...BEDROCK, a: 1 },
  });
  assert.equal(commandInput.body, body);
});

test("a call of Bedrock passes if the instrumentation cannot read it", () => {
  for (const commandName of ["Converse", "InvokeModel"]) {
    const found = requestPreSpanHook(fails, { commandName, commandInput: { modelId: "amazon.nova" } });
    assert.deepEqual(found, { isIncoming: false, isStream: false, spanName: "chat amazon.nova", spanAttributes: BEDROCK });
  }
  const request = { commandName: "InvokeModel" };
  assert.equal(responseHook(fails, { request, data: { body: "no JSON" } }), undefined);
  assert.equal(
    responseHook(() => "replaced", { request, data: {} }),
    undefined,
  );
  assert.equal(
    responseHook(() => "replaced", { request, data: { body: "{}" } }),
    "replaced",
  );
});
