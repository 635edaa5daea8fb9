// Masks credentials in texts of telemetry: of URLs, of headers, and of settings in errors. lambda_otlp_secrets.py does the same in
// Python, and `events.json` has the names for both. The library masks the query of an HTTP event by the same names.
//
// Source: OpenTelemetry's semantic conventions, `url.full` and `url.query`.

"use strict";

const { secret_fields: FIELDS, secret_query_parameters: PARAMETERS, secret_words: WORDS } = require("../events.json");

const REDACTED = "REDACTED";
/// User and password of a URL.
const USER = /(:\/\/)(?:[^\s/?#"<>:@]*(:))?[^\s/?#"<>]*@/g;
/// What separates the words of a name.
const SEPARATORS = /[_ -]/g;
const SQUEEZED = [...FIELDS, ...WORDS, "bearer", "basic"].map((name) => name.replace(SEPARATORS, ""));
/// A value that a statement gets elsewhere.
const PLACE = String.raw`(?:\?|\$\d+|%s|%\(\w+\)s|[:@]\w+)(?:[\s,;)]|$)`;
/// What may follow a name: the end of its own quotes.
const END = String.raw`\\?["']?\s*`;
let patterns;

/// Returns the patterns of a query's parameters, also of a query that is the value of another one, and of headers and settings: in
/// quotes, after an equals sign, to the end of a header's line, or a token without a name. The last group of these is the value, which
/// ends the match.
function createPatterns() {
  const quoted = (number) => {
    const before = String.raw`(?:${END}(?::|=>?)\s*b?|\\?["'],\s*b?(?=["'][^"']*[\d ]))`;
    const [same, sameQuote] = [`\\${number}`, `\\${number + 2}`];
    const escaped = String.raw`(\\["'])((?:(?!${same})[\s\S])*)`;
    return String.raw`${before}(?:${escaped}|(["'])((?:\\[\s\S]|(?!${sameQuote})[^\\])*))`;
  };
  const equals = String.raw`${END}=>?\s*(?!${PLACE})((?:(?:bearer|basic|digest|token)\s+)?[^\s,;&"')}\\]+)`;
  const colon = String.raw`${END}:\s*([^\r\n"'\\]+)`;
  const scheme = String.raw`(?:bearer|basic)\s+(?=[\w.~+/=-]*\d)([\w.~+/=-]{8,})`;
  const ofFields = FIELDS.map((name) => name.replaceAll("_", "[_ -]?")).join("|");
  const fields = `(?:${ofFields})(?:${quoted(1)}|${equals}|${colon})|(?:${WORDS.join("|")})(?:${quoted(7)}|${equals})|${scheme}`;
  const parameter = `((?:^|[?&#;]|u0026|%3F|%26)\\s?(?:${PARAMETERS.join("|")})(?:=|%3D))(?!["'])[^&#\\s"<>\\\\]*`;
  return { fields: new RegExp(fields, "gi"), parameter: new RegExp(parameter, "gi") };
}

/// Returns the text without credentials.
function mask(text) {
  patterns ??= createPatterns();
  let masked = text;
  if (text.includes("=") || text.includes("%3")) masked = masked.replace(patterns.parameter, `$1${REDACTED}`);
  if (masked.includes(":") && masked.includes("@")) {
    masked = masked.replace(USER, (_, start, colon) => `${start}${REDACTED}${colon ? `:${REDACTED}` : ""}@`);
  }
  const squeezed = masked.toLowerCase().replace(SEPARATORS, "");
  return SQUEEZED.some((name) => squeezed.includes(name)) ? masked.replace(patterns.fields, maskField) : masked;
}

function maskField(found, ...groups) {
  // The match's place and the text follow the groups.
  const value = groups.slice(0, -2).findLast((group) => group !== undefined);
  return found.slice(0, found.length - value.length) + REDACTED;
}

/// Returns the value of an attribute without credentials.
function maskValue(value) {
  if (typeof value === "string") return mask(value);
  return Array.isArray(value) ? value.map(maskValue) : value;
}

module.exports = { mask, maskValue };
