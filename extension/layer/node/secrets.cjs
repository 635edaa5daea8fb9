// Masks credentials in texts of telemetry: of URLs, of headers, and of settings in errors. lambda_otlp_secrets.py does the same in
// Python, and `events.json` has the names for both. The library masks the query of an HTTP event by the same names.
//
// Source: OpenTelemetry's semantic conventions, `url.full` and `url.query`.

"use strict";

const { secret_query_parameters: PARAMETERS, secret_fields: FIELDS } = require("../events.json");

const REDACTED = "REDACTED";
const NAMES = new Set(PARAMETERS.map((name) => name.toLowerCase()));
/// A parameter of a query. The name of a longer one is no secret's.
const PARAMETER = /((?:^|[?&#;]|u0026)\s?)([\w.%-]{1,64})=[^&#\s"<>\\]*/g;
/// User and password of a URL.
const USER = /(:\/\/)(?:[^\s/?#"<>:@]*(:))?[^\s/?#"<>]*@/g;
let fields;

/// Returns the pattern of headers and settings. The value of a header is the rest of its line.
function patternOfFields() {
  const quote = "\\\\?[\"']?";
  const value = `(${quote}\\s*:\\s*${quote})[^\\r\\n"'\\\\]+|(${quote}\\s*=\\s*${quote})[^\\s,;&"')}\\\\]+`;
  return new RegExp(`(${FIELDS.join("|")})(?:${value})`, "gi");
}

/// Returns the text without credentials.
function mask(text) {
  const hasValue = text.includes("=");
  let masked = hasValue ? text.replace(PARAMETER, maskParameter) : text;
  const hasColon = masked.includes(":");
  if (hasColon && masked.includes("@")) {
    masked = masked.replace(USER, (_, start, colon) => `${start}${REDACTED}${colon ? `:${REDACTED}` : ""}@`);
  }
  if (!hasValue && !hasColon) return masked;
  const lowered = masked.toLowerCase();
  if (!FIELDS.some((name) => lowered.includes(name))) return masked;
  fields ??= patternOfFields();
  return masked.replace(fields, (_, name, colon, equals) => `${name}${colon ?? equals}${REDACTED}`);
}

function maskParameter(found, start, name) {
  return NAMES.has(name.toLowerCase()) ? `${start}${name}=${REDACTED}` : found;
}

/// Returns the value of an attribute without credentials.
function maskValue(value) {
  if (typeof value === "string") return mask(value);
  return Array.isArray(value) ? value.map(maskValue) : value;
}

module.exports = { mask, maskValue };
