// Configures OpenTelemetry's SDK and its instrumentations from the function's variables.

"use strict";

const diagnostics = require("node:diagnostics_channel");
const fs = require("node:fs");
const { Module, isBuiltin } = require("node:module");
const path = require("node:path");
const { fileURLToPath } = require("node:url");
const { register } = require("./api.cjs");
const { guardInstrumentation } = require("./boundary.cjs");
const { BoundExporter, TIMEOUT_MS, agent, timeoutMs } = require("./bound.cjs");
const { say } = require("./originals.cjs");
const { Contexts } = require("./contexts.cjs");
const { correct } = require("./corrections.cjs");
const { CutOffs } = require("./cut_off.cjs");
const { xray } = require("./events.cjs");
const { leaveLastWords } = require("./last_words.cjs");
const { keepOwnContext, keepOwnHeaders } = require("./outgoing.cjs");
const { isThere, readJson } = require("./packages.cjs");
const { Exporter, encode } = require("./wire.cjs");

// Default limit of spans that wait for their export. The SDK's own limit suits programs that do not wait for the export at the
// end of each request.
const QUEUE_SIZE = 16384;
// Default number of spans in an export, as in the SDK.
const BATCH_SIZE = 512;

/// Instrumentations by their names in OTEL_NODE_DISABLED_INSTRUMENTATIONS. `adapt` changes the class `type`. Calls outside an
/// invocation get no span, because they have no trace. A runtime client's calls to Lambda are not the function's. A call of AWS's
/// SDK is one span.
///
/// An instrumentation with `packages` waits for the first file of one of these, and one with `channels` for their first message.
const LIBRARIES = {
  http: {
    type: "HttpInstrumentation",
    config: {
      requireParentforOutgoingSpans: true,
      disableIncomingRequestInstrumentation: true,
      // The instrumentation would send a list of headers as headers with numbers for names. The runtime reports an uncaught error
      // in the context of the invocation.
      ignoreOutgoingRequestHook: ({ hostname, host, port, headers }) =>
        Array.isArray(headers) || `${hostname ?? host}:${port}` === process.env.AWS_LAMBDA_RUNTIME_API,
      requestHook: nameAwsCall,
    },
  },
  "aws-sdk": {
    type: "AwsInstrumentation",
    config: {
      suppressInternalInstrumentation: true,
      ...Object.fromEntries(
        ["preRequestHook", "responseHook", "exceptionHook"].map((name) => [
          name,
          (...values) => require("./calls.cjs")[name](...values),
        ]),
      ),
    },
    adapt: (...values) => require("./aws.cjs").copyInputs(...values),
    packages: [
      "@aws-sdk/middleware-stack",
      "@aws-sdk/smithy-client",
      "@smithy/core",
      "@smithy/middleware-stack",
      "@smithy/smithy-client",
    ],
  },
  undici: {
    type: "UndiciInstrumentation",
    config: { requireParentforSpans: true },
    adapt: keepOwnHeaders,
    channels: [
      "undici:request:create",
      "undici:client:sendHeaders",
      "undici:request:headers",
      "undici:request:trailers",
      "undici:request:error",
    ],
  },
};

/// Instrumentations of databases by name (databases.cjs), with the packages whose files show that a function uses one.
const DATABASES = {
  ioredis: ["ioredis"],
  mongodb: ["mongodb"],
  mysql2: ["mysql2"],
  pg: ["pg", "pg-pool"],
  redis: ["redis", "@redis/client", "@node-redis/client"],
};

/// The packages that instrumentations change. The packages layer leaves the files of all others alone.
const CHANGED = [...Object.values(DATABASES), ...Object.values(LIBRARIES).map(({ packages }) => packages ?? [])].flat();

/// Clients of models by name (models.cjs), with their packages. The file has the class of the client.
const CLIENTS = { anthropic: "@anthropic-ai/sdk", openai: "openai" };
const CLIENT_FILE = /[\\/](?:client|core)\.m?js$/;
/// The function's own instrumentation of a client, such as `@opentelemetry/instrumentation-openai`, makes the only spans of its
/// calls.
const OWN_OF_CLIENT = `(?:@[^/]+/)?[^/]*instrumentation-(${Object.keys(CLIENTS).join("|")})`;
/// The function's own instrumentation of a database removes the patches of the layer's, unless it precedes the layer.
const OWN_OF_DATABASE = new RegExp(`/node_modules/@opentelemetry/instrumentation-(${Object.keys(DATABASES).join("|")})/`);

