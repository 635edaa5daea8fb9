// Describes calls of Amazon Bedrock's runtime. OpenTelemetry's instrumentation of AWS's SDK makes their spans, but a body or a
// response that it cannot read would fail the function's call. aws.cjs loads this file with the first such call.
//
// Source: OpenTelemetry's semantic conventions, "AWS Bedrock"; Amazon Bedrock API Reference, "InvokeModel" and
// "InvokeModelWithResponseStream".

"use strict";

const { recordedPrompts } = require("./recorded_prompts.cjs");

const STREAMS = ["ConverseStream", "InvokeModelWithResponseStream"];
const INVOCATIONS = ["InvokeModel", "InvokeModelWithResponseStream"];
const CALLS = [...STREAMS, ...INVOCATIONS, "Converse"];

/// Returns the name and the attributes of a call's span. `described` is the instrumentation's method.
function requestPreSpanHook(described, request, ...others) {
  const { commandInput: input, commandName } = request;
  if (!CALLS.includes(commandName)) return described(request, ...others);
  const modelId = String(input.modelId ?? "");
  const isStream = STREAMS.includes(commandName);
  // A body of bytes is no text to the instrumentation.
  const commandInput = {
    ...input,
    modelId,
    ...(input.body instanceof Uint8Array && { body: Buffer.from(input.body).toString() }),
  };
  const found = ifReadable(() => described({ ...request, commandInput }, ...others)) ?? {};
  const operation = /embed/i.test(modelId) ? "embeddings" : "chat";
  return {
    isIncoming: false,
    isStream,
    spanName: `${operation} ${modelId}`.trim(),
    ...found,
    ...(INVOCATIONS.includes(commandName) && { spanName: `${operation} ${modelId}`.trim() }),
    spanAttributes: {
      "gen_ai.operation.name": operation,
      "gen_ai.provider.name": "aws.bedrock",
      "gen_ai.system": "aws.bedrock",
      ...(modelId !== "" && { "gen_ai.request.model": modelId }),
      ...found.spanAttributes,
      ...ifReadable(() => promptsOf(commandInput)),
    },
  };
}

/// Returns the attributes of the prompts, if the function asks for them.
function promptsOf({ body, ...input }) {
  return recordedPrompts()?.ofRequest(typeof body === "string" ? JSON.parse(body) : input);
}

/// Reads a response, and returns what replaces it, if anything does.
function responseHook(read, response, span, ...others) {
  const {
    data,
    request: { commandName },
  } = response;
  if (INVOCATIONS.includes(commandName) && data?.body === undefined) return undefined;
  const prompts = recordedPrompts();
  if (commandName === "InvokeModelWithResponseStream") data.body = counted(data.body, span);
  if (prompts !== undefined) recordAnswer(new prompts.Answer(), commandName, data, span);
  return ifReadable(() => read(response, span, ...others));
}

/// Sets the tokens of a stream, which models give in their last events. The instrumentation reads only the first event of some.
async function* counted(stream, span) {
  for await (const event of stream) {
    ifReadable(() => setTokens(span, contentOf(event)));
    yield event;
  }
}

/// Records the answer of a response, or of a stream at its end or when the function leaves it.
function recordAnswer(answer, commandName, data, span) {
  if (commandName === "ConverseStream" && data.stream !== undefined)
    data.stream = answered(answer, data.stream, span, (event) => event);
  else if (commandName === "InvokeModelWithResponseStream") data.body = answered(answer, data.body, span, contentOf);
  else {
    ifReadable(() => answer.add(commandName === "InvokeModel" ? JSON.parse(Buffer.from(data.body).toString()) : data));
    ifReadable(() => span.setAttributes(answer.attributes()));
  }
}

async function* answered(answer, stream, span, read) {
  try {
    for await (const event of stream) {
      ifReadable(() => answer.add(read(event)));
      yield event;
    }
  } finally {
    ifReadable(() => span.setAttributes(answer.attributes()));
  }
}

function contentOf(event) {
  return JSON.parse(Buffer.from(event.chunk.bytes).toString());
}

function setTokens(span, { "amazon-bedrock-invocationMetrics": metrics, usage }) {
  const counts = {
    "gen_ai.usage.input_tokens": metrics?.inputTokenCount ?? usage?.input_tokens,
    "gen_ai.usage.output_tokens": metrics?.outputTokenCount ?? usage?.output_tokens,
  };
  for (const [name, count] of Object.entries(counts)) if (typeof count === "number") span.setAttribute(name, count);
}

/// Ends the span of a stream whose call fails. The instrumentation ends it with the stream, which this call has not.
function endFailed(span, { commandName }) {
  if (STREAMS.includes(commandName)) span.end();
}

/// Returns the result of an action that reads a body, or `undefined` if the body has another form than expected. The span then keeps
/// the facts of the call itself.
function ifReadable(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

module.exports = { endFailed, requestPreSpanHook, responseHook };
