// Runs functions in the local Lambda of `lambda-otlp dev`, below the layer's wrapper, and reads their telemetry. The programs are
// those of the last `cargo build`. Packages come from npm, and stay in the user's cache.

import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));
const PROGRAMS = path.join(process.env.CARGO_TARGET_DIR ?? path.join(REPOSITORY, "target"), "debug");
const [COMMAND, EXTENSION] = ["lambda-otlp", "lambda-otlp-extension"].map((name) => path.join(PROGRAMS, name));
const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "lambda-otlp", "layer-tests");
/// The duration after a result.
const TIME = / after [0-9.]+ ms| \([0-9.]+ ms.*\)$/;
const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

/// Returns a folder `node_modules` with these packages. `prepare` changes it after the installation.
export function packages(names, prepare = () => {}) {
  const hash = createHash("sha256")
    .update(JSON.stringify([names, String(prepare)]))
    .digest("hex")
    .slice(0, 16);
  const folder = path.join(CACHE, `npm-${hash}`);
  if (!fs.existsSync(path.join(folder, "made"))) {
    // Several test files may install at once. The first to finish counts.
    fs.mkdirSync(CACHE, { recursive: true });
    const made = fs.mkdtempSync(path.join(CACHE, "npm-"));
    execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", made, ...names]);
    prepare(path.join(made, "node_modules"));
    fs.writeFileSync(path.join(made, "made"), "");
    try {
      fs.renameSync(made, folder);
    } catch {
      fs.rmSync(made, { recursive: true });
    }
  }
  return path.join(folder, "node_modules");
}

/// Writes a function's files into a new folder.
export function task(files, modules) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-task-"));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  if (modules !== undefined) fs.symlinkSync(modules, path.join(folder, "node_modules"));
  return folder;
}

/// Returns a folder with the layer as Lambda mounts it at /opt. The packages are those of an earlier run.
export function opt() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-opt-"));
  const sources = path.join(REPOSITORY, "extension/layer");
  for (const name of ["lambda-otlp-handler", "python", "node", "calls.json", "events.json"]) {
    const isWrapper = name === "lambda-otlp-handler";
    fs.cpSync(path.join(sources, name), path.join(folder, isWrapper ? "" : "lambda-otlp", name), {
      recursive: true,
      dereference: true,
    });
  }
  const packages = "lambda-otlp/node-packages";
  fs.cpSync(path.join(CACHE, "../dev/node-layer/layer", packages), path.join(folder, packages), { recursive: true });
  return folder;
}

/// Invokes the function in this folder with each event. Without `command`, AWS's runtime client calls the handler.
export async function run(
  folder,
  events,
  { handler = "index.handler", wrapper = true, timeout = "20s", env = {}, command = [] } = {},
) {
  const missing = [COMMAND, EXTENSION].filter((program) => !fs.existsSync(program));
  if (missing.length > 0) throw new Error(`run cargo build --bin lambda-otlp --bin lambda-otlp-extension: ${missing} is missing`);
  const runtime = command.length > 0 ? [] : ["--runtime", "node"];
  const variables = Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
  const options = ["dev", "--json", "--name", "shop", ...runtime, "--handler", handler, "--timeout", timeout, ...variables];
  if (wrapper) options.push("--wrapper");
  // The layer of an earlier run without a command.
  if (wrapper && command.length > 0) options.push("--layer", path.join(CACHE, "../dev/node-layer/layer"));
  options.push("--extension", EXTENSION, ...(command.length > 0 ? ["--", ...command] : []));
  const { stdout, stderr } = await new Promise((resolve) => {
    // Below the test's runner, a function would be one of its tests.
    const { NODE_TEST_CONTEXT: _, ...environ } = process.env;
    const child = execFile(COMMAND, options, { cwd: folder, env: environ, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      resolve({ stdout, stderr }),
    );
    child.stdin.end(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  });
  const ran = { spans: [], lines: [], results: [], texts: [], errors: stderr };
  for (const each of stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line))) {
    if (each.trace) {
      ran.spans.push(...each.trace.spans.map(spanOf));
      ran.lines.push(...each.trace.logRecords.map((record) => record.body?.stringValue ?? ""));
    } else if (each.logRecord) ran.lines.push(each.logRecord.body?.stringValue ?? "");
    else if (each.line?.startsWith("=> ")) {
      ran.texts.push(each.line.slice(3).replace(TIME, ""));
      ran.results.push(resultOf(each.line.slice(3)));
    } else if (each.line) ran.lines.push(each.line);
  }
  ran.text = [...ran.lines, ran.errors].join("\n");
  ran.named = (name) => ran.spans.filter((span) => span.name === name);
  ran.kind = (kind) => ran.spans.filter((span) => span.kind === kind);
  if (ran.results.length !== events.length) throw new Error(`${ran.results.length} results: ${stdout}\n${stderr}`);
  return ran;
}

/// Returns the value of a response, or the text of a failure.
function resultOf(line) {
  try {
    return JSON.parse(line.replace(TIME, ""));
  } catch {
    return line;
  }
}

function spanOf(span) {
  const links = (span.links ?? []).map((link) => ({ ...link, attributes: attributesOf(link) }));
  return { ...span, kind: KINDS[span.kind], attributes: attributesOf(span), links };
}

function attributesOf({ attributes = [] }) {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainValue(value)]));
}

function plainValue(value) {
  const [[kind, found]] = Object.entries(value);
  if (kind === "arrayValue") return found.values.map(plainValue);
  return kind === "intValue" ? Number(found) : found;
}

/// Starts an HTTP server. `seen` has the path, the headers and the body of each request.
export async function target() {
  const seen = [];
  const server = http.createServer(async (request, response) => {
    const call = { path: request.url, headers: request.headers, body: "" };
    seen.push(call);
    for await (const part of request) call.body += part;
    response.end(
      Object.entries(request.headers)
        .map((pair) => pair.join(": "))
        .join("\n"),
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const traces = () => Object.fromEntries(seen.map(({ path, headers }) => [path, headers.traceparent?.split("-")[1]]));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, seen, traces, close };
}
