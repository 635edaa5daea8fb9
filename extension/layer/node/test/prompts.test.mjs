// Prompts and answers of models on their spans, as in Python. tests/interop has the clients.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { Answer, MAX_CHARS, ofRequest } = require("../prompts.cjs");
const ROWS = fs
  .readFileSync(new URL("../../../../tests/fixtures/prompts.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

function described(request, events) {
  const answer = new Answer();
  for (const event of events) answer.add(event);
  return { ...ofRequest(request), ...answer.attributes() };
}

for (const { name, request, events, expected } of ROWS) {
  test(`messages have the form of the conventions: ${name}`, () => {
    const found = Object.entries(described(request, events)).map(([key, value]) => [key, JSON.parse(value)]);
    assert.deepEqual(Object.fromEntries(found), expected);
  });
}

const LONG = "x".repeat(1_000_000);
const many = (number, item) => Array.from({ length: number }, (_, index) => item(index));
const PARTS = {
  "a long text": [
    { messages: [{ role: "user", content: LONG }], system: LONG },
    [{ output: { message: { content: [{ text: LONG }] } } }],
  ],
  "many messages": [{ messages: many(100_000, (number) => ({ role: "user", content: `question ${number}` })) }, []],
  "many parts": [{ messages: [{ role: "user", content: many(100_000, () => ({ text: "" })) }] }, []],
  "a long argument": [{ messages: [{ role: "assistant", content: [{ type: "tool_use", name: LONG, input: { a: LONG } }] }] }, []],
  "a long stream": [{}, many(1000, () => ({ choices: [{ index: 0, delta: { content: "x".repeat(1000) } }] }))],
  "a stream of many blocks": [
    {},
    many(10_000, (contentBlockIndex) => ({ contentBlockDelta: { delta: { text: "x" }, contentBlockIndex } })),
  ],
};

for (const [name, part] of Object.entries(PARTS)) {
  test(`an attribute has a limit: ${name}`, () => {
    const values = Object.values(described(...part));
    assert.ok(values.length > 0);
    for (const value of values) {
      assert.ok(JSON.parse(value));
      assert.ok(MAX_CHARS / 3 < value.length && value.length < 2 * MAX_CHARS, value.length);
    }
  });
}

test("the newest messages are kept", () => {
  const messages = many(9, (number) => ({ role: "user", content: `${number} ${"y".repeat(6000)}` }));
  const kept = JSON.parse(described({ messages }, [])["gen_ai.input.messages"]);
  const texts = kept.map(({ parts: [{ content }] }) => content);
  assert.deepEqual(
    texts.map((text) => [text[0], text.endsWith("...")]),
    [
      ["6", true],
      ["7", false],
      ["8", false],
    ],
  );
});

test("bytes are left out", () => {
  const image = {
    toolUse: { toolUseId: "t1", name: "draw", input: { image: Buffer.from("secret"), bytes: new Uint8Array([115, 101]) } },
  };
  const content = [image, { image: { source: { bytes: Buffer.from("secret") } } }];
  const found = JSON.stringify(described({ messages: [{ role: "assistant", content }] }, []));
  assert.ok(found.includes('image\\":\\"?') && found.includes('bytes\\":\\"?'), found);
  assert.ok(!found.includes("115"), found);
});
