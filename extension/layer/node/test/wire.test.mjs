// Spans are encoded as OTLP, and sent to the extension.

import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { Exporter, encode } from "../wire.cjs";

const resource = { attributes: { "service.name": "shop" }, schemaUrl: "r" };
const scope = { name: "s", version: "1", schemaUrl: "u" };
const ids = { traceId: "000000000000000000000000000000ab", spanId: "00000000000000cd", traceFlags: 1 };
const context = { ...ids, isRemote: true, traceState: { serialize: () => "k=v" } };

function span(attributes, others) {
  return {
    spanContext: () => ids,
    name: "n",
    kind: 2,
    startTime: [1700000000, 5],
    endTime: [1700000000, 999999999],
    status: { code: 0 },
    attributes,
    links: [],
    events: [],
    resource,
    instrumentationScope: scope,
    ...others,
  };
}

const all = {
  spanContext: () => context,
  parentSpanContext: context,
  status: { code: 2, message: "no" },
  droppedAttributesCount: 1,
  events: [{ name: "e", time: [0, 3], attributes: { a: 1 }, droppedAttributesCount: 0 }],
  links: [{ context, attributes: { b: 2 }, droppedAttributesCount: 300 }],
  droppedLinksCount: 2,
};

test("spans are encoded as protobuf", () => {
  assert.equal(
    encode([span({})]).toString("hex"),
    "0a670a180a160a0c736572766963652e6e616d6512060a0473686f7012480a060a0173120131123b0a10000000000000000000000000000000ab120800000000000000cd2a016e30033905002a36fe9c971741ffc9c471fe9c97177a008501010100001a01751a0172",
  );
  assert.equal(
    encode([span({ a: 1 }, all)]).toString("hex"),
    "0ad6010a180a160a0c736572766963652e6e616d6512060a0473686f7012b6010a060a017312013112a8010a10000000000000000000000000000000ab120800000000000000cd1a036b3d76220800000000000000cd2a016e30033905002a36fe9c971741ffc9c471fe9c97174a070a01611202180150015a150903000000000000001201651a070a0161120218016a320a10000000000000000000000000000000ab120800000000000000cd1a036b3d7622070a01621202180228ac02350103000070027a0612026e6f18028501010300001a01751a0172",
  );
});

// Values of attributes, and their bytes.
const VALUES = {
  text: ["é", "0a02c3a9"],
  empty: ["", "0a00"],
  true: [true, "1001"],
  false: [false, "1000"],
  zero: [0, "1800"],
  minus: [-1, "18ffffffffffffffffff01"],
  large: [2 ** 40, "18808080808020"],
  larger: [2 ** 60, "18808080808080808010"],
  least: [-(2 ** 63), "1880808080808080808001"],
  "too large": [2 ** 63, "21000000000000e043"],
  half: [1.5, "21000000000000f83f"],
  list: [["a", 1], "2a090a030a01610a021801"],
  map: [{ n: { m: 2 } }, "32120a100a016e120b32090a070a016d12021802"],
  raw: [Uint8Array.of(1, 2), "3a020102"],
  null: [null, ""],
  undefined: [undefined, ""],
  lone: ["\ud800", "0a03efbfbd"],
};

for (const [name, [value, expected]] of Object.entries(VALUES)) {
  test(`an attribute is encoded: ${name}`, () => {
    const hex = encode([span({ [name]: value })]).toString("hex");
    const length = (expected.length / 2).toString(16).padStart(2, "0");
    assert.equal(hex.split(Buffer.from(name).toString("hex"))[1].slice(0, 4 + expected.length), `12${length}${expected}`);
  });
}

test("spans that cannot be encoded do not affect others", () => {
  const circle = {};
  circle.circle = circle;
  const wrong = [{ startTime: [NaN, 0] }, { endTime: [-1, 0] }, { attributes: { circle } }].map((others) =>
    span({}, { name: "wrong", ...others }),
  );
  assert.deepEqual(encode([...wrong, span({}), wrong[0]]), encode([span({})]));
});

test("a request larger than the first buffer is encoded completely", () => {
  const many = encode(Array.from({ length: 1000 }, (_, number) => span({ number, text: "x".repeat(100) })));
  assert.equal(many.length, 188920);
  assert.ok(many.includes(Buffer.from([0x0a, 6, ...Buffer.from("number"), 0x12, 3, 0x18, 0xe7, 0x07])));
});

// The answers of the extension, the error of each export, the number of requests, and the time limit.
const ANSWERS = {
  accepted: [[200], [undefined], 1],
  "no room at first": [[503, 200], [undefined], 2],
  refused: [[400], ["the extension answered 400"], 1],
  "a closed connection": [["closes"], ["socket hang up"], 1],
  "a closed connection that was used before": [[200, "closes", 200], [undefined, undefined], 3],
  "no answer": [["never"], ["the export timed out"], 1, 100],
};

for (const [name, [answers, expected, requests, timeoutMillis = 5000]] of Object.entries(ANSWERS)) {
  test(`an export ends: ${name}`, async (context) => {
    const bodies = [];
    const server = http.createServer((request, response) => {
      const pieces = [];
      request
        .on("data", (piece) => pieces.push(piece))
        .on("end", () => {
          bodies.push([request.url, request.headers["content-type"], Buffer.concat(pieces)]);
          const answer = answers.shift();
          if (answer === "closes") return response.destroy();
          if (answer === "never") return undefined;
          response.statusCode = answer;
          return response.end("{}");
        });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${server.address().port}/v1/traces`;
    const exporter = new Exporter({ url, timeoutMillis, agent: new http.Agent({ keepAlive: true }) });
    context.after(() => {
      server.closeAllConnections();
      server.close();
      return exporter.shutdown();
    });
    for (const message of expected) {
      const { code, error } = await new Promise((resolve) => exporter.export([span({})], resolve));
      assert.deepEqual([code, error?.message], [message === undefined ? 0 : 1, message]);
      await new Promise(setImmediate);
    }
    assert.deepEqual(bodies, Array(requests).fill(["/v1/traces", "application/x-protobuf", encode([span({})])]));
  });
}

test("an export of a broken span fails", async () => {
  const exporter = new Exporter({ url: "http://127.0.0.1:1/", timeoutMillis: 100, agent: new http.Agent() });
  const { code, error } = await new Promise((resolve) => exporter.export([span({}, { startTime: undefined })], resolve));
  assert.equal(code, 1);
  assert.ok(error instanceof Error);
});
