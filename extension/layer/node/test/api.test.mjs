// A function's own spans arrive with every version of OpenTelemetry's API, in every form in which functions load it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packages, run, task } from "./local_lambda.mjs";

const BODY = `
const ofModule = trace.getTracer("shop", "1.2");
const handler = async () => {
  const ofHandler = trace.getTracer("shop");
  trace.getActiveSpan?.()?.setAttribute("order.id", 7);
  const carrier = {};
  propagation.inject(context.active(), carrier);
  const price = TOP ? ofModule : ofHandler;
  const span = price.startSpan("price");
  context.with(trace.setSpan(context.active(), span), () => price.startSpan("child of price").end());
  span.end();
  return Object.keys(carrier);
};
`;
const COMMON_JS = `const { trace, context, propagation } = require("@opentelemetry/api");${BODY}exports.handler = handler;`;
const MODULE = `import { trace, context, propagation } from "@opentelemetry/api";${BODY}export { handler };`;

// The name of the file, its text, the API's versions (the second one in a package of its own), and options.
const CASES = {
  "1.0, CommonJS": ["index.js", COMMON_JS, ["1.0.4"]],
  "1.4, CommonJS": ["index.js", COMMON_JS, ["1.4.1"]],
  "1.9, CommonJS": ["index.js", COMMON_JS, ["1.9.0"]],
  "newest, CommonJS": ["index.js", COMMON_JS, ["latest"]],
  "1.0, module": ["index.mjs", MODULE, ["1.0.4"]],
  "newest, module": ["index.mjs", MODULE, ["latest"]],
  "1.9 and the newest": [
    "index.js",
    `const other = require("other");${COMMON_JS.replace("span.end", "other(); span.end")}`,
    ["1.9.0", "latest"],
  ],
  "the newest and 1.9": [
    "index.js",
    `const other = require("other");${COMMON_JS.replace("span.end", "other(); span.end")}`,
    ["latest", "1.9.0"],
  ],
  "newest, bundle": ["index.js", COMMON_JS, ["latest"], { isBundled: true }],
  "newest, bundle of a module": ["index.mjs", MODULE, ["latest"], { isBundled: true }],
};

function modules([own, other]) {
  return packages(
    [`@opentelemetry/api@${own}`, "esbuild@0.25.12", ...(other ? [`api@npm:@opentelemetry/api@${other}`] : [])],
    (folder) => {
      if (!fs.existsSync(path.join(folder, "api"))) return;
      // Another package of the function, with another version of the API.
      const nested = path.join(folder, "other/node_modules/@opentelemetry");
      fs.mkdirSync(nested, { recursive: true });
      fs.renameSync(path.join(folder, "api"), path.join(nested, "api"));
      fs.writeFileSync(
        path.join(folder, "other/index.js"),
        'const tracer = require("@opentelemetry/api").trace.getTracer("other"); module.exports = () => tracer.startSpan("other").end();',
      );
    },
  );
}

test("a function's meter provider is registered while it loads and in an invocation", async () => {
  const set = (version) => `metrics.setGlobalMeterProvider({ getMeter: () => "${version}" })`;
  for (const [version, isFirst] of [
    ["latest", true],
    ["latest", false],
    ["1.4.1", true],
  ]) {
    const text = `const { metrics } = require("@opentelemetry/api"); ${isFirst ? set(version) : ""};
      exports.handler = () => Promise.resolve([${isFirst ? true : set(version)}, metrics.getMeter("shop")]);`;
    const ran = await run(task({ "index.js": text }, modules([version])), [{}]);
    assert.deepEqual(ran.results, [[true, version]], ran.text);
    assert.equal(ran.kind("SERVER").length, 1, ran.text);
  }
});

for (const [name, [file, text, versions, { isBundled = false } = {}]] of Object.entries(CASES)) {
  test(`own spans with the API ${name}`, async () => {
    const installed = modules(versions);
    // In a bundle, the tracer is the handler's.
    const source = text.replace("TOP", String(!isBundled));
    const folder = task(isBundled ? { "src.mjs": source, "src.js": source } : { [file]: source }, installed);
    if (isBundled) {
      const format = file.endsWith(".mjs") ? "esm" : "cjs";
      const entry = file.endsWith(".mjs") ? "src.mjs" : "src.js";
      execFileSync(
        path.join(installed, ".bin/esbuild"),
        [entry, "--bundle", "--platform=node", `--format=${format}`, `--outfile=${file}`, "--log-level=error"],
        { cwd: folder },
      );
      fs.rmSync(path.join(folder, "node_modules"));
    }
    const ran = await run(folder, [{}, {}]);
    assert.deepEqual(ran.results, [["traceparent"], ["traceparent"]], ran.text);
    const [roots, prices, children] = [ran.kind("SERVER"), ran.named("price"), ran.named("child of price")];
    assert.equal(roots.length, 2, ran.text);
    assert.deepEqual(
      prices.map((span) => span.parentSpanId),
      roots.map((span) => span.spanId),
      ran.text,
    );
    assert.deepEqual(
      children.map((span) => span.parentSpanId),
      prices.map((span) => span.spanId),
    );
    assert.deepEqual(
      ran.named("other").map((span) => span.parentSpanId),
      versions.length > 1 ? roots.map((span) => span.spanId) : [],
    );
    if (!versions.includes("1.0.4")) assert.equal(roots[0].attributes["order.id"], 7);
  });
}
