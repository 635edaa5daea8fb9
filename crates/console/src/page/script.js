"use strict";
// Shows traces that are written into the page, or that arrive as server-sent events. All content is text of others: it only
// becomes text nodes, never markup.

const MAX_SPANS = 60000,
  MAX_RECORDS = 60000,
  MAX_TRACES = 1000,
  MAX_INVOCATIONS = 300,
  INLINE_LOGS = 5;
const PLATFORM = "lambda-otlp/platform",
  INVOCATION_SPAN = "aws.lambda.invocation",
  ID = "faas.invocation_id",
  STACK = "exception.stacktrace";
const pageData = JSON.parse(document.getElementById("data").textContent);
const traces = new Map(),
  invocations = new Map(),
  waiting = new Map(),
  services = new Map();
const open = new Set(),
  closed = new Set();
let chosen = null,
  pending = false,
  counts = { spans: 0, records: 0 },
  dropped = 0,
  parts = 0,
  arrivals = 0,
  follows = true;

// Elements

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "style") for (const [name, text] of Object.entries(value)) made.style.setProperty(name, text);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  return fill(made, ...children);
}
function fill(into, ...children) {
  into.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== "" && child !== false),
  );
  return into;
}
const byId = (id) => document.getElementById(id);

// OTLP/JSON

function plain(value) {
  if (!value) return "";
  if (value.value && typeof value.value === "object") return plain(value.value);
  const [kind, of] = Object.entries(value)[0] || [];
  if (kind === "arrayValue") return (of.values || []).map(plain);
  if (kind === "kvlistValue") return Object.fromEntries((of.values || []).map(({ key, value }) => [key, plain(value)]));
  return of === undefined ? "" : of;
}
const asText = (value) => (typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value));
const fieldsOf = (list) => (list || []).map(({ key, value }) => [key, asText(plain(value))]);
const fieldOf = (list, key) => {
  const found = (list || []).find((attribute) => attribute.key === key);
  return found ? asText(plain(found.value)) : "";
};
// Nanoseconds as milliseconds from a base: a double has too few digits for nanoseconds since 1970.
const BASE = BigInt(pageData.base || 0);
const millisOf = (nanos) => (nanos && nanos !== "0" ? Number(BigInt(nanos) - BASE) / 1e6 : 0);
const clockText = (ms) => {
  const minutes = Math.floor(Math.round(ms) / 60000);
  return `${minutes >= 60 ? Math.floor(minutes / 60) + "h" : ""}${minutes % 60}m${((Math.round(ms) % 60000) / 1000).toFixed(3)}s`;
};
const lengthText = (ms) =>
  ms >= 59999.5
    ? clockText(ms)
    : ms >= 10000
      ? (ms / 1000).toFixed(2) + " s"
      : ms >= 100
        ? ms.toFixed(1) + " ms"
        : ms.toFixed(2) + " ms";
const timeText = (ms) => new Date(Number(BASE / 1000000n) + ms).toISOString().slice(11, 23);

// State

function colour(service) {
  if (!services.has(service)) services.set(service, `var(--s${services.size % 8})`);
  return services.get(service);
}

// The trace to which something is added, so that its drawing is out of date.
function growing(id) {
  let trace = traces.get(id);
  if (!trace) {
    trace = { id, spans: new Map(), records: [], invocations: new Set(), arrival: ++arrivals };
    traces.set(id, trace);
  }
  trace.drawn = null;
  return trace;
}

function add(message) {
  for (const span of message.spans || []) {
    const trace = growing(span.traceId || "");
    if (!trace.spans.has(span.spanId)) counts.spans++;
    trace.spans.set(span.spanId, spanOf(span));
    const invocation = fieldOf(span.attributes, ID);
    if (invocation && !trace.invocations.has(invocation)) {
      trace.invocations.add(invocation);
      trace.records.push(...(waiting.get(invocation) || []));
      waiting.delete(invocation);
    }
  }
  for (const record of message.records || []) {
    counts.records++;
    const log = logOf(record);
    const invocation = fieldOf(record.attributes, ID);
    if (log.traceId) growing(log.traceId).records.push(log);
    else {
      const trace = invocation && [...traces.values()].find((trace) => trace.invocations.has(invocation));
      if (trace) growing(trace.id).records.push(log);
      else if (waiting.has(invocation)) waiting.get(invocation).push(log);
      else waiting.set(invocation, [log]);
    }
  }
  if (message.invocation) {
    invocations.set(message.invocation.id, message.invocation);
    while (invocations.size > MAX_INVOCATIONS) invocations.delete(invocations.keys().next().value);
  }
  bound();
  later();
}

