// Makes the spans of calls of models by OpenAI's and Anthropic's clients. telemetry.cjs loads this file with the first file of
// one of them.
//
// Both clients send each request with their method `post`, which their documentation offers for requests of one's own. A promise
// of its result reads the response when the function asks for it, once, so the spans read nothing themselves.
//
// Source: OpenTelemetry's semantic conventions, "Spans for generative AI client operations"; OpenAI API Reference, "Chat",
// "Responses", "Embeddings"; Anthropic API Reference, "Messages", "Streaming messages".

"use strict";

const { say } = require("./originals.cjs");
const { recordedPrompts } = require("./recorded_prompts.cjs");

/// Number of characters of an error's message that are kept.
const MAX_MESSAGE = 1024;
/// The conventions' error type if there is no better one.
const OTHER = "_OTHER";
const CHAT = "chat";

/// The operations of clients by their names, which are also those of their providers, and by the paths that call a model. `describe`
/// describes a response, or an event of a stream.
const CLIENTS = {
  anthropic: { "/v1/messages": { name: CHAT, describe: ofMessage } },
  openai: {
    "/chat/completions": { name: CHAT, describe: ofCompletion },
    "/embeddings": { name: "embeddings", describe: ofCompletion },
    "/responses": { name: CHAT, describe: ofResponse },
  },
};

/// Parameters of a request that its span has.
const PARAMETERS = {
  "gen_ai.request.max_tokens": ["max_completion_tokens", "max_output_tokens", "max_tokens"],
  "gen_ai.request.temperature": ["temperature"],
  "gen_ai.request.top_k": ["top_k"],
  "gen_ai.request.top_p": ["top_p"],
};

/// Instruments the class of a client, which is one of the exports of a module. `isActive` returns `true` while the layer makes
/// spans.
function instrument(name, exports, api, isActive) {
  const isClient = (each) => typeof each === "function" && Object.hasOwn(each.prototype ?? {}, "post");
  const client = Object.values(exports).find(isClient);
  if (client === undefined) return;
  const { post } = client.prototype;
  const traced = function (path, options, ...others) {
    const call = isActive() ? attemptToDescribe(() => beginCall(api, name, this, path, options)) : undefined;
    if (call === undefined) return post.call(this, path, options, ...others);
    let promise;
    try {
      promise = api.context.with(call.context, () => post.call(this, path, options, ...others));
    } catch (error) {
      call.fail(error);
      throw error;
    }
    attemptToDescribe(() => follow(promise, call));
    return promise;
  };
  for (const key of ["name", "length"]) Object.defineProperty(traced, key, Object.getOwnPropertyDescriptor(post, key));
  Object.defineProperty(client.prototype, "post", {
    ...Object.getOwnPropertyDescriptor(client.prototype, "post"),
    value: traced,
  });
}

/// Starts the span of a request, or returns `undefined` if it calls no model, or has no trace.
function beginCall(api, provider, client, path, options) {
  const operation = CLIENTS[provider][String(path).split("?", 1)[0]];
  if (operation === undefined || api.trace.getSpanContext(api.context.active()) === undefined) return undefined;
  const attributes = {
    "gen_ai.operation.name": operation.name,
    // Microsoft's client is a subclass of OpenAI's with the name of a deployment.
    "gen_ai.provider.name": "deploymentName" in client ? "azure.ai.openai" : provider,
    ...serverOf(client.baseURL),
  };
  const span = api.trace.getTracer("lambda-otlp/models").startSpan(operation.name, { kind: api.SpanKind.CLIENT, attributes });
  const prompts = operation.name === CHAT ? recordedPrompts() : undefined;
  const describe = (given) =>
    attemptToDescribe(() => describeRequest(span, operation.name, objectOf(objectOf(given).body), prompts));
  // Newer versions of OpenAI's client pass a promise.
  if (typeof options?.then === "function") options.then(describe, () => {});
  else describe(options);
  return new Call(api, span, operation.describe, prompts && new prompts.Answer());
}

