// Describes prompts and answers of models for their spans, if OpenTelemetry's variable asks for them. lambda_otlp_prompts.py does
// the same in Python, and both pass tests/fixtures/prompts.jsonl.
//
// One reading serves Amazon Bedrock, OpenAI and Anthropic, whose requests, answers and events differ in their keys.
//
// Source: OpenTelemetry's semantic conventions, "Spans for generative AI client operations", and the schemas of
// `gen_ai.input.messages`, `gen_ai.output.messages` and `gen_ai.system_instructions`; the references that models.cjs and
// bedrock.cjs name; Amazon Bedrock API Reference, "Converse" and "ConverseStream"; Amazon Bedrock User Guide, "Inference request
// parameters".

"use strict";

/// Number of characters of an attribute that are kept.
const MAX_CHARS = 16384;
/// Number of characters that each part of a message counts in addition to its text.
const PART_OVERHEAD = 64;
/// Number of characters of a name or an id that are kept.
const MAX_NAME = 256;
/// Number of blocks of a stream that are kept.
const MAX_BLOCKS = MAX_CHARS / PART_OVERHEAD;
/// The values of a part that can be long.
const LONG = ["arguments", "content", "response"];
/// Keys of requests and of answers. A model of Amazon Bedrock can have a prompt in place of messages.
const SYSTEM = ["system", "instructions"];
const MESSAGES = ["messages", "input", "prompt", "inputText", "message"];
const REASONS = ["finish_reason", "stop_reason", "stopReason", "completionReason"];
const CALLS = ["tool_use", "server_tool_use", "function_call", "function"];
const RESULTS = ["tool_result", "function_call_output"];
const IDS = ["toolUseId", "tool_use_id", "tool_call_id", "call_id", "id"];
/// Keys of the index of a block in a stream.
const INDEXES = ["contentBlockIndex", "index"];

/// Returns the first value of these names, or `undefined`.
function valueIn(item, ...names) {
  if (typeof item !== "object" || item === null) return undefined;
  const found = names.find((name) => item[name] !== undefined && item[name] !== null);
  return found === undefined ? undefined : item[found];
}

function listOf(items) {
  return Array.isArray(items) ? items : [];
}

function isEmpty(value) {
  return value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}

/// Returns the attributes of a request.
function ofRequest(request) {
  const found = {};
  const system = valueIn(request, ...SYSTEM);
  const messages = valueIn(request, ...MESSAGES);
  if (!isEmpty(system)) found["gen_ai.system_instructions"] = new Space().parts(partsOf(system));
  if (!isEmpty(messages)) {
    const items = typeof messages === "string" ? [{ role: "user", content: messages }] : listOf(messages);
    found["gen_ai.input.messages"] = fitted(items.map(messageOf));
  }
  const kept = Object.entries(found).filter(([, value]) => value.length > 0);
  return Object.fromEntries(kept.map(([name, value]) => [name, JSON.stringify(value)]));
}

/// What a model has answered, in one response or in the events of a stream.
class Answer {
  constructor() {
    /// The messages of a complete response.
    this.complete = [];
    /// The blocks of a stream by choice and index, and the reason of each choice.
    this.blocks = new Map();
    this.reasons = new Map();
  }

  /// Adds a response or an event.
  add(content) {
    const messages = answersOf(valueIn(content, "response") ?? content);
    if (messages.length > 0) {
      this.complete = messages;
      return;
    }
    this.addBlocks(content);
    for (const choice of listOf(valueIn(content, "choices"))) {
      const delta = valueIn(choice, "delta");
      const index = valueIn(choice, "index");
      const number = Number.isInteger(index) ? index : 0;
      this.noteReason(number, choice);
      this.extend(number, "content", { type: "text" }, { key: "content", text: valueIn(delta, "content") });
      this.extend(number, "refusal", { type: "text" }, { key: "content", text: valueIn(delta, "refusal") });
      this.extend(number, "reasoning", { type: "reasoning" }, { key: "content", text: valueIn(delta, "reasoning_content") });
      for (const call of listOf(valueIn(delta, "tool_calls"))) {
        const block = { ...partOf(call), arguments: "" };
        const text = valueIn(valueIn(call, "function"), "arguments");
        this.extend(number, `call ${valueIn(call, "index")}`, block, { key: "arguments", text });
      }
    }
  }