// Forgets everything that arrived.
function clear() {
  traces.clear();
  invocations.clear();
  waiting.clear();
  arrived = [];
  counts = { spans: 0, records: 0 };
  dropped = 0;
  parts = 0;
}

// Forgets the oldest traces, the oldest parts of the only trace, then records without a trace.
function bound() {
  while (traces.size > 1 && (counts.spans > MAX_SPANS || counts.records > MAX_RECORDS || traces.size > MAX_TRACES)) {
    const [id, trace] = traces.entries().next().value;
    counts.spans -= trace.spans.size;
    counts.records -= trace.records.length;
    traces.delete(id);
    dropped++;
    if (chosen === id) chosen = null;
  }
  // A single trace may have more than the page can hold.
  for (const trace of traces.size === 1 ? traces.values() : []) {
    for (const id of trace.spans.keys()) {
      if (counts.spans <= MAX_SPANS) break;
      trace.spans.delete(id);
      counts.spans--;
      parts++;
    }
    const records = trace.records.splice(0, Math.max(0, Math.min(trace.records.length, counts.records - MAX_RECORDS)));
    counts.records -= records.length;
    parts += records.length;
  }
  while (counts.records > MAX_RECORDS && waiting.size) {
    const [id, logs] = waiting.entries().next().value;
    counts.records -= logs.length;
    waiting.delete(id);
  }
}

function spanOf(span) {
  const start = millisOf(span.startTimeUnixNano),
    end = Math.max(start, millisOf(span.endTimeUnixNano));
  const events = (span.events || []).map((event) => ({
    at: millisOf(event.timeUnixNano),
    name: event.name,
    fields: fieldsOf(event.attributes),
  }));
  const error = [...events].reverse().find((event) => event.name === "exception");
  const of = (key) => (error && (error.fields.find((field) => field[0] === key) || [])[1]) || "";
  const failed = span.status && span.status.code === 2;
  const kind = fieldOf(span.attributes, "error.type") || of("exception.type");
  const message = failed ? span.status.message || of("exception.message") : "";
  return {
    id: span.spanId,
    parent: span.parentSpanId || "",
    name: span.name || "",
    target: span.target || "",
    causes: span.causes || [],
    waits: span.waits,
    service: span.service || "unknown",
    scope: span.scope || "",
    start,
    end,
    failed,
    why: !failed ? "" : message.startsWith(kind) ? message || "failed" : kind + (message ? ": " + message : ""),
    kind: ["", "internal", "server", "client", "producer", "consumer"][span.kind] || "",
    fields: fieldsOf(span.attributes),
    events,
    links: (span.links || []).map((link) => ({ trace: link.traceId, span: link.spanId })),
  };
}

function logOf(record) {
  const body = asText(plain(record.body)),
    fields = fieldsOf(record.attributes);
  const time = millisOf(record.timeUnixNano) || millisOf(record.observedTimeUnixNano);
  const report = record.eventName === "platform.report" ? Object.fromEntries(fields) : null;
  return {
    traceId: record.traceId || "",
    span: record.spanId || "",
    service: record.service || "",
    time,
    level: record.severityText || "",
    invocation: fieldOf(record.attributes, ID),
    severity: record.severityNumber >= 17 ? "bad" : record.severityNumber >= 13 ? "warned" : "",
    causes: record.causes || [],
    text: messageOf(body, record.prefix || 0) || fields.map((field) => field.join("=")).join(" "),
    body,
    fields,
    report,
  };
}

// The message after the characters of time, level and request id, which Lambda's runtimes write before it.
const messageOf = (body, prefix) => body.slice(prefix).replace(/\r\n?/g, "\n").trimEnd();

