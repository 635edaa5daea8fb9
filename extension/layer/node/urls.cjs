// Masks values in URLs that grant access, such as the signature of a presigned URL.
//
// Source: OpenTelemetry's semantic conventions, `url.query`; exporter/src/handler/trigger/http_request.rs has the same names.

"use strict";

const URLS = ["url.full", "url.query", "http.url", "http.target"];
const NAMES = "AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|access_token|token";
const SECRET = new RegExp(`((?:^|[?&])(?:${NAMES})=)[^&#]*`, "gi");

/// Changes the attributes in place.
function maskUrls(attributes = {}) {
  for (const name of URLS) {
    const value = attributes[name];
    if (typeof value === "string" && value.includes("=")) attributes[name] = value.replace(SECRET, "$1REDACTED");
  }
  return attributes;
}

module.exports = { maskUrls };
