// The second file that esbuild creates (build.mjs): OpenTelemetry's exporter, for functions that do not export to the extension.

export { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