// The rows of a trace, depth first.
function drawn(trace) {
  if (trace.drawn) return trace.drawn;
  const spans = [...trace.spans.values()].sort((a, b) => a.start - b.start);
  const parents = new Map(spans.map((span) => [span.id, span.parent]));
  const moved = new Set();
  // Lambda's span of an invocation is a child of the shorter root span: the picture puts its time around the root.
  for (const span of spans) {
    const root = trace.spans.get(span.parent);
    const isAround = root && root !== span && span.scope === PLATFORM && span.name === INVOCATION_SPAN && !moved.has(root.id);
    if (isAround && (span.start < root.start || span.end > root.end)) {
      parents.set(span.id, parents.get(root.id));
      parents.set(root.id, span.id);
      moved.add(root.id);
    }
  }
  const children = new Map();
  for (const span of spans) {
    const parent = parents.get(span.id);
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(span);
  }
  const logs = new Map();
  const loose = [],
    reports = [];
  // The span of each invocation: the function's own before Lambda's.
  const homes = new Map();
  for (const span of spans) {
    const id = (span.fields.find((field) => field[0] === ID) || [])[1];
    if (id && (!homes.has(id) || homes.get(id).scope === PLATFORM)) homes.set(id, span);
  }
  for (const log of [...trace.records].sort((a, b) => a.time - b.time)) {
    const home = trace.spans.get(log.span) || (log.span ? null : homes.get(log.invocation));
    if (log.report) reports.push(log);
    else if (home) {
      if (!logs.has(home.id)) logs.set(home.id, []);
      logs.get(home.id).push(log);
    } else loose.push(log);
  }
  const rows = [],
    seen = new Set();
  for (const root of [...spans.filter((span) => !trace.spans.has(parents.get(span.id))), ...spans]) {
    const stack = [[root, 0]];
    while (stack.length) {
      const [span, depth] = stack.pop();
      if (seen.has(span.id)) continue;
      seen.add(span.id);
      let covered = span.start,
        own = 0;
      for (const child of children.get(span.id) || []) {
        own += Math.max(0, Math.min(child.start, span.end) - covered);
        covered = Math.max(covered, child.end);
      }
      own += Math.max(0, span.end - covered);
      rows.push({ span, depth, own, logs: logs.get(span.id) || [], text: null });
      for (const child of [...(children.get(span.id) || [])].reverse()) stack.push([child, depth + 1]);
    }
  }
  const start = spans.length ? spans[0].start : trace.records.reduce((first, log) => Math.min(first, log.time), Infinity);
  let end = start;
  for (const span of spans) end = Math.max(end, span.end);
  const rowsOfFunction = rows.filter((row) => row.span.scope !== PLATFORM && !row.span.waits);
  const slowest = rowsOfFunction.length > 1 ? rowsOfFunction.reduce((most, row) => (row.own > most.own ? row : most)) : null;
  // The function's own failures tell more than Lambda's.
  const failures = rows
    .filter((row) => row.span.failed)
    .map((row) => row.span)
    .sort((a, b) => (a.scope === PLATFORM) - (b.scope === PLATFORM));
  trace.drawn = {
    rows,
    loose,
    reports,
    start,
    end,
    length: end - start,
    scale: scaleOf(spans, start, end),
    slowest,
    failures,
    parents,
    children,
    name: nameOf(trace, rows),
    text: null,
  };
  for (const { span, logs } of rows)
    if (span.failed && !span.causes.length) span.causes = logs.findLast((log) => log.causes.length)?.causes || [];
  return trace.drawn;
}

// Points of time and place (0 to 1), between which both grow evenly. Waits of an execution are drawn short.
function scaleOf(spans, start, end) {
  const points = [[start, 0]],
    waits = [];
  let busy = 0,
    covered = start;
  const gaps = [];
  if (spans.some((span) => span.waits)) {
    for (const span of spans.filter((each) => !each.waits)) {
      if (span.start > covered) gaps.push([covered, span.start]);
      busy += Math.max(0, span.end - Math.max(covered, span.start));
      covered = Math.max(covered, span.end);
    }
    if (covered < end) gaps.push([covered, end]);
  }
  let cut = 0;
  const longest = busy / Math.max(pageData.wait_fraction, pageData.all_waits_fraction * gaps.length);
  for (const [from, to] of longest > 0 ? gaps.filter(([from, to]) => to - from > longest) : []) {
    points.push([from, from - start - cut]);
    cut += to - from - longest;
    points.push([to, to - start - cut]);
    waits.push([from, to]);
  }
  points.push([end, end - start - cut]);
  const all = end - start - cut || 1;
  return { points: points.map(([time, place]) => [time, place / all]), waits };
}