function describeRequest(span, operationName, body, prompts) {
  if (typeof body.model === "string") {
    span.updateName(`${operationName} ${body.model}`);
    span.setAttribute("gen_ai.request.model", body.model);
  }
  for (const [name, parameters] of Object.entries(PARAMETERS)) {
    const value = parameters.map((parameter) => body[parameter]).find((value) => typeof value === "number");
    if (value !== undefined) span.setAttribute(name, value);
  }
  if (prompts !== undefined) span.setAttributes(prompts.ofRequest(body));
}

function serverOf(url) {
  if (!URL.canParse(String(url))) return {};
  const { hostname, port, protocol } = new URL(String(url));
  return { "server.address": hostname, "server.port": Number(port) || (protocol === "http:" ? 80 : 443) };
}

/// A call of a model, whose span ends once.
class Call {
  constructor(api, span, describe, answer) {
    this.span = span;
    this.describe = describe;
    /// What the model answers (prompts.cjs), or `undefined`.
    this.answer = answer;
    this.errorCode = api.SpanStatusCode.ERROR;
    this.context = api.trace.setSpan(api.context.active(), span);
    this.finishReasons = [];
  }

  /// Notes what a response, or an event of a stream, says.
  note(content) {
    attemptToDescribe(() => {
      if (!this.span.isRecording()) return;
      const { finishReasons, ...attributes } = this.describe(objectOf(content));
      for (const [name, value] of Object.entries(attributes)) {
        // Servers other than the client's own answer with anything.
        if (typeof value === (name.startsWith("gen_ai.usage.") ? "number" : "string")) this.span.setAttribute(name, value);
      }
      this.finishReasons.push(...finishReasons.filter((reason) => typeof reason === "string"));
      if (this.finishReasons.length > 0) this.span.setAttribute("gen_ai.response.finish_reasons", [...this.finishReasons]);
      this.answer?.add(content);
    });
  }

  fail(error) {
    attemptToDescribe(() => {
      if (!this.span.isRecording()) return;
      const message = String(error?.message ?? "").slice(0, MAX_MESSAGE);
      if (typeof error?.status === "number") this.span.setAttribute("http.response.status_code", error.status);
      this.span.setAttribute("error.type", error?.constructor?.name || OTHER);
      this.span.setStatus({ code: this.errorCode, message });
    });
    this.end();
  }

  end() {
    if (!this.span.isRecording()) return;
    attemptToDescribe(() => this.answer !== undefined && this.span.setAttributes(this.answer.attributes()));
    attemptToDescribe(() => this.span.end());
  }

  /// Follows a response to its end. Returns the response itself.
  follow(content) {
    if (isStream(content)) attemptToDescribe(() => followStream(content, this));
    else {
      this.note(content);
      this.end();
    }
    return content;
  }
}

/// Methods with which the function, or the client itself, uses a promise of the client.
const USES = ["_thenUnwrap", "asResponse", "catch", "finally", "then", "withResponse"];

/// Follows the promise of a request to the end of its response. The function gets the promise itself, which still reads the
/// response on request. If the function makes no request, it fails as it would without the layer.
function follow(promise, call) {
  const { parseResponse, responsePromise } = promise;
  if (typeof parseResponse !== "function" || typeof responsePromise?.then !== "function") return call.end();
  let isUsed = false;
  for (const name of USES.filter((name) => typeof promise[name] === "function")) {
    const use = promise[name];
    // Newer versions of OpenAI's client pass the response to this method by themselves.
    const isReader = name === "_thenUnwrap" && Object.hasOwn(promise, name);
    const value = function (action, ...others) {
      isUsed = true;
      if (!isReader) return use.call(this, action, ...others);
      return use.call(this, (content, ...rest) => action(call.follow(content), ...rest), ...others);
    };
    Object.defineProperty(promise, name, { value, configurable: true, writable: true });
  }
  promise.parseResponse = function (...values) {
    const parsed = parseResponse.apply(this, values);
    if (typeof parsed?.then !== "function") return call.follow(parsed);
    return parsed.then(
      (content) => call.follow(content),
      (error) => {
        call.fail(error);
        throw error;
      },
    );
  };
  responsePromise.then(
    // The layer ends spans with a status at the end of the invocation, if the function reads no response.
    (answer) => attemptToDescribe(() => call.span.setAttribute("http.response.status_code", answer.response.status)),
    (error) => {
      call.fail(error);
      if (!isUsed) throw error;
    },
  );
}