/// The instrumentations of a function's libraries. They wait for their libraries, and most are created with the first file of one.
class Libraries {
  /// With `isModule`, the handler is an ES module, whose imports may not be compiled as CommonJS files: no instrumentation of
  /// `LIBRARIES` waits.
  constructor(load, isModule = false) {
    this.load = load;
    load.watch?.(CHANGED);
    this.disabled = names(process.env.OTEL_NODE_DISABLED_INSTRUMENTATIONS);
    const enabled = process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS?.trim();
    /// The only ones to create, if the function names them.
    this.enabled = enabled ? names(enabled) : undefined;
    /// Databases that instrumentations of the function trace.
    this.ownDatabases = new Set(Object.keys(require.cache).map((file) => OWN_OF_DATABASE.exec(file)?.[1]));
    /// Clients of models that instrumentations of the function trace.
    this.ownClients = new Set();
    this.isReleased = false;
    this.instrumentations = [];
    /// The names of libraries, databases and clients whose files are awaited, by package.
    this.awaited = new Map();
    this.instrumentNode(isModule);
    for (const name of Object.keys(DATABASES)) if (this.isWanted(name)) this.await(name, DATABASES[name]);
    for (const name of Object.keys(CLIENTS)) if (this.isWanted(name)) this.await(name, [CLIENTS[name]]);
    this.awaitedFile = new RegExp(
      `[\\\\/]node_modules[\\\\/](?:(${[...this.awaited.keys()].join("|")})|${OWN_OF_CLIENT})[\\\\/]`,
    );
  }

  await(name, packages) {
    packages.forEach((each) => this.awaited.set(each, name));
  }

  isWanted(name) {
    return !this.disabled.includes(name) && (this.enabled === undefined || this.enabled.includes(name));
  }

  /// Creates the instrumentations of `LIBRARIES` that do not wait.
  instrumentNode(isModule) {
    const { require: requireOfNode } = Module.prototype;
    for (const [name, { channels, packages }] of Object.entries(LIBRARIES)) {
      if (!this.isWanted(name) || !isThere(this.load, `@opentelemetry/instrumentation-${name}`)) continue;
      if (channels !== undefined) this.awaitMessages(name, channels);
      // The instrumentation of `http` hooks into `require`. Without it, the first file's own `require` would be missed.
      else if (packages !== undefined && !isModule && this.instrumentations.length > 0) this.await(name, packages);
      else this.instrument(name);
    }
    if (Module.prototype.require !== requireOfNode) keepQuiet(Module.prototype.require);
  }

  /// Creates an instrumentation of `LIBRARIES`. `change` changes its class.
  instrument(name, change = (unchanged) => unchanged) {
    const { type, config, adapt = (unchanged) => unchanged } = LIBRARIES[name];
    const Instrumentation = adapt(this.load(`@opentelemetry/instrumentation-${name}`)[type], this.load("@opentelemetry/api"));
    this.instrumentations.push(new (guardInstrumentation(change(Instrumentation), name))(config));
  }

  /// Creates an instrumentation with the first message of its channels, which it also gets.
  awaitMessages(name, channels) {
    let listeners;
    const create = () => {
      listeners = new Map();
      if (this.isReleased) return;
      const change = (Instrumentation) =>
        class extends Instrumentation {
          subscribeToChannel(channel, listener) {
            listeners.set(channel, listener);
          }
        };
      try {
        this.instrument(name, change);
      } catch (error) {
        say(`cannot instrument ${name}, so its calls have no spans: ${error}`);
      }
    };
    for (const channel of channels) {
      diagnostics.subscribe(channel, (...values) => {
        if (listeners === undefined) create();
        listeners.get(channel)?.(...values);
      });
    }
  }

  /// Notes a CommonJS file before it is compiled. The first file of a library or database creates its instrumentation, which then
  /// patches it. Returns an action for the exports of a client of models, and `undefined` for all other files.
  beforeCompiling(file) {
    if (this.awaited.size === 0) return undefined;
    const [, foundPackage, ownClient] = this.awaitedFile.exec(file) ?? [];
    if (ownClient !== undefined) this.ownClients.add(ownClient);
    const name = this.awaited.get(foundPackage);
    if (name === undefined) return undefined;
    if (name in CLIENTS) {
      return CLIENT_FILE.test(file) ? (exports) => this.instrumentClient(name, file, exports) : undefined;
    }
    (DATABASES[name] ?? LIBRARIES[name].packages).forEach((each) => this.awaited.delete(each));
    if (name in DATABASES) this.instrumentDatabase(name);
    else if (!this.isReleased) this.instrument(name);
    return undefined;
  }