// The value of an interpolation between points, of their column `to`, at this value of the other column.
function between(points, value, from, to) {
  const next = points.findIndex((point) => point[from] >= value);
  const [after, before] = [points[next] || points[points.length - 1], points[Math.max(0, next - 1)]];
  const part = next < 1 ? 1 : (value - before[from]) / (after[from] - before[from] || 1);
  return before[to] + (after[to] - before[to]) * part;
}

function nameOf(trace, rows) {
  for (const id of trace.invocations) if (pageData.names?.[id]) return pageData.names[id];
  const root = rows.find((row) => row.span.scope !== PLATFORM) || rows[0];
  return root ? root.span.name : "log records only";
}

// All text of a trace, for the search.
function textOf(trace) {
  const picture = drawn(trace);
  if (picture.text === null) {
    const logs = [...picture.loose, ...picture.reports];
    const parts = [trace.id, ...trace.invocations, ...textsOfLogs(logs), ...picture.rows.map(textOfRow)];
    picture.text = parts.join("\n").toLowerCase();
  }
  return picture.text;
}

const textsOfLogs = (logs) => logs.flatMap((log) => [log.body, log.level, ...log.fields.flat()]);

// All text of a span and its logs, for the search.
function textOfRow(row) {
  if (row.text === null) {
    const { span } = row;
    const parts = [
      span.id,
      span.service,
      span.name,
      span.why,
      ...span.fields.flat(),
      ...span.events.flatMap((event) => [event.name, ...event.fields.flat()]),
      ...textsOfLogs(row.logs),
    ];
    row.text = parts.join("\n").toLowerCase();
  }
  return row.text;
}

const searched = () => byId("search").value.trim().toLowerCase();

// The rows to show: those that match the search with the spans around them, or all but those below a closed span.
function visible(picture, rows, search) {
  const matches = search ? rows.filter((row) => textOfRow(row).includes(search)) : [];
  if (matches.length) {
    const wanted = new Set();
    for (const { span } of matches) for (let id = span.id; id && !wanted.has(id); id = picture.parents.get(id)) wanted.add(id);
    return { rows: rows.filter((row) => wanted.has(row.span.id)), matches };
  }
  const unfolded = [];
  let below = Infinity;
  for (const row of rows) {
    if (row.depth > below) continue;
    below = closed.has(row.span.id) ? row.depth : Infinity;
    unfolded.push(row);
  }
  return { rows: unfolded, matches };
}

// Drawing

function later() {
  if (pending) return;
  pending = true;
  setTimeout(() => {
    pending = false;
    draw();
  }, 120);
}

function selected() {
  const search = searched(),
    failed = byId("failed").checked,
    order = byId("order").value;
  const all = [...traces.values()].filter(
    (trace) => (!failed || drawn(trace).failures.length || hasFailed(trace)) && (!search || textOf(trace).includes(search)),
  );
  all.sort(
    order === "slow"
      ? (a, b) => drawn(b).length - drawn(a).length
      : (a, b) => drawn(b).start - drawn(a).start || b.arrival - a.arrival,
  );
  return all;
}

const hasFailed = (trace) => [...trace.invocations].some((id) => invocations.get(id)?.failed);

function draw() {
  const list = byId("list"),
    all = selected();
  const focused = document.activeElement?.dataset ? document.activeElement.dataset.key : "";
  if (chosen && !traces.has(chosen)) chosen = null;
  if (all.length && (!chosen || follows || !all.some((trace) => trace.id === chosen))) chosen = all[0].id;
  list.replaceChildren(
    ...all.map((trace) => {
      const picture = drawn(trace),
        failed = picture.failures.length > 0 || hasFailed(trace);
      return element(
        "button",
        { "data-key": "t" + trace.id, "aria-current": String(trace.id === chosen), onclick: () => choose(trace.id) },
        element("span", { class: "what" + (failed ? " bad" : "") }, (failed ? "✗ " : "") + picture.name),
        element("span", { class: "n" }, lengthText(picture.length)),
        element(
          "small",
          {},
          `${timeText(picture.start)} · ${count(picture.rows.length, "span")}` +
            (trace.records.length ? ` · ${count(trace.records.length, "log")}` : ""),
        ),
        element("small", { class: "n bad" }, failed && picture.failures.length ? `${picture.failures.length} failed` : ""),
        failed && picture.failures.length ? element("small", { class: "bad why" }, firstLine(picture.failures[0].why)) : null,
      );
    }),
  );
  if (!all.length)
    list.append(
      element(
        "div",
        { class: "empty" },
        traces.size ? "No trace matches." : pageData.live ? "No trace yet: invoke the function." : "The page has no trace.",
      ),
    );
  detail(all.some((trace) => trace.id === chosen) ? traces.get(chosen) : null);
  byId("state").textContent =
    state +
    count(traces.size, "trace") +
    (dropped ? `, ${dropped} older ones forgotten` : "") +
    (parts ? `, ${parts} older spans and records too` : "");
  if (focused) {
    const again = document.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus({ preventScroll: true });
  }
}