  /// Adds an event of Amazon Bedrock or of Anthropic, which each tell the start of a block, its text and the reason at the end.
  addBlocks(event) {
    const start = valueIn(event, "contentBlockStart");
    const change = valueIn(event, "contentBlockDelta", "delta");
    const index = valueIn(start ?? valueIn(event, "contentBlockDelta") ?? event, ...INDEXES);
    const block = valueIn(event, "content_block") ?? valueIn(start, "start");
    const delta = valueIn(change, "delta") ?? change;
    for (const source of [event, delta, valueIn(event, "messageStop")]) this.noteReason(0, source);
    if (block !== undefined) {
      const started = partOf(block);
      const key = started.type === "tool_call" ? "arguments" : "content";
      if (key in started) this.extend(0, index, { ...started, [key]: "" }, { key, text: "" });
    }
    const text = valueIn(delta, "text") ?? valueIn(event, "outputText");
    const reasoning = valueIn(delta, "thinking") ?? valueIn(valueIn(delta, "reasoningContent"), "text");
    const input = valueIn(delta, "partial_json") ?? valueIn(valueIn(delta, "toolUse"), "input");
    this.extend(0, index, { type: "text" }, { key: "content", text });
    this.extend(0, index, { type: "reasoning" }, { key: "content", text: reasoning });
    this.extend(0, index, { type: "tool_call" }, { key: "arguments", text: input });
  }

  noteReason(number, source) {
    const reason = valueIn(source, ...REASONS);
    if (typeof reason === "string") this.reasons.set(number, reason);
  }

  /// Adds text to the value `key` of a block of a choice. The block is `started` if no event has begun it.
  extend(number, index, started, { key, text }) {
    const place = `${number} ${index}`;
    if (typeof text !== "string" || (!this.blocks.has(place) && this.blocks.size >= MAX_BLOCKS)) return;
    if (!this.blocks.has(place)) this.blocks.set(place, { number, part: { ...started } });
    const { part } = this.blocks.get(place);
    const before = part[key] ?? "";
    // The limit of the attribute holds for each block, so that a long stream needs no memory.
    part[key] = before + text.slice(0, Math.max(0, MAX_CHARS + 1 - before.length));
  }

  attributes() {
    const messages = [...this.complete];
    const blocks = messages.length > 0 ? [] : [...this.blocks.values()];
    for (const choice of new Set(blocks.map(({ number }) => number))) {
      const parts = blocks.filter(({ number }) => number === choice).map(({ part }) => part);
      messages.push({ role: "assistant", parts, finish_reason: this.reasons.get(choice) });
    }
    const fit = fitted(messages);
    return fit.length > 0 ? { "gen_ai.output.messages": JSON.stringify(fit) } : {};
  }
}

/// Returns the messages of a complete response, or none of an event of a stream.
function answersOf(response) {
  const found = [];
  for (const choice of listOf(valueIn(response, "choices", "results", "outputs"))) {
    const message = valueIn(choice, "message");
    const text = valueIn(choice, "outputText", "text");
    if (message !== undefined) found.push({ ...messageOf(message), finish_reason: valueIn(choice, ...REASONS) });
    else if (!isEmpty(text)) found.push(answer(partsOf(text), valueIn(choice, ...REASONS)));
  }
  const output = valueIn(response, "output");
  const said = valueIn(response, ...REASONS, "status");
  const reason = said === "completed" ? "stop" : said;
  const message = valueIn(output, "message");
  const text = valueIn(response, "generation");
  if (message !== undefined) found.push({ ...messageOf(message), finish_reason: reason });
  else if (listOf(output).length > 0) {
    found.push(
      answer(
        output.flatMap((item) => messageOf(item).parts),
        reason,
      ),
    );
  } else if (valueIn(response, "role") && listOf(valueIn(response, "content")).length > 0) {
    found.push({ ...messageOf(response), finish_reason: reason });
  } else if (!isEmpty(text)) found.push(answer(partsOf(text), reason));
  return found;
}

function answer(parts, reason) {
  return { role: "assistant", parts, finish_reason: reason };
}