  /// Returns an action that instruments the ES modules of clients of models, or `undefined` if files in this folder have none of
  /// these packages. Other functions pay for no hook.
  findImports(folder) {
    const wanted = Object.keys(CLIENTS).filter((name) => this.isWanted(name));
    const packages = wanted.map((name) => CLIENTS[name]);
    const installed = findInstalled(folder, packages);
    if (installed.size === 0) return undefined;
    const pattern = new RegExp(`/node_modules/(?:(${[...installed].join("|")})/(?:client|core)\\.m?js$|${OWN_OF_CLIENT}/)`);
    const noteModule = (url, exports) => {
      const [, foundPackage, ownClient] = pattern.exec(url);
      if (ownClient !== undefined) return this.ownClients.add(ownClient);
      const name = wanted.find((name) => CLIENTS[name] === foundPackage);
      return this.instrumentClient(name, fileURLToPath(url), exports);
    };
    return () => require("./imports.cjs").whenImported(pattern, noteModule);
  }

  instrumentDatabase(name) {
    if (!this.isReleased && !this.ownDatabases.has(name) && isThere(this.load, `@opentelemetry/instrumentation-${name}`))
      this.instrumentations.push(require("./databases.cjs").create(name, this.load));
  }

  instrumentClient(name, file, exports) {
    // Newer versions of Anthropic's client make their spans themselves.
    if (fs.existsSync(path.join(path.dirname(file), "internal/tracing.js"))) return;
    const isActive = () => !this.isReleased && !this.ownClients.has(name);
    require("./models.cjs").instrument(name, exports, this.load("@opentelemetry/api"), isActive);
  }

  /// Disables all instrumentations. Their patches stay: another tracer may have patched on top of them, and shimmer would remove its
  /// patches instead.
  release() {
    this.isReleased = true;
    const { ProxyTracerProvider } = this.load("@opentelemetry/api");
    const off = { enabled: false, suppressInternalInstrumentation: false, ignoreOutgoingRequestHook: () => true };
    for (const instrumentation of this.instrumentations) {
      instrumentation.setConfig({ ...instrumentation.getConfig(), ...off });
      instrumentation.setTracerProvider(new ProxyTracerProvider());
    }
  }
}

/// Number of folders `node_modules` below each other that are searched. Packages of a workspace can refer to each other.
const MAX_NESTED = 3;

/// Returns the packages of these names that are in this folder, above it, or in a folder of a package on which it depends.
function findInstalled(folder, names) {
  const found = new Set();
  const search = (modules, level, packages) => {
    if (!fs.existsSync(modules)) return;
    for (const name of names) {
      // pnpm has packages of packages in a folder of its own.
      const places = [path.join(modules, name), path.join(modules, ".pnpm", "node_modules", name)];
      if (places.some((place) => fs.existsSync(place))) found.add(name);
    }
    if (level === MAX_NESTED || found.size === names.length) return;
    for (const name of packages(modules)) search(path.join(modules, name, "node_modules"), level + 1, packagesIn);
  };
  for (let above = folder; ; above = path.dirname(above)) {
    // Listing the whole folder would take longer than reading the file of the dependencies.
    search(path.join(above, "node_modules"), 1, () => dependenciesOf(above));
    if (path.dirname(above) === above) return found;
  }
}

function dependenciesOf(folder) {
  const description = path.join(folder, "package.json");
  return fs.existsSync(description) ? Object.keys(readJson(description).dependencies ?? {}) : [];
}

/// Returns the names of all packages in a folder `node_modules`.
function packagesIn(modules) {
  return fs.readdirSync(modules).flatMap((name) => {
    if (name.startsWith(".")) return [];
    return name.startsWith("@") ? fs.readdirSync(path.join(modules, name)).map((each) => `${name}/${each}`) : [name];
  });
}

