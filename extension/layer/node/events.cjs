// Describes an invocation by its event: trigger, span name, attributes, the headers with the parent, and messages with links to
// their senders. The description of the sources, and of answers (handler.cjs), is data, which the Rust library and the Python layer read too:
// exporter/events.json. The functions have the same names in all three languages, and the same fixtures: tests/fixtures/triggers.
//
// Source: OpenTelemetry's semantic conventions 1.44, "AWS Lambda", "FaaS spans", "HTTP spans" and "Messaging spans".

"use strict";

const { isUtf8 } = require("node:buffer");
const net = require("node:net");
const description = require("../events.json");

const { answers, limits } = description;
const METHODS = new Set(description.http_methods);
const W3C = ["traceparent", "tracestate", "baggage"];
const OTHER_METHOD = "_OTHER";
// The names in an event of which a state machine's has one.
const OF_STATES = ["Execution", ...description.state_machine.at.map((pointer) => pointer.split("/")[1])];

/// Returns the description of an invocation. `messages` is `undefined` for an event without messages.
function describe(api, event) {
  const described = describeSource(api, event);
  // Few events have one of the names of Step Functions' context object, and the others are not searched.
  if (!isObject(event) || !OF_STATES.some((name) => event[name] !== undefined)) return described;
  const { at: places, when } = description.state_machine;
  const context = ["", ...places].map((pointer) => at(event, pointer)).find((found) => holdsFor(found, when));
  return context ? { ...described, carrier: require("./executions.cjs").stateHeaders(context) } : described;
}

function describeSource(api, event) {
  const found = recognize(event);
  if (found === undefined) return { trigger: "other", attributes: {}, carrier: headersAt(event, description.headers) };
  const { source, subject, records, isAlone } = found;
  const ownHeaders = headersAt(subject, source.headers);
  const attributes = { ...(source.http && http(subject, source.http, ownHeaders)), ...valuesOf(source.attributes, subject) };
  // Where the records have their values.
  const places = source.records;
  if (places?.document !== undefined) Object.assign(attributes, changes(places.document, records));
  const described = places?.system === undefined ? undefined : messages(api, found, event);
  const hasSender = places?.sender_is_parent || (isAlone && described !== undefined);
  return {
    trigger: source.trigger,
    name: nameOfSpan(found, attributes, described?.attributes ?? {}),
    attributes,
    carrier: hasSender ? (sender(api, places, records[0].record) ?? {}) : ownHeaders,
    receivedMs: receivedAt(found),
    messages: described,
  };
}

function nameOfSpan({ source, subject, isAlone }, attributes, attributesOfMessages) {
  const destination = attributesOfMessages["messaging.destination.name"];
  if (isAlone && destination !== undefined) return `process ${destination}`;
  const values = { ...attributes, ...attributesOfMessages };
  return first(source.span_name, (template) => filled(template, subject, values));
}

/// Returns the time at which AWS's service received the request or the oldest message, in milliseconds since the Unix epoch.
function receivedAt({ source, subject, records = [{ record: subject }] }) {
  const times = records.map(({ record }) => first(source.received, (pointer) => milliseconds(at(record, pointer))));
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : known.reduce((oldest, time) => Math.min(oldest, time));
}

/// Returns the source of an event with its records, or `undefined` for an event of no source. The first record, the subject, stands
/// for the others. `isAlone` is `true` if the event is a record without a list.
function recognize(event) {
  const list = [event?.Records, event].find(Array.isArray);
  const subject = list === undefined ? event : list[0];
  if (!isObject(subject)) return undefined;
  const source = description.sources.find(({ when }) => holdsFor(subject, when));
  if (source?.records === undefined) return source && { source, subject };
  const listed = source.records.at === undefined ? undefined : at(event, source.records.at);
  const isListed = typeof listed === "object" && listed !== null;
  let lists;
  // Kafka's records, by their topics and partitions.
  if (isObject(listed)) lists = listed;
  else if (isListed) lists = { "": listed };
  else lists = { "": list ?? [event] };
  const records = Object.entries(lists)
    .filter(([, values]) => Array.isArray(values))
    .flatMap(([key, values]) => values.map((record) => ({ key, record: isObject(record) ? record : {} })));
  const isAlone = list === undefined && !isListed && !source.records.is_event;
  return records.length === 0 ? undefined : { source, subject, records, isAlone };
}