const firstLine = (text) => text.split("\n")[0];
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

function choose(id) {
  chosen = id;
  follows = false;
  draw();
}

// What the detail shows: a trace's drawing, in an order, with a search. `null` if it must be made again.
let shown = null;

// Draws the page after a change of what is open or closed in the detail.
function redraw() {
  shown = null;
  draw();
}

function detail(trace) {
  const into = byId("trace");
  if (!trace) {
    shown = null;
    into.replaceChildren();
    return;
  }
  const picture = drawn(trace);
  // Nothing new: what the reader opened stays as it is.
  const slowFirst = byId("slow").checked,
    search = searched();
  if (shown && shown.picture === picture && shown.slowFirst === slowFirst && shown.search === search) return;
  shown = { picture, slowFirst, search };
  const names = [...new Set(picture.rows.map((row) => row.span.service))];
  const ofTrace = [...trace.invocations].map((id) => invocations.get(id)).filter(Boolean);
  const slowestFirst = () => [...picture.rows].sort((a, b) => b.own - a.own).map((row) => ({ ...row, depth: 0 }));
  const all = slowFirst ? slowestFirst() : picture.rows;
  const { rows, matches } = visible(picture, all, search);
  const waited = picture.scale.waits.reduce((sum, [from, to]) => sum + to - from, 0);
  const facts = element(
    "div",
    { class: "facts" },
    element("span", {}, lengthText(picture.length)),
    waited ? element("span", {}, element("i", { class: "wait" }), `${lengthText(waited)} of waits are drawn short`) : null,
    element("span", {}, count(picture.rows.length, "span")),
    element("span", {}, timeText(picture.start)),
    picture.slowest && [
      element("span", {}, "◂ slowest: ", goTo(picture.slowest.span, named(picture.slowest.span))),
      element("span", {}, lengthText(picture.slowest.own) + " of its own"),
    ],
    matches.length ? element("span", { class: "good" }, `${count(matches.length, "span")} with “${search}”`) : null,
  );
  // Lambda's span fails with the function's.
  const told = picture.failures.filter((span) => span.scope !== PLATFORM || picture.failures.length === 1);
  const failures = told
    .slice(0, 5)
    .map((span) => [
      element(
        "div",
        { class: "bad" },
        "✗ ",
        goTo(span, span.service === named(span) ? span.service : `${span.service}: ${named(span)}`),
        `: ${span.why || "failed"}`,
      ),
      causesOf(span, 0),
    ]);
  if (told.length > 5) failures.push(element("div", { class: "bad" }, `… ${count(told.length - 5, "more failed span")}`));
  const reports = picture.reports.map((log) => element("div", { class: "dim" }, reportText(log.report)));
  const tools = element(
    "div",
    { class: "tools" },
    copy("Copy trace id", trace.id),
    ofTrace.map((invocation) => [
      copy("Copy event", invocation.event),
      invocation.number === undefined || !pageData.live ? null : rerun(invocation),
    ]),
  );
  const events = ofTrace.map((invocation) =>
    element(
      "details",
      {},
      element("summary", {}, `Event and result of invocation ${invocation.id}`),
      element("pre", {}, pretty(invocation.event)),
      element("pre", { class: invocation.failed ? "bad" : "" }, pretty(invocation.result || "")),
    ),
  );
  const axis = element(
    "div",
    { class: "axis" },
    element("span", {}, "service and span"),
    element("span", { class: "n" }, "duration"),
    element(
      "div",
      { class: "ticks" },
      [0, 0.25, 0.5, 0.75, 1].map((part) =>
        element(
          "span",
          { style: { left: part * 100 + "%" } },
          lengthText(between(picture.scale.points, part, 1, 0) - picture.start),
        ),
      ),
    ),
  );
  fill(
    into,
    element("h2", { class: picture.failures.length ? "bad" : "" }, picture.name),
    element("div", { class: "facts" }, element("code", {}, trace.id)),
    facts,
    failures,
    reports,
    tools,
    events,
    names.length > 1
      ? element(
          "div",
          { class: "keys" },
          names.map((name) => element("span", {}, element("i", { style: { "--c": colour(name) } }), name)),
        )
      : null,
    axis,
    element(
      "div",
      { role: "list" },
      rows.map((row) => spanRow(row, picture, !slowFirst && !matches.length)),
    ),
    picture.loose.length ? element("h3", {}, "Log records without a span in the trace") : null,
    picture.loose.map((log) => logRow(log, 0, picture.start)),
  );
}