/// Lets packages load deprecated modules of Node without a warning, as without the layer. From Node 21, Node warns unless
/// `node_modules` is within the last ten calls, and the instrumentations' patch of `require` moves it out of them.
///
/// Source: Node.js, `IsInsideNodeModules` in `src/node_util.cc`.
function keepQuiet(patched) {
  if (Number.parseInt(process.versions.node, 10) < 21) return;
  Module.prototype.require = function require(id) {
    const isQuiet = typeof id === "string" && isBuiltin(id) && /[\\/]node_modules[\\/]/.test(this.filename);
    if (!isQuiet || process.noDeprecation) return patched.call(this, id);
    process.noDeprecation = true;
    try {
      return patched.call(this, id);
    } finally {
      delete process.noDeprecation;
    }
  };
}

let isBundleReported = false;

/// Names the request of an AWS SDK that a bundler has copied into the function, out of reach of the instrumentation. The SDK
/// names the service in `user-agent`, and the operation in `x-amz-target` or, for Amazon S3, in the query.
function nameAwsCall(span, request) {
  // A request within a span of the SDK's instrumentation is not recorded.
  if (!span.isRecording()) return;
  const agent = String(request.getHeader("user-agent") ?? "");
  const [, service] = /^aws-sdk-js\/3.* api\/([^#\s]+)/.exec(agent) ?? [];
  if (service === undefined) return;
  const [method] = /[^.]+$/.exec(request.getHeader("x-amz-target") ?? "") ?? /(?<=[?&]x-id=)\w+/.exec(request.path) ?? [];
  span.updateName(method === undefined ? `${service} ${request.method}` : `${service}.${method}`);
  span.setAttributes({ "rpc.system": "aws-api", "rpc.service": service, ...(method !== undefined && { "rpc.method": method }) });
  if (isBundleReported) return;
  isBundleReported = true;
  say(
    "info: the AWS SDK is bundled, or its instrumentation is disabled. Its spans are named after their HTTP requests, " +
      "and the messages it sends carry no trace context. Exclude @aws-sdk/* and @smithy/* from the bundle",
  );
}

/// Starts the SDK. Returns the provider of the function's spans, the contexts of invocations and, if spans are exported to the
/// extension, the tracking of invocations that are cut off.
function startSdk(load, handler) {
  const { AsyncLocalStorageContextManager } = load("@opentelemetry/context-async-hooks");
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = load("@opentelemetry/core");
  const { defaultResource, detectResources, envDetector } = load("@opentelemetry/resources");
  const { BasicTracerProvider, RandomIdGenerator } = load("@opentelemetry/sdk-trace-base");
  const spanProcessors = [];
  let cutOffs;
  if (process.env.OTEL_TRACES_EXPORTER !== "none") {
    const exporter = boundExporter(load);
    const batches = batchProcessor(load, exporter);
    spanProcessors.push(batches);
    if (isLocal()) {
      cutOffs = new CutOffs(load, () => newExporter(load, { timeoutMillis: TIMEOUT_MS }));
      leaveLastWords({ cutOffs, exporter, flush: () => batches.forceFlush(), encode });
      spanProcessors.push(cutOffs);
    }
  }
  const { idGenerator, useIds } = choosable(joinXRay(new RandomIdGenerator()));
  const tracers = new BasicTracerProvider({
    resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
    spanProcessors,
    idGenerator,
  });
  // Decides like the sampler about a root span. The SDK hides its sampler.
  const samples = (traceId, name) => {
    const tracer = new BasicTracerProvider({ idGenerator }).getTracer("lambda-otlp/handler");
    return useIds({ traceId }, () => tracer.startSpan(name, { root: true })).spanContext().traceFlags & 1;
  };
  const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()];
  const api = load("@opentelemetry/api");
  const contexts = new Contexts(api, new RandomIdGenerator());
  contexts.link(tracers);
  register(api, handler, tracers, {
    context: contexts.follow(new AsyncLocalStorageContextManager().enable()),
    propagation: keepOwnContext(new CompositePropagator({ propagators })),
  });
  return { tracers, cutOffs, contexts, samples, useIds };
}

/// Returns an id generator, and a function that runs an action in which it gives these ids.
function choosable(generator) {
  let chosen;
  const idGenerator = {
    generateSpanId: () => chosen?.spanId ?? generator.generateSpanId(),
    generateTraceId: () => chosen?.traceId ?? generator.generateTraceId(),
  };
  const useIds = (ids, action) => {
    chosen = ids;
    try {
      return action();
    } finally {
      chosen = undefined;
    }
  };
  return { idGenerator, useIds };
}

/// Returns an id generator. The first root span of an invocation gets X-Ray's trace id if X-Ray samples the invocation, so that
/// subsegments of X-Ray's SDK are in its trace.
function joinXRay(random) {
  // The header of the latest invocation with a root span.
  let latest;
  return {
    generateSpanId: () => random.generateSpanId(),
    generateTraceId: () => {
      const header = process.env._X_AMZN_TRACE_ID ?? "";
      const isFirst = header !== latest;
      latest = header;
      const { traceId, isSampled } = xray(header);
      return isFirst && isSampled && traceId !== undefined ? traceId : random.generateTraceId();
    },
  };
}

/// Returns `true` if spans are exported to the extension. Other receivers could not distinguish partial spans from complete ones.
function isLocal() {
  try {
    const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ofTraces, OTEL_EXPORTER_OTLP_ENDPOINT: ofAll } = process.env;
    return ["127.0.0.1", "localhost", "[::1]"].includes(new URL(ofTraces || ofAll).hostname);
  } catch {
    return false;
  }
}