function isStream(value) {
  return typeof value?.iterator === "function" && typeof value[Symbol.asyncIterator] === "function";
}

/// Follows a stream to its end, or until the function leaves it.
function followStream(stream, call) {
  const iterate = stream.iterator;
  stream.iterator = function (...values) {
    return followed(iterate.apply(this, values), call);
  };
}

async function* followed(iterator, call) {
  try {
    for await (const event of { [Symbol.asyncIterator]: () => iterator }) {
      call.note(event);
      yield event;
    }
  } catch (error) {
    call.fail(error);
    throw error;
  } finally {
    call.end();
  }
}

/// Describes a response of OpenAI's chat completions or embeddings, or a part of a streamed one.
function ofCompletion({ choices, id, model, usage }) {
  const { completion_tokens: output, prompt_tokens: input, prompt_tokens_details: details } = objectOf(usage);
  return {
    "gen_ai.response.id": id,
    "gen_ai.response.model": model,
    "gen_ai.usage.input_tokens": input,
    "gen_ai.usage.output_tokens": output,
    "gen_ai.usage.cache_read.input_tokens": objectOf(details).cached_tokens,
    finishReasons: listOf(choices).map(({ finish_reason: reason }) => reason),
  };
}

/// Describes a response of OpenAI's Responses API. A stream has it in its last event.
function ofResponse(content) {
  const response = content.response === undefined ? content : objectOf(content.response);
  const { input_tokens: input, input_tokens_details: details, output_tokens: output } = objectOf(response.usage);
  return {
    "gen_ai.response.id": response.id,
    "gen_ai.response.model": response.model,
    "gen_ai.usage.input_tokens": input,
    "gen_ai.usage.output_tokens": output,
    "gen_ai.usage.cache_read.input_tokens": objectOf(details).cached_tokens,
    finishReasons: [finishReason(response)],
  };
}

/// Returns the reason of the conventions for which a response of OpenAI ended, or `undefined` if it has not.
function finishReason({ incomplete_details: details, output, status }) {
  if (status === "completed") return listOf(output).some(({ type }) => type === "function_call") ? "tool_calls" : "stop";
  if (status !== "incomplete") return ["cancelled", "failed"].includes(status) ? status : undefined;
  const { reason } = objectOf(details);
  return reason === "max_output_tokens" ? "length" : reason;
}

/// Describes a message of Anthropic, or an event of a streamed one. Anthropic does not count the tokens of its cache as input.
function ofMessage(content) {
  const message = content.type === "message" ? content : objectOf(content.message);
  const usage = objectOf(message.usage ?? content.usage);
  const {
    cache_creation_input_tokens: written,
    cache_read_input_tokens: read,
    input_tokens: input,
    output_tokens: output,
  } = usage;
  const ofCache = [read, written].filter((count) => typeof count === "number").reduce((sum, count) => sum + count, 0);
  return {
    "gen_ai.response.id": message.id,
    "gen_ai.response.model": message.model,
    "gen_ai.usage.input_tokens": typeof input === "number" ? input + ofCache : undefined,
    "gen_ai.usage.output_tokens": output,
    "gen_ai.usage.cache_read.input_tokens": read,
    finishReasons: [message.stop_reason, objectOf(content.delta).stop_reason],
  };
}

function objectOf(value) {
  return typeof value === "object" && value !== null ? value : {};
}

function listOf(value) {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

/// A failure must not reach the function's call.
function attemptToDescribe(action) {
  try {
    return action();
  } catch (error) {
    say(`cannot describe a call of a model, so its span is incomplete: ${error}`);
    return undefined;
  }
}

module.exports = { instrument };