function reportText(report) {
  const number = (key) => report["aws.lambda." + key];
  const parts = [`Lambda: ${Number(number("duration_ms")).toFixed(1)} ms`];
  if (report["error.type"]) parts.unshift(report["error.type"]);
  if (number("billed_duration_ms")) parts.push(`billed ${number("billed_duration_ms")} ms`);
  if (number("max_memory_used_mb")) parts.push(`${number("max_memory_used_mb")} of ${number("memory_size_mb")} MB`);
  if (number("init_duration_ms")) parts.push(`cold start ${Number(number("init_duration_ms")).toFixed(1)} ms`);
  return parts.join(", ");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function copy(label, text) {
  const button = element(
    "button",
    {
      type: "button",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(text);
        } catch {
          const area = element("textarea", {}, text);
          document.body.append(area);
          area.select();
          document.execCommand("copy");
          area.remove();
        }
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = label), 1200);
      },
    },
    label,
  );
  return button;
}

function rerun(invocation) {
  const button = element(
    "button",
    {
      type: "button",
      onclick: async () => {
        button.disabled = true;
        follows = true;
        try {
          const answer = await fetch("rerun", {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ number: invocation.number }),
          });
          button.textContent = answer.ok ? "Run again" : await answer.text();
        } catch {
          button.textContent = "dev has ended";
        }
        button.disabled = false;
      },
    },
    "Run again",
  );
  return button;
}

const named = (span) => (span.target ? `${span.name} ${span.target}` : span.name);

const causesOf = (span, depth) =>
  span.causes.map((cause) => element("div", { class: "below bad", style: { "--d": depth } }, cause));

// A button that opens a span and shows it.
function goTo(span, text) {
  const show = () => {
    for (let id = span.id, left = 10000; id && left--; id = shown.picture.parents.get(id)) closed.delete(id);
    open.add("s" + span.id);
    follows = false;
    byId("search").value = "";
    redraw();
    const row = document.querySelector(`[data-key="s${CSS.escape(span.id)}"]`);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "center" });
  };
  return element("button", { type: "button", class: "go", onclick: show }, text);
}