/// Returns a message with its role and parts. The items of OpenAI's Responses API also are calls of tools and their results.
function messageOf(item) {
  if (typeof item === "string") return { role: "user", parts: partsOf(item) };
  const role = valueIn(item, "role");
  const kind = valueIn(item, "type");
  const content = valueIn(item, "content", "summary");
  if (role === "tool") {
    const result = { type: "tool_call_response", id: valueIn(item, ...IDS), response: responseOf(valueIn(item, "content")) };
    return { role, parts: [result] };
  }
  if (role === undefined && [...CALLS, ...RESULTS].includes(kind)) {
    return { role: RESULTS.includes(kind) ? "tool" : "assistant", parts: [partOf(item)] };
  }
  if (kind === "reasoning") {
    return { role: "assistant", parts: partsOf(content).map((part) => ({ type: kind, content: part.content })) };
  }
  const calls = listOf(valueIn(item, "tool_calls")).map(partOf);
  return { role: String(role ?? "user"), parts: [...partsOf(content), ...calls] };
}

function partsOf(content) {
  return (typeof content === "string" ? [content] : listOf(content)).map(partOf);
}

/// Returns a part of a message. Of images and other files, only the type is kept.
function partOf(block) {
  if (typeof block === "string") return { type: "text", content: block };
  const kind = valueIn(block, "type");
  const call = valueIn(block, "toolUse", "function");
  const result = valueIn(block, "toolResult");
  if (call !== undefined || CALLS.includes(kind)) {
    return {
      type: "tool_call",
      id: valueIn(call ?? block, ...IDS) ?? valueIn(block, ...IDS),
      name: valueIn(call ?? block, "name"),
      arguments: valueIn(call ?? block, "input", "arguments"),
    };
  }
  if (result !== undefined || RESULTS.includes(kind)) {
    const response = responseOf(valueIn(result ?? block, "content", "output"));
    return { type: "tool_call_response", id: valueIn(result ?? block, ...IDS), response };
  }
  const reasoning = valueIn(block, "reasoningContent");
  if (reasoning !== undefined || kind === "thinking") {
    const content = valueIn(valueIn(reasoning, "reasoningText"), "text") ?? valueIn(block, "thinking");
    return { type: "reasoning", content };
  }
  const text = valueIn(block, "text", "refusal");
  if (typeof text === "string") return { type: "text", content: text };
  const [key = "unknown"] = Object.keys(Object(block));
  return { type: String(kind ?? key) };
}

/// Returns the result of a tool: its value, its only text, or its parts.
function responseOf(content) {
  const parts = listOf(content);
  if (parts.length === 0) return content;
  const found = parts.map((part) => valueIn(part, "json") ?? partOf(part));
  return found.length === 1 ? (valueIn(found[0], "content") ?? found[0]) : found;
}

/// Returns as many of the newest messages as fit, of which the oldest is cut.
function fitted(messages) {
  const space = new Space();
  const kept = [];
  for (const message of [...messages].reverse()) {
    if (space.left <= 0) break;
    const parts = space.parts(message.parts);
    if (parts.length > 0) kept.unshift({ ...message, parts });
  }
  return kept;
}

/// The characters that are left for an attribute.
class Space {
  constructor() {
    this.left = MAX_CHARS;
  }

  parts(parts) {
    const kept = [];
    for (const part of parts) {
      if (this.left <= 0) break;
      this.left -= PART_OVERHEAD;
      const named = Object.entries(part).filter(([, value]) => value !== undefined);
      kept.push(Object.fromEntries(named.map(([name, value]) => [name, this.value(name, value)])));
    }
    return kept;
  }

  value(name, value) {
    if (!LONG.includes(name)) return String(value).slice(0, MAX_NAME);
    if (typeof value === "string") return this.text(value);
    const encoded = JSON.stringify(value, (_, each) => (isBytes(each) || typeof each === "bigint" ? "?" : each)) ?? '"?"';
    if (encoded.length > this.left) return this.text(encoded);
    this.left -= encoded.length;
    return JSON.parse(encoded);
  }

  text(text) {
    const left = Math.max(0, this.left);
    this.left -= text.length;
    return text.length <= left ? text : `${text.slice(0, left)}...`;
  }
}

/// Returns `true` for the bytes of a file, also in the form that a buffer has in JSON.
function isBytes(value) {
  return ArrayBuffer.isView(value) || (value?.type === "Buffer" && Array.isArray(value.data));
}

module.exports = { Answer, MAX_CHARS, ofRequest };
