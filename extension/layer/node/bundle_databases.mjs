// The third file that esbuild creates (build.mjs): instrumentations of databases. It loads when a function loads one of their
// libraries, and uses the packages of the first file, bundle.mjs.

import { IORedisInstrumentation } from "@opentelemetry/instrumentation-ioredis";
import { MongoDBInstrumentation } from "@opentelemetry/instrumentation-mongodb";
import { MySQL2Instrumentation } from "@opentelemetry/instrumentation-mysql2";
import { PgInstrumentation } from "@opentelemetry/instrumentation-pg";
import { RedisInstrumentation } from "@opentelemetry/instrumentation-redis";

export const PACKAGES = {
  "@opentelemetry/instrumentation-ioredis": { IORedisInstrumentation },
  "@opentelemetry/instrumentation-mongodb": { MongoDBInstrumentation },
  "@opentelemetry/instrumentation-mysql2": { MySQL2Instrumentation },
  "@opentelemetry/instrumentation-pg": { PgInstrumentation },
  "@opentelemetry/instrumentation-redis": { RedisInstrumentation },
};