function spanRow(row, picture, canClose) {
  const { span, depth, logs } = row;
  const below = canClose ? picture.children.get(span.id)?.length : 0;
  const isClosed = closed.has(span.id);
  const place = (time) => Math.min(100, Math.max(0, between(picture.scale.points, time, 0, 1) * 100));
  const from = place(span.start);
  const width = Math.max(0, place(span.end) - from);
  const key = "s" + span.id;
  const head = element(
    "div",
    {
      class: "row",
      role: "button",
      tabindex: "0",
      "data-key": key,
      "aria-expanded": String(open.has(key)),
      title: `${span.service}: ${named(span)}`,
    },
    element(
      "div",
      { class: "name", style: { "margin-left": `min(${depth * 12}px, 45%)`, "--c": colour(span.service) } },
      span.failed ? element("strong", { class: "bad", role: "img", "aria-label": "failed" }, "✗ ") : null,
      below
        ? element(
            "span",
            {
              class: "fold",
              title: isClosed ? "Show the spans below (l)" : "Hide the spans below (h)",
              onclick: (event) => {
                event.stopPropagation();
                fold(span.id, !isClosed);
              },
            },
            isClosed ? "▸ " : "▾ ",
          )
        : null,
      element("b", {}, span.name),
      " ",
      span.target ? [element("span", {}, span.target), " "] : null,
      element("small", {}, isClosed && below ? `${span.service} · spans below are hidden` : span.service),
    ),
    element("div", { class: "n" }, lengthText(span.end - span.start)),
    element(
      "div",
      { class: "track" },
      element("div", { class: "bar", style: { left: from + "%", width: width + "%", "--c": colour(span.service) } }),
      picture.scale.waits
        .filter(([start, end]) => span.start < end && start < span.end)
        .map(([start, end]) => {
          const [left, right] = [place(Math.max(start, span.start)), place(Math.min(end, span.end))];
          const title = `${lengthText(end - start)}, drawn short`;
          return element("div", { class: "wait", title, style: { left: left + "%", width: right - left + "%" } });
        }),
    ),
  );
  const whole = element(
    "div",
    {
      role: "listitem",
      class:
        "span" +
        (span.failed ? " failed" : "") +
        (row === picture.slowest || (picture.slowest && row.span === picture.slowest.span) ? " slowest" : ""),
    },
    head,
  );
  if (span.why)
    whole.append(element("div", { class: "below bad", style: { "--d": depth } }, firstLine(span.why)), ...causesOf(span, depth));
  for (const log of logs.slice(0, INLINE_LOGS)) whole.append(logRow(log, depth, picture.start));
  const toggle = () => {
    // A new trace would hide what the reader opened.
    follows = false;
    open.has(key) ? open.delete(key) : open.add(key);
    head.setAttribute("aria-expanded", String(open.has(key)));
    head.classList.toggle("open", open.has(key));
    const before = whole.querySelector(":scope > .panel");
    if (before) before.remove();
    if (open.has(key)) head.after(panel(span, logs, depth, picture));
  };
  head.addEventListener("click", toggle);
  head.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
    }
  });
  if (open.has(key)) {
    head.classList.add("open");
    head.after(panel(span, logs, depth, picture));
  }
  if (logs.length > INLINE_LOGS)
    whole.append(
      element(
        "div",
        { class: "below dim", style: { "--d": depth } },
        `… ${count(logs.length - INLINE_LOGS, "more log record")}: open the span`,
      ),
    );
  return whole;
}

function fold(id, isClosed) {
  isClosed ? closed.add(id) : closed.delete(id);
  redraw();
}

function table(fields) {
  return element(
    "table",
    { class: "fields" },
    fields.map(([key, value]) => element("tr", {}, element("td", {}, key), element("td", {}, long(value)))),
  );
}

// A long text is folded.
function long(text) {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.length <= 3 && text.length <= 300) return text;
  return element("details", {}, element("summary", {}, lines[0].slice(0, 160)), element("pre", {}, lines.join("\n")));
}

function panel(span, logs, depth, picture) {
  const parts = [
    element(
      "div",
      { class: "dim" },
      [span.service, span.kind, span.scope, `span ${span.id}`, `+${lengthText(span.start - picture.start)}`]
        .filter(Boolean)
        .join(" · "),
    ),
  ];
  if (span.why) parts.push(element("div", { class: "bad" }, long(span.why)));
  const events = span.events.map((event) => {
    const stack = event.fields.find(([key]) => key === STACK);
    const at = element("h3", {}, `${event.name} +${lengthText(Math.max(0, event.at - picture.start))}`);
    return [at, stack ? element("pre", {}, stack[1]) : null, table(event.fields.filter((field) => field !== stack))];
  });
  // The reason of a failure comes before the attributes.
  const fields = span.fields.length ? table(span.fields) : null;
  parts.push(span.failed ? [events, fields] : [fields, events]);
  for (const link of span.links) {
    const there = traces.get(link.trace);
    parts.push(
      element(
        "div",
        {},
        "linked to ",
        there
          ? element("button", { type: "button", onclick: () => choose(link.trace) }, drawn(there).name)
          : `trace ${link.trace}, span ${link.span}`,
      ),
    );
  }
  for (const log of logs.slice(INLINE_LOGS, 1000)) parts.push(logRow(log, 0, picture.start));
  return element("div", { class: "panel", style: { "margin-left": `min(${depth * 12}px, 30%)` } }, parts);
}

