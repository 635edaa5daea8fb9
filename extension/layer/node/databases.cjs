// Instruments databases, and describes their spans without values. telemetry.cjs loads this file with the first library of a
// database.
//
// Source: OpenTelemetry's semantic conventions, "Database client spans".

"use strict";

const { currentError, guardInstrumentation, guardListener } = require("./boundary.cjs");
const { say } = require("./originals.cjs");

/// Instrumentations by their names. `adaptWith` changes the class `type`, with packages that it loads. Calls outside an invocation
/// get no span, because they have no trace.
const INSTRUMENTATIONS = {
  ioredis: { type: "IORedisInstrumentation", config: { dbStatementSerializer: withoutArguments }, adaptWith: calledOnce },
  mongodb: { type: "MongoDBInstrumentation", config: { requireParentSpan: true } },
  // The default puts the values into the statement.
  mysql2: { type: "MySQL2Instrumentation", config: { maskStatement: true, maskStatementHook: (statement) => statement } },
  pg: { type: "PgInstrumentation", config: { requireParentSpan: true, ignoreConnectSpans: true }, adaptWith: endCursors },
  redis: { type: "RedisInstrumentation", config: { requireParentSpan: true, dbStatementSerializer: withoutArguments } },
};
/// Name of a span of a connection, which is no call.
const CONNECTING = "redis-connect";
/// OpenTelemetry's variable, which its Java agent reads too.
const SANITIZER = "OTEL_INSTRUMENTATION_COMMON_DB_STATEMENT_SANITIZER_ENABLED";
/// Systems without a language of statements. Their commands have no values in the text.
const COMMANDS = ["mongodb", "redis"];
/// Number of characters of a message that are kept.
const MAX_MESSAGE = 1024;
const QUOTED = /["'`“].*["'`”]/;
const IN_PARENTHESES = /=\(.*\)|\{.*\}|\[.*\]/g;
/// The conventions' error type if there is no better one.
const OTHER = "_OTHER";

function withoutArguments(name, values) {
  return [name, ...values.map(() => "?")].join(" ");
}

/// Creates the instrumentation of this name.
function create(name, load) {
  const { type, config, adaptWith = (unchanged) => unchanged } = INSTRUMENTATIONS[name];
  const Instrumentation = guardInstrumentation(adaptWith(load(`@opentelemetry/instrumentation-${name}`)[type], load), name);
  const instrumentation = new Instrumentation(config);
  instrumentation.setTracerProvider(onlyCalls(load));
  return instrumentation;
}

/// Returns a provider whose tracers make spans of calls in an invocation alone. Work below a connection has the parent of the
/// connection.
function onlyCalls(load) {
  const { INVALID_SPAN_CONTEXT, context, trace } = load("@opentelemetry/api");
  const guarded = (tracer) => ({
    startSpan(name, options, parent = context.active()) {
      const above = trace.getSpanContext(parent);
      const isCall = above !== undefined && name !== CONNECTING;
      latest = isCall ? tracer.startSpan(name, options, parent) : trace.wrapSpanContext(above ?? INVALID_SPAN_CONTEXT);
      return latest;
    },
  });
  return { getTracer: (...scope) => guarded(trace.getTracer(...scope)) };
}

/// The span that began last.
let latest;

/// Returns the class for pg. OpenTelemetry's never ends the span of a cursor, such as those of `pg-cursor` and `pg-query-stream`.
function endCursors(Instrumentation, load) {
  const { ERROR } = load("@opentelemetry/api").SpanStatusCode;
  const followed =
    (wrapper) =>
    (...values) => {
      const patched = wrapper(...values);
      return function query(...values) {
        latest = undefined;
        const result = patched.apply(this, values);
        const cursor = values[0]?.cursor ?? values[0];
        if (typeof cursor?.read === "function" && typeof cursor.submit === "function") endWith(cursor, latest);
        return result;
      };
    };
  // The cursor tells of its error only whom it hears, and does not throw it.
  const endWith = (cursor, span) => {
    // A stream has the text in its cursor alone.
    if (typeof cursor.text === "string") span?.setAttribute("db.query.text", cursor.text);
    const fail = ({ message }) => span?.setStatus({ code: ERROR, message }).end();
    cursor.once("error", guardListener(fail, "pg")).once(
      "end",
      guardListener(() => span?.isRecording() && span.end(), "pg"),
    );
  };
  return class extends Instrumentation {
    init() {
      const wrap = this._wrap;
      this._wrap = (holder, name, wrapper) => wrap(holder, name, name === "query" ? followed(wrapper) : wrapper);
      return super.init();
    }
  };
}

/// Returns the class for ioredis. OpenTelemetry's makes two spans for a command that waits for the connection, and some for the
/// commands with which the client connects. It patches the exports of the package alone, so that it misses a package that
/// `import` loads.
function calledOnce(Instrumentation, load) {
  const { context } = load("@opentelemetry/api");
  const { suppressTracing } = load("@opentelemetry/core");
  return class extends Instrumentation {
    init() {
      const definitions = super.init();
      for (const { files, patch, supportedVersions, unpatch } of definitions) {
        const patchDefault = (exports, version) => {
          patch(exports.default, version);
          return exports;
        };
        files.push({
          name: "ioredis/built/Redis.js",
          supportedVersions,
          patch: patchDefault,
          unpatch: (exports) => unpatch(exports?.default),
        });
      }
      return definitions;
    }

    _traceSendCommand(original, version) {
      const traced = super._traceSendCommand(original, version);
      const sent = new WeakSet();
      return function (command, ...others) {
        const isFirst = command !== null && typeof command === "object" && !sent.has(command);
        if (isFirst) sent.add(command);
        return (isFirst ? traced : original).call(this, command, ...others);
      };
    }

    _traceConnection(original) {
      return function (...values) {
        return context.with(suppressTracing(context.active()), () => original.apply(this, values));
      };
    }
  };
}

/// Returns the name, attributes, status and events of a span of a database, or `undefined` for another span. After a failure,
/// the span must have no value.
function describeCall(span) {
  const { attributes = {}, instrumentationScope: { name: scope } = {} } = span;
  if (attributes["db.system.name"] === undefined || attributes["rpc.system"] !== undefined) return undefined;
  if (!scope?.startsWith("@opentelemetry/instrumentation-")) return undefined;
  try {
    const changed = { ...attributes, ...changesOf(span) };
    return {
      name: changed["db.query.summary"] ?? span.name,
      attributes: changed,
      status: span.status.message === undefined ? span.status : { ...span.status, message: maskedMessage(span.status.message) },
      events: span.events.map(maskedEvent),
    };
  } catch (error) {
    say(`cannot describe a call of a database, so its span has no statement: ${error}`);
    const { "db.query.text": _, ...others } = attributes;
    return { name: attributes["db.system.name"], attributes: others, status: { code: span.status.code }, events: [] };
  }
}

function changesOf({ attributes, events, status }) {
  const statements = require("./statements.cjs");
  const system = attributes["db.system.name"];
  const statement = String(attributes["db.query.text"] ?? "");
  const changed = {};
  if (COMMANDS.includes(system)) {
    const operation = attributes["db.operation.name"] ?? statement.split(" ", 1)[0];
    const table = attributes["db.collection.name"];
    if (statement !== "") changed["db.query.text"] = statements.shortened(statement);
    changed["db.operation.name"] = operation;
    changed["db.query.summary"] = table === undefined ? operation : `${operation} ${table}`;
  } else {
    const found = statements.describe(system, statement);
    if (statement !== "") changed["db.query.text"] = keepsValues() ? statements.shortened(statement) : found.text;
    if (found.operation !== "") changed["db.operation.name"] = found.operation;
    if (found.summary !== "") changed["db.query.summary"] = found.summary;
    if (found.table !== "") changed["db.collection.name"] = found.table;
  }
  const isFailed = status.message !== undefined || events.length > 0;
  if (!isFailed) return changed;
  const error = currentError() ?? {};
  const exception = events.find(({ name }) => name === "exception")?.attributes ?? {};
  const code = CODES[system]?.(error, exception);
  if (code !== undefined) changed["db.response.status_code"] = String(code);
  const named = typeof error.code === "string" ? error.code : error.name;
  changed["error.type"] = attributes["error.type"] ?? exception["exception.type"] ?? error.codeName ?? named ?? code ?? OTHER;
  return changed;
}

/// The server's code of an error, by the database's system.
const CODES = {
  mongodb: ({ code }) => (typeof code === "number" ? code : undefined),
  // Errors of a connection have negative numbers.
  mysql: ({ errno }) => (errno > 0 ? errno : undefined),
  // The instrumentation has the code of a promise's error in the message alone.
  postgresql: ({ code }, { "exception.message": message }) =>
    [code, /\(code: (\w+)\)$/.exec(message)?.[1]].find((each) => /^[0-9A-Z]{5}$/.test(each)),
  redis: ({ message }) => /^[A-Z]{3,}(?= )/.exec(message)?.[0],
};

function keepsValues() {
  return (process.env[SANITIZER] ?? "").trim().toLowerCase() === "false";
}

/// Returns the first line of an error's message without what it quotes. Servers repeat parts of a statement and of rows there.
function maskedMessage(message) {
  if (keepsValues()) return message;
  const first = String(message).split("\n", 1)[0].slice(0, MAX_MESSAGE);
  return first.replace(QUOTED, "'?'").replace(IN_PARENTHESES, "?");
}

function maskedEvent(event) {
  const { "exception.message": message, "exception.stacktrace": stack } = event.attributes ?? {};
  if (message === undefined || keepsValues()) return event;
  const masked = maskedMessage(message);
  const attributes = { ...event.attributes, "exception.message": masked };
  if (stack !== undefined) attributes["exception.stacktrace"] = String(stack).replace(message, () => masked);
  return { ...event, attributes };
}

module.exports = { create, describeCall, maskedMessage };