/// Returns `true` if all tests of an alternative hold.
function holdsFor(subject, alternatives) {
  return alternatives.some((tests) => Object.entries(tests).every(([pointer, test]) => holds(at(subject, pointer), test)));
}

function holds(value, test) {
  if (test === "text") return isText(value);
  if (test === "object") return isObject(value);
  if (test === "number") return typeof value === "number";
  return test.one_of.includes(value);
}

function valuesOf(table, subject) {
  return present(Object.fromEntries(Object.entries(table ?? {}).map(([name, place]) => [name, readValue(place, subject)])));
}

/// Returns the value at the first of these pointers that has one, or else a template.
function readValue({ at: pointers, text: template, as: conversion, names }, subject) {
  const value = text(subject, pointers) ?? (template && filled(template, subject, {}));
  if (value === undefined || names !== undefined) return names && named(names, value);
  return conversion === "time" ? time(value) : value;
}

/// Fills the places of a template. Returns `undefined` if one has no value.
function filled(template, subject, attributes) {
  let isWhole = true;
  const result = template.replace(/\{([^}]*)\}/g, (_, place) => {
    const value = placeOf(place, subject, attributes);
    isWhole &&= value !== undefined;
    return value;
  });
  return isWhole ? result : undefined;
}

function placeOf(place, subject, attributes) {
  if (place.startsWith("/")) return text(subject, [place]);
  const { "http.request.method": method, "url.path": path } = attributes;
  if (place === "method") return method === OTHER_METHOD ? "HTTP" : method;
  if (place === "path") return path === undefined ? undefined : pathWithoutIds(path);
  return attributes[place];
}

// HTTP requests

/// Returns the attributes of an HTTP request.
function http(subject, places, headers) {
  const method = text(subject, places.method);
  const isOther = method !== undefined && !METHODS.has(method);
  const wholePath = text(subject, places.path);
  const [path, ...rest] = places.query_in_path && wholePath !== undefined ? wholePath.split("?") : [wholePath];
  const query = text(subject, places.query) ?? (rest.join("?") || queryString(parametersOf(subject, places), places.encoded));
  const { address, port } = hostAndPort(headers.host || text(subject, places.host));
  return present({
    "http.request.method": isOther ? OTHER_METHOD : method,
    "http.request.method_original": isOther ? method : undefined,
    "http.route": text(subject, places.route) ?? routeOfKey(text(subject, places.route_key)),
    "url.scheme": headers["x-forwarded-proto"]?.split(",")[0].trim() || "https",
    "url.path": path || undefined,
    "url.query": query ? require("./secrets.cjs").mask(query) : undefined,
    "network.protocol.version": named(description.protocol_versions, text(subject, places.protocol)),
    "client.address": text(subject, places.client_address) ?? clientOf(headers["x-forwarded-for"]),
    "server.address": address,
    "server.port": portOf(headers["x-forwarded-port"]) ?? port,
    "user_agent.original": text(subject, places.user_agent) ?? (headers["user-agent"] || undefined),
  });
}

/// Returns `/orders/{id}` for `GET /orders/{id}`. `$default` is no route.
function routeOfKey(key) {
  const route = key?.slice(key.indexOf(" ") + 1);
  return route === "$default" || route === "" ? undefined : route;
}

function parametersOf(subject, { query_parameters: pointers = [] }) {
  const found = pointers.map((pointer) => at(subject, pointer)).find((each) => isObject(each) && Object.keys(each).length > 0);
  return Object.entries(found ?? {}).flatMap(([name, values]) => textsOf(values).map((value) => ({ name, value })));
}