function logRow(log, depth, start) {
  const row = element(
    "div",
    {
      class: `below log ${log.severity}`,
      role: "button",
      tabindex: "0",
      "aria-expanded": "false",
      style: { "--d": depth },
    },
    element("span", { class: "n dim" }, (log.time < start ? "−" : "+") + lengthText(Math.abs(log.time - start))),
    element("strong", {}, log.level || "log"),
    element("span", { class: "text" }, firstLine(log.text)),
  );
  const toggle = () => {
    const isOpen = row.classList.toggle("open");
    row.setAttribute("aria-expanded", String(isOpen));
    row.querySelector(".text").textContent = isOpen ? log.text : firstLine(log.text);
    if (isOpen) row.after(element("div", { class: "panel below", style: { "--d": depth } }, table(log.fields)));
    else row.nextSibling.remove();
  };
  row.addEventListener("click", toggle);
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
    }
  });
  return row;
}

// What the page says beside its traces.
function report() {
  const into = byId("report");
  if (pageData.verdict)
    into.append(
      element(
        "p",
        { id: "verdict", class: pageData.verdict.good ? "good" : "bad" },
        element("strong", {}, pageData.verdict.text),
      ),
    );
  for (const section of pageData.sections || []) {
    const isNumber = section.columns.map((column) => column.startsWith("#"));
    const cell = (tag, text, place) => element(tag, { class: isNumber[place] ? "n" : "" }, text);
    into.append(
      element(
        "details",
        {},
        element("summary", {}, section.title),
        section.paragraphs.map((text) => element("p", {}, text)),
        section.rows.length
          ? element(
              "table",
              { class: "report" },
              element(
                "tr",
                {},
                section.columns.map((text, place) => cell("th", text.replace(/^#/, ""), place)),
              ),
              section.rows.map((row) =>
                element(
                  "tr",
                  {},
                  row.map((text, place) => cell("td", text, place)),
                ),
              ),
            )
          : null,
      ),
    );
  }
  if (!into.childNodes.length) into.remove();
}

// Keyboard

function move(steps) {
  const all = selected(),
    at = all.findIndex((trace) => trace.id === chosen);
  const next = all[Math.min(all.length - 1, Math.max(0, at + steps))];
  if (next) {
    choose(next.id);
    const there = document.querySelector('#list [aria-current="true"]');
    if (there) there.scrollIntoView({ block: "nearest" });
  }
}

function moveRow(steps) {
  const rows = [...document.querySelectorAll("#trace .row")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + steps))];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function foldRow(isClosed) {
  const key = document.activeElement.dataset.key || "";
  if (key.startsWith("s") && document.activeElement.classList.contains("row")) fold(key.slice(1), isClosed);
}

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    byId("search").value = "";
    document.activeElement.blur();
    later();
    return;
  }
  if (isTyping) return;
  const action = {
    "/": () => byId("search").focus(),
    n: () => move(1),
    p: () => move(-1),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    f: () => byId("failed").click(),
    s: () => byId("slow").click(),
    h: () => foldRow(true),
    l: () => foldRow(false),
    ArrowDown: () => moveRow(1),
    ArrowUp: () => moveRow(-1),
    ArrowLeft: () => foldRow(true),
    ArrowRight: () => foldRow(false),
    "?": () => byId("keys").toggleAttribute("hidden"),
  }[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});
byId("help").addEventListener("click", () => byId("keys").toggleAttribute("hidden"));
for (const id of ["search", "failed", "order", "slow"]) byId(id).addEventListener("input", later);

// A page with these traces, which needs no server.
byId("save").addEventListener("click", () => {
  const kept = { ...pageData, live: false, messages: arrived };
  const copied = document.implementation.createHTMLDocument("");
  copied.replaceChild(copied.importNode(initial, true), copied.documentElement);
  copied.getElementById("data").textContent = JSON.stringify(kept).replace(/</g, "\\u003c");
  const address = URL.createObjectURL(new Blob(["<!doctype html>\n", copied.documentElement.outerHTML], { type: "text/html" }));
  element("a", { href: address, download: "traces.html" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});

// Arrival

const initial = document.documentElement.cloneNode(true);
let arrived = [],
  state = "";
function take(message) {
  arrived.push(message);
  if (arrived.length > 5000) arrived.shift();
  add(message);
}

report();
for (const message of pageData.messages || []) take(message);
if (pageData.live) {
  const source = new EventSource("events");
  state = "connecting, ";
  source.onopen = () => {
    state = "live, ";
    later();
  };
  source.onerror = () => {
    state = "dev has ended, ";
    later();
  };
  source.onmessage = (event) => take(JSON.parse(event.data));
  // The server begins again with all that it keeps.
  source.addEventListener("begin", clear);
}
draw();
