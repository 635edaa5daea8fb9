// Masks values in URLs that grant access, such as the signature of a presigned URL.
//
// Source: OpenTelemetry's semantic conventions, `url.query`.

"use strict";

const { secret_query_parameters: NAMES } = require("../events.json");

const URLS = ["url.full", "url.query", "http.url", "http.target"];
const SECRET = new RegExp(`((?:^|[?&])(?:${NAMES.join("|")})=)[^&#]*`, "gi");

/// Changes the attributes in place.
function maskUrls(attributes = {}) {
  for (const name of URLS) {
    const value = attributes[name];
    if (typeof value === "string" && value.includes("=")) attributes[name] = value.replace(SECRET, "$1REDACTED");
  }
  return attributes;
}

module.exports = { maskUrls };
