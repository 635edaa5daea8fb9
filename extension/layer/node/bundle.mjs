// The entry point from which esbuild creates the packages layer (cargo xtask dist --node-layer): one file with the parts of
// OpenTelemetry's packages that every function uses.

import * as api from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  CompositePropagator,
  ExportResultCode,
  RPCType,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
  getRPCMetadata,
  hrTime,
  hrTimeDuration,
  hrTimeToMilliseconds,
  setRPCMetadata,
  suppressTracing,
} from "@opentelemetry/core";
import {
  InstrumentationBase,
  InstrumentationNodeModuleDefinition,
  InstrumentationNodeModuleFile,
  isWrapped,
  safeExecuteInTheMiddle,
} from "@opentelemetry/instrumentation";
import { defaultResource, detectResources, envDetector } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator } from "@opentelemetry/sdk-trace-base";
import { watch } from "./details.mjs";

const EXPORTER = "@opentelemetry/exporter-trace-otlp-http";
const DATABASE = /^@opentelemetry\/instrumentation-(?:ioredis|mongodb|mysql2|pg|redis)$/;
// Instrumentations have files of their own, because few functions need all.
const LIBRARIES = {
  "@opentelemetry/instrumentation-aws-sdk": () => require("./bundle_aws-sdk.cjs"),
  "@opentelemetry/instrumentation-http": () => require("./bundle_http.cjs"),
  "@opentelemetry/instrumentation-undici": () => require("./bundle_undici.cjs"),
};
const PACKAGES = {
  "@opentelemetry/api": api,
  "@opentelemetry/context-async-hooks": { AsyncLocalStorageContextManager },
  "@opentelemetry/core": {
    CompositePropagator,
    ExportResultCode,
    RPCType,
    W3CBaggagePropagator,
    W3CTraceContextPropagator,
    getRPCMetadata,
    hrTime,
    hrTimeDuration,
    hrTimeToMilliseconds,
    setRPCMetadata,
    suppressTracing,
  },
  "@opentelemetry/instrumentation": {
    InstrumentationBase,
    InstrumentationNodeModuleDefinition,
    InstrumentationNodeModuleFile,
    isWrapped,
    safeExecuteInTheMiddle,
  },
  "@opentelemetry/resources": { defaultResource, detectResources, envDetector },
  "@opentelemetry/sdk-trace-base": { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator },
};

export function load(name) {
  // Few functions need the exporter, and it is half as large as all other packages together.
  if (name === EXPORTER) return require("./exporter.cjs");
  if (name in LIBRARIES) return LIBRARIES[name]();
  return DATABASE.test(name) ? require("./bundle_databases.cjs").PACKAGES[name] : PACKAGES[name];
}

load.watch = watch;

/// Throws like `require.resolve` if there is no such package.
load.resolve = (name) => {
  const isOther = [EXPORTER, "@opentelemetry/instrumentation/package.json"].includes(name);
  if (isOther || name in PACKAGES || name in LIBRARIES || DATABASE.test(name)) return __filename;
  throw new Error(`Cannot find module '${name}'`);
};
