// Corrects spans that end: masks values in URLs that grant access, such as the signature of a presigned URL, and gives calls the
// stable names of OpenTelemetry's conventions.
//
// Source: OpenTelemetry's semantic conventions, `url.query`.

"use strict";

const { secret_query_parameters: NAMES } = require("../events.json");

const URLS = ["url.full", "url.query", "http.url", "http.target"];
const SECRET = new RegExp(`((?:^|[?&])(?:${NAMES.join("|")})=)[^&#]*`, "gi");
/// Anthropic's client gives the reason another name than the conventions.
const STOP_REASON = "anthropic.message.stop_reason";
const FINISH_REASONS = "gen_ai.response.finish_reasons";

/// Changes the attributes of a span that ends in place.
function correctAttributes(attributes = {}) {
  for (const name of URLS) {
    const value = attributes[name];
    if (typeof value === "string" && value.includes("=")) attributes[name] = value.replace(SECRET, "$1REDACTED");
  }
  const reason = attributes[STOP_REASON];
  if (reason !== undefined) attributes[FINISH_REASONS] ??= [reason];
  return attributes;
}

/// Returns the name, attributes, status and events of a span of a database that ends, or `undefined` for another span.
function databaseCall(span) {
  if (span.attributes?.["db.system.name"] === undefined) return undefined;
  return require("./databases.cjs").describeCall(span);
}

module.exports = { correctAttributes, databaseCall };
