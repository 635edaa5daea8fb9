// The entry point from which esbuild creates the packages layer (cargo xtask dist --node-layer): one file with the parts of
// OpenTelemetry's packages that the layer uses.

import * as api from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  CompositePropagator,
  ExportResultCode,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
  hrTime,
  hrTimeDuration,
  hrTimeToMilliseconds,
  suppressTracing,
} from "@opentelemetry/core";
import {
  InstrumentationBase,
  InstrumentationNodeModuleDefinition,
  InstrumentationNodeModuleFile,
  isWrapped,
  safeExecuteInTheMiddle,
} from "@opentelemetry/instrumentation";
import { AwsInstrumentation } from "@opentelemetry/instrumentation-aws-sdk";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { defaultResource, detectResources, envDetector } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator } from "@opentelemetry/sdk-trace-base";

const EXPORTER = "@opentelemetry/exporter-trace-otlp-http";
const DATABASE = /^@opentelemetry\/instrumentation-(?:ioredis|mongodb|mysql2|pg|redis)$/;
const PACKAGES = {
  "@opentelemetry/api": api,
  "@opentelemetry/context-async-hooks": { AsyncLocalStorageContextManager },
  "@opentelemetry/core": {
    CompositePropagator,
    ExportResultCode,
    W3CBaggagePropagator,
    W3CTraceContextPropagator,
    hrTime,
    hrTimeDuration,
    hrTimeToMilliseconds,
    suppressTracing,
  },
  "@opentelemetry/instrumentation": {
    InstrumentationBase,
    InstrumentationNodeModuleDefinition,
    InstrumentationNodeModuleFile,
    isWrapped,
    safeExecuteInTheMiddle,
  },
  "@opentelemetry/instrumentation-aws-sdk": { AwsInstrumentation },
  "@opentelemetry/instrumentation-http": { HttpInstrumentation },
  "@opentelemetry/instrumentation-undici": { UndiciInstrumentation },
  "@opentelemetry/resources": { defaultResource, detectResources, envDetector },
  "@opentelemetry/sdk-trace-base": { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator },
};

export function load(name) {
  // Few functions need the exporter, and it is half as large as all other packages together.
  if (name === EXPORTER) return require("./exporter.cjs");
  return DATABASE.test(name) ? require("./bundle_databases.cjs").PACKAGES[name] : PACKAGES[name];
}

/// Throws like `require.resolve` if there is no such package.
load.resolve = (name) => {
  if (name in PACKAGES || DATABASE.test(name) || [EXPORTER, "@opentelemetry/instrumentation/package.json"].includes(name))
    return __filename;
  throw new Error(`Cannot find module '${name}'`);
};