/// Joins parameters, sorted by name. API Gateway has decoded them.
function queryString(parameters, isEncoded) {
  const encode = isEncoded ? (value) => value : percentEncoded;
  const byCodePoints = (left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
  return parameters
    .sort(byCodePoints)
    .map(({ name, value }) => `${encode(name)}=${encode(value)}`)
    .join("&");
}

function percentEncoded(value) {
  const isEncoded = (byte) => byte < 0x20 || byte >= 0x7f || description.encoded_in_query.includes(String.fromCharCode(byte));
  return Array.from(Buffer.from(value), (byte) =>
    isEncoded(byte) ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}` : String.fromCharCode(byte),
  ).join("");
}

/// Returns the first valid address of `X-Forwarded-For`.
function clientOf(forwarded) {
  return first(forwarded?.split(",", limits.forwarded_addresses), (entry) => {
    const [, v6, v4, port] = /^(?:\[(.*)\]|([\d.]+)):(\d{1,5})$/.exec(entry.trim()) ?? [];
    const address = portOf(port) === undefined ? entry.trim() : (v6 ?? v4);
    return net.isIP(address) && !address.includes("%") ? address : undefined;
  });
}

function hostAndPort(host) {
  const [, name, digits] = /^(.*):(\d{1,5})$/s.exec(host ?? "") ?? [];
  const port = portOf(digits);
  return port === undefined ? { address: host } : { address: name || undefined, port };
}

function portOf(digits) {
  return /^\d{1,5}$/.test(digits ?? "") && Number(digits) <= 65535 ? Number(digits) : undefined;
}

/// Returns a name of low cardinality for a path: `/orders/{id}` for `/orders/4711`.
function pathWithoutIds(path) {
  const isId = (segment) =>
    /^\d/.test(segment) ||
    (segment.match(/\d/g)?.length ?? 0) >= limits.id_digits ||
    Buffer.byteLength(segment) > limits.segment_bytes;
  return path
    .replace(/^\/+/, "")
    .split("/", limits.name_segments)
    .map((segment) => (isId(segment) ? "/{id}" : `/${segment}`))
    .join("");
}

// Messages and documents

/// Returns the attributes and links of the CONSUMER span.
function messages(api, { source: { records: places }, records, isAlone }, event) {
  const destinations = records.map((each) => destinationOf(places.destination, each, event));
  const destination = shared(destinations);
  const name = destination && nameOfDestination(destination);
  const attributes = present({
    "messaging.system": places.system,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    "messaging.destination.name": name,
    "messaging.batch.message_count": records.length > 1 ? records.length : undefined,
    ...(records.length === 1 && ownAttributes(places, records[0].record)),
  });
  const links = places.sender_is_parent && !isAlone ? [] : linksOf(api, places, records);
  return { source: name ?? (records.length === 1 ? "" : "multiple_sources"), attributes, links };
}

function linksOf(api, places, records) {
  const links = [];
  for (const [number, { record }] of records.entries()) {
    if (links.length >= limits.links || (number >= limits.links && links.length === 0)) break;
    const carrier = sender(api, places, record);
    if (carrier !== undefined) links.push({ context: contextOf(api, carrier), attributes: ownAttributes(places, record) });
  }
  return links;
}

/// Returns the attributes that identify a message. Kafka's records have no id.
function ownAttributes({ id, partition, offset }, record) {
  const integerAt = (pointer) => {
    const value = pointer && at(record, pointer);
    return Number.isInteger(value) ? value : undefined;
  };
  const partitionId = integerAt(partition);
  return present({
    "messaging.message.id": text(record, [id]),
    "messaging.destination.partition.id": partitionId === undefined ? undefined : String(partitionId),
    "messaging.kafka.offset": integerAt(offset),
  });
}

function destinationOf(place, { key, record }, event) {
  if (place?.key !== undefined) return key.split(place.key)[0] || undefined;
  return place?.event === undefined ? text(record, [place?.record]) : text(event, [place.event]);
}

/// Returns `orders` for `arn:aws:sqs:region:account:orders` and for `arn:aws:kinesis:region:account:stream/orders/consumer/a`.
function nameOfDestination(destination) {
  if (!destination.startsWith("arn:")) return destination;
  const resource = destination.split(":").slice(5).join(":");
  return resource.slice(resource.indexOf("/") + 1).split("/")[0] || undefined;
}

/// Returns the attributes of changed documents: values that all share, and all values of a single one.
function changes(places, records) {
  const collection = shared(records.map(({ record }) => text(record, [places.collection])));
  const operation = ({ record }) => named(places.operations, text(record, [places.operation])?.replace(/^s3:/, "").split(":")[0]);
  const value = (pointer) => (records.length === 1 ? text(records[0].record, [pointer]) : undefined);
  const name = value(places.name);
  const changed = value(places.time);
  return present({
    "faas.document.collection": collection && nameOfDestination(collection),
    "faas.document.operation": shared(records.map(operation)),
    "faas.document.name": name && objectName(name),
    "faas.document.time": changed && time(changed),
  });
}

/// Decodes the key of an object, which is form-encoded.
function objectName(key) {
  const plain = key.replaceAll("+", " ");
  const parts = plain
    .split(/(%[0-9a-f]{2})/i)
    .map((part, number) => (number % 2 === 1 ? Buffer.from(part.slice(1), "hex") : Buffer.from(part)));
  return utf8(Buffer.concat(parts)) ?? plain;
}

// Senders

/// Returns the headers of a message's sender: its own, or else those in its body, or else X-Ray's. Returns `undefined` without a
/// valid one.
function sender(api, places, record) {
  const find = (name) => first(places.headers, (pointer) => headerIn(at(record, pointer), name));
  const candidates = [
    () => w3cHeaders(find),
    () => headersOf(places.body, record),
    () => present({ "x-amzn-trace-id": find("AWSTraceHeader") }),
  ];
  return first(candidates, (candidate) => {
    const carrier = candidate();
    return contextOf(api, carrier) === undefined ? undefined : carrier;
  });
}

/// Returns the context of the span that a sender's headers name.
function contextOf(api, carrier) {
  if (carrier["x-amzn-trace-id"] !== undefined) return xrayContext(carrier["x-amzn-trace-id"]);
  const context = carrier.traceparent && api.trace.getSpanContext(api.propagation.extract(api.ROOT_CONTEXT, carrier));
  return context && api.isSpanContextValid(context) ? context : undefined;
}

/// Reads X-Ray's header: the ids of the trace and of the parent segment, and whether X-Ray samples them, if it has decided.
///
/// Source: X-Ray Developer Guide, "Tracing header".
function xray(header) {
  const fields = new Map(
    header.split(";").map((field) => {
      const [name, ...value] = field.split("=");
      return [name.trim(), value.join("=").trim()];
    }),
  );
  const [, seconds = "", random = ""] = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/i.exec(fields.get("Root")) ?? [];
  const [parent = ""] = /^[0-9a-f]{16}$/i.exec(fields.get("Parent")) ?? [];
  return {
    traceId: idOf(seconds + random),
    parentId: idOf(parent),
    isSampled: named({ 0: false, 1: true }, fields.get("Sampled")),
  };
}

/// Returns an id in lower case. An id of zeros is invalid.
const idOf = (digits) => (/[^0]/.test(digits) ? digits.toLowerCase() : undefined);

function xrayContext(header) {
  const { traceId, parentId, isSampled } = xray(header);
  if (traceId === undefined || parentId === undefined) return undefined;
  return { traceId, spanId: parentId, traceFlags: isSampled === false ? 0 : 1, isRemote: true };
}

function headersOf(place = {}, record) {
  if (place.object !== undefined) return headersOfJson(at(record, place.object));
  const body = text(record, [place.text ?? place.base64]);
  return headersOfBody(place.base64 === undefined ? body : decoded(body));
}

function decoded(body) {
  if (
    body === undefined ||
    (body.length / 4) * 3 > limits.body_bytes ||
    body.length % 4 !== 0 ||
    !/^[A-Za-z0-9+/]*={0,2}$/.test(body)
  )
    return undefined;
  const bytes = Buffer.from(body, "base64");
  return utf8(bytes);
}

const utf8 = (bytes) => (isUtf8(bytes) ? bytes.toString() : undefined);

/// Returns W3C's headers in the JSON of a body, also within the envelopes of Amazon SNS and EventBridge.
function headersOfBody(body) {
  // Few messages contain a trace context. The others are not parsed.
  if (body === undefined || !body.includes("traceparent") || Buffer.byteLength(body) > limits.body_bytes) return {};
  let message;
  try {
    message = JSON.parse(body);
  } catch {
    return {};
  }
  if (!isObject(message)) return {};
  const inner = text(message, ["/Message"]);
  const found = [
    () => w3cHeaders((name) => headerIn(message.MessageAttributes, name)),
    () => headersOfBody(inner),
    () => headersOfJson(message.detail),
    () => headersOfJson(message),
  ];
  return (
    first(found, (read) => {
      const headers = read();
      return Object.keys(headers).length > 0 ? headers : undefined;
    }) ?? {}
  );
}

/// Returns W3C's headers in a JSON object: under `headers`, under `_datadog`, or at its top level.
function headersOfJson(value) {
  const place = [value?.headers, value?._datadog, value].find((each) => isObject(each) && each.traceparent !== undefined);
  return w3cHeaders((name) => headerIn(place, name));
}

/// Returns a header in a map, or the last one in Kafka's list of maps. Its value is text, bytes, or an object with one of them.
function headerIn(headers, name) {
  const map = Array.isArray(headers) ? headers.findLast((each) => isObject(each) && each[name] !== undefined) : headers;
  let value = isObject(map) ? map[name] : undefined;
  if (isObject(value)) value = value.stringValue ?? value.Value ?? value.bytes;
  // Lambda writes signed integers.
  if (Array.isArray(value) && value.length <= limits.header_bytes && value.every(Number.isInteger))
    value = utf8(Buffer.from(value));
  return isText(value) && Buffer.byteLength(value) <= limits.header_bytes ? value : undefined;
}

function w3cHeaders(value) {
  return present(Object.fromEntries(W3C.map((name) => [name, value(name)])));
}

/// Returns the headers in these places with names in lower case. The place named first wins.
function headersAt(value, pointers = []) {
  const headers = {};
  for (const place of pointers
    .map((pointer) => at(value, pointer))
    .filter(isObject)
    .reverse()) {
    for (const [name, values] of Object.entries(place)) {
      const texts = textsOf(values);
      if (texts.length > 0) headers[name.toLowerCase()] = texts.join(",");
    }
  }
  return headers;
}

// Values

function at(value, pointer) {
  return pointer
    .split("/")
    .slice(1)
    .reduce((holder, name) => (typeof holder === "object" ? holder?.[name] : undefined), value);
}

/// Returns the first text at these pointers. An empty text counts as none.
function text(value, pointers) {
  return first(pointers, (pointer) => {
    const found = pointer === undefined ? undefined : at(value, pointer);
    return isText(found) ? found : undefined;
  });
}

const textsOf = (values) => (Array.isArray(values) ? values : [values]).filter((value) => typeof value === "string");

/// Returns the value that a table of the description has for a name of the event.
function named(table, name) {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/// Returns the first result that is not `undefined`.
function first(values = [], action) {
  for (const value of values) {
    const result = action(value);
    if (result !== undefined) return result;
  }
  return undefined;
}

/// Returns the value that all have, or `undefined`.
function shared([value, ...others]) {
  return others.every((other) => other === value) ? value : undefined;
}

function present(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/// Returns the milliseconds since the Unix epoch of a number, of digits, or of an RFC 3339 text.
function milliseconds(value) {
  const number = isText(value) && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof number === "string") return unixMs(number);
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

const TIME = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,:](\d+))?(?:[Zz]|([+-]\d\d):?(\d\d))?$/;

/// Returns a time in UTC with milliseconds: `2026-09-21T14:13:20.000Z`.
function time(value) {
  const found = unixMs(value);
  return found === undefined ? undefined : new Date(found).toISOString();
}

function unixMs(value) {
  const [whole, date, clock, fraction = "", hours = "+00", minutes = "00"] = TIME.exec(value.trim()) ?? [];
  if (whole === undefined) return undefined;
  const written = `${date}T${clock}`;
  const parsed = new Date(`${written}.${fraction.padEnd(3, "0").slice(0, 3)}Z`);
  // A date such as February 30 would be another one.
  if (Number.isNaN(parsed.getTime()) || !parsed.toISOString().startsWith(written)) return undefined;
  const offset = Number(hours) * 60 + Number(hours[0] + minutes);
  const utc = parsed.getTime() - offset * 60_000;
  return utc < 0 ? undefined : utc;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string" && value !== "";

module.exports = { answers, at, describe, description, headersAt, holdsFor, milliseconds, readValue, text, xray };
