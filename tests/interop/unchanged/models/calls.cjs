// Calls models without OpenTelemetry code. Each action of an event is a function of this file.

const { Anthropic } = require("@anthropic-ai/sdk");
const {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} = require("@aws-sdk/client-bedrock-runtime");
const { NodeHttpHandler } = require("@smithy/node-http-handler");
const { AzureOpenAI, OpenAI } = require("openai");

const MODELS = process.env.MODELS;
const MESSAGES = [{ role: "user", content: "geheim-prompt" }];
const CONVERSE = {
  modelId: "anthropic.claude-x",
  messages: [{ role: "user", content: [{ text: "geheim-prompt" }] }],
  inferenceConfig: { maxTokens: 99 },
};
const BODY = JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 99, messages: MESSAGES });
const CHAT = { model: "gpt-x", messages: MESSAGES, max_tokens: 99 };
const CLAUDE = { model: "claude-x", messages: MESSAGES, max_tokens: 99 };

const bedrock = new BedrockRuntimeClient({
  credentials: { accessKeyId: "a", secretAccessKey: "b" },
  endpoint: MODELS,
  maxAttempts: 1,
  region: "eu-west-1",
  // The client's own choice is HTTP/2.
  requestHandler: new NodeHttpHandler(),
});
const openai = new OpenAI({ baseURL: `${MODELS}/v1`, apiKey: "geheim-key", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: MODELS, apiKey: "geheim-key", maxRetries: 0 });

const all = async (stream) => {
  const found = [];
  for await (const each of stream) found.push(each);
  return found;
};

const first = async (stream) => {
  for await (const each of stream) return each;
  return undefined;
};

const text = (bytes) => Buffer.from(bytes).toString();

const ACTIONS = {
  bedrock_converse: async () => (await bedrock.send(new ConverseCommand(CONVERSE))).output,
  bedrock_stream: async () => all((await bedrock.send(new ConverseStreamCommand(CONVERSE))).stream),
  bedrock_stream_left: async () => first((await bedrock.send(new ConverseStreamCommand(CONVERSE))).stream),
  bedrock_stream_unread: async () => typeof (await bedrock.send(new ConverseStreamCommand(CONVERSE))).stream,
  bedrock_invoke: async () =>
    text((await bedrock.send(new InvokeModelCommand({ modelId: "anthropic.claude-x", body: BODY }))).body),
  bedrock_invoke_bytes: async () =>
    text(
      (await bedrock.send(new InvokeModelCommand({ modelId: "anthropic.claude-x", body: new TextEncoder().encode(BODY) }))).body,
    ),
  bedrock_invoke_stream: async () => {
    const { body } = await bedrock.send(new InvokeModelWithResponseStreamCommand({ modelId: "anthropic.claude-x", body: BODY }));
    return (await all(body)).map(({ chunk }) => text(chunk.bytes));
  },
  bedrock_failed: () => bedrock.send(new ConverseCommand({ ...CONVERSE, modelId: "fail" })),
  bedrock_stream_failed: () => bedrock.send(new ConverseStreamCommand({ ...CONVERSE, modelId: "fail" })),
  chat: () => openai.chat.completions.create(CHAT),
  azure_chat: () =>
    new AzureOpenAI({
      endpoint: MODELS,
      apiVersion: "2026-01-01",
      apiKey: "geheim-key",
      maxRetries: 0,
    }).chat.completions.create(CHAT),
  chat_response: async () => (await openai.chat.completions.create(CHAT).asResponse()).json(),
  chat_with_response: async () => {
    const { data, response } = await openai.chat.completions.create(CHAT).withResponse();
    return [data, response.status];
  },
  chat_parsed: async () => (await openai.chat.completions.parse(CHAT)).choices[0].message.parsed,
  chat_stream: async () =>
    all(await openai.chat.completions.create({ ...CHAT, stream: true, stream_options: { include_usage: true } })),
  chat_stream_left: async () => first(await openai.chat.completions.create({ ...CHAT, stream: true })),
  chat_stream_unread: async () => typeof (await openai.chat.completions.create({ ...CHAT, stream: true })),
  chat_stream_halves: async () => {
    const [left, right] = (await openai.chat.completions.create({ ...CHAT, stream: true })).tee();
    return [await all(left), await all(right)];
  },
  chat_helper: async () => (await openai.chat.completions.stream(CHAT).finalChatCompletion()).choices,
  chat_failed: () => openai.chat.completions.create({ ...CHAT, model: "fail" }),
  chat_odd: () => openai.chat.completions.create({ ...CHAT, model: "odd" }),
  chat_odd_stream: async () => all(await openai.chat.completions.create({ ...CHAT, model: "odd", stream: true })),
  responses: async () =>
    (await openai.responses.create({ model: "gpt-x", input: "geheim-prompt", max_output_tokens: 99 })).output_text,
  responses_parsed: async () => (await openai.responses.parse({ model: "gpt-x", input: "geheim-prompt" })).output_text,
  responses_with_response: async () =>
    (await openai.responses.create({ model: "gpt-x", input: "geheim-prompt" }).withResponse()).data.output_text,
  responses_stream: async () => all(await openai.responses.create({ model: "gpt-x", input: "geheim-prompt", stream: true })),
  embeddings: () => openai.embeddings.create({ model: "embed-x", input: "geheim-prompt", encoding_format: "float" }),
  message: () => anthropic.messages.create(CLAUDE),
  message_events: async () => all(await anthropic.messages.create({ ...CLAUDE, stream: true })),
  message_stream: () => anthropic.messages.stream(CLAUDE).finalText(),
  message_events_left: async () => first(await anthropic.messages.create({ ...CLAUDE, stream: true })),
  message_odd: () => anthropic.messages.create({ ...CLAUDE, model: "odd" }),
  message_odd_events: async () => all(await anthropic.messages.create({ ...CLAUDE, model: "odd", stream: true })),
  message_failed: () => anthropic.messages.create({ ...CLAUDE, model: "fail" }),
};

exports.handler = async ({ action }) => {
  try {
    return await ACTIONS[action]();
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
};