// Settings of OpenTelemetry's exporter that our exporter does not read.
const OF_EXPORTER = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "COMPRESSION", "HEADERS", "INSECURE"];

/// Returns the address of the extension. Returns `undefined` if the function exports elsewhere, or needs a feature that only
/// OpenTelemetry's exporter has.
function receiverUrl() {
  if (!isLocal()) return undefined;
  const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ofTraces, OTEL_EXPORTER_OTLP_ENDPOINT: ofAll } = process.env;
  const isAsked = OF_EXPORTER.some(
    (name) => process.env[`OTEL_EXPORTER_OTLP_${name}`] || process.env[`OTEL_EXPORTER_OTLP_TRACES_${name}`],
  );
  if (isAsked) return undefined;
  const url = ofTraces || `${ofAll.replace(/\/+$/, "")}/v1/traces`;
  return url.startsWith("http://") ? url : undefined;
}

/// Returns an exporter that calls `onRequest` with each of its requests. It is OpenTelemetry's if ours is not enough.
function newExporter(load, { timeoutMillis, onRequest }) {
  const url = receiverUrl();
  if (url !== undefined) {
    return new Exporter({ url, timeoutMillis: timeoutMillis ?? timeoutMs(), agent: agent("http:", onRequest) });
  }
  const { OTLPTraceExporter } = load("@opentelemetry/exporter-trace-otlp-http");
  return new OTLPTraceExporter({
    ...(timeoutMillis !== undefined && { timeoutMillis }),
    httpAgentOptions: (protocol) => agent(protocol, onRequest),
    // A flush exports all batches of the queue at once.
    concurrencyLimit: QUEUE_SIZE,
  });
}

function boundExporter(load) {
  const { ExportResultCode } = load("@opentelemetry/core");
  const makeExporter = (timeoutMillis, onRequest) => newExporter(load, { timeoutMillis, onRequest });
  return new BoundExporter(makeExporter, ExportResultCode, load("@opentelemetry/api"));
}

/// Returns the span processor that exports batches of spans. It corrects each span at its end.
function batchProcessor(load, exporter) {
  const { BatchSpanProcessor } = load("@opentelemetry/sdk-trace-base");
  const maxQueueSize = numberOfSpans("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE);
  const maxExportBatchSize = numberOfSpans("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SIZE);
  let dropped = 0;
  /// Reports dropped spans. The SDK reports them only to its diagnostic logger, which few functions set.
  class Batches extends BatchSpanProcessor {
    onEnd(span) {
      correct(span);
      const before = this._droppedSpansCount;
      super.onEnd(span);
      if (this._droppedSpansCount > before) dropped += 1;
    }

    forceFlush() {
      if (dropped > 0) say(`dropped ${dropped} spans: the queue of ${maxQueueSize} spans is full`);
      dropped = 0;
      return super.forceFlush();
    }
  }
  return new Batches(exporter, { maxQueueSize, maxExportBatchSize });
}

/// Returns a number of spans from a variable. The SDK does not check it: with a batch size of 0 each flush loops forever, and
/// with a negative queue size every span is dropped.
function numberOfSpans(variable, usual) {
  const stated = (process.env[variable] ?? "").trim();
  if (stated === "") return usual;
  const number = Number(stated);
  if (Number.isSafeInteger(number) && number > 0) return number;
  say(`${variable} must be a whole number above 0, got ${stated}; using ${usual}`);
  return usual;
}

function names(list) {
  return (list ?? "").split(",").map((name) => name.trim());
}

module.exports = { Libraries, batchProcessor, boundExporter, startSdk };
