// Encodes spans and sends them with the layer's wire.cjs to a server with prepared responses. The argument is the folder of wire.cjs.
// Prints a line for each case.

"use strict";

const http = require("node:http");
const { Exporter, encode } = require(`${process.argv[2]}/wire.cjs`);

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

console.log(`a span: ${encode([span({})]).toString("hex")}`);
const all = {
  spanContext: () => context,
  parentSpanContext: context,
  status: { code: 2, message: "no" },
  droppedAttributesCount: 1,
  events: [{ name: "e", time: [0, 3], attributes: { a: 1 }, droppedAttributesCount: 0 }],
  links: [{ context, attributes: { b: 2 }, droppedAttributesCount: 300 }],
  droppedLinksCount: 2,
};
console.log(`all of it: ${encode([span({ a: 1 }, all)]).toString("hex")}`);
const values = {
  text: "é", empty: "", true: true, false: false, zero: 0, minus: -1, large: 2 ** 40, larger: 2 ** 60, least: -(2 ** 63), tooLarge: 2 ** 63, half: 1.5,
  list: ["a", 1], map: { n: { m: 2 } }, raw: Uint8Array.of(1, 2), null: null, undefined: undefined, lone: "\ud800",
};
for (const [name, value] of Object.entries(values)) {
  const [without, bytes] = [encode([span({})]), encode([span({ [name]: value })])];
  console.log(`${name}: ${bytes.length - without.length} bytes, ${bytes.toString("hex").split(Buffer.from(name).toString("hex"))[1].slice(0, 44)}`);
}
const circle = {};
circle.circle = circle;
const wrong = [{ startTime: [NaN, 0] }, { endTime: [-1, 0] }, { attributes: { circle } }].map((others) => span({}, { name: "wrong", ...others }));
console.log(`beside wrong ones: ${encode([...wrong, span({}), wrong[0]]).equals(encode([span({})]))}`);
const many = encode(Array.from({ length: 1000 }, (_, number) => span({ number, text: "x".repeat(100) })));
console.log(`a thousand: ${many.length} bytes, the last ${many.includes(Buffer.from([0x0a, 6, ...Buffer.from("number"), 0x12, 3, 0x18, 0xe7, 0x07]))}`);

async function sent(name, answers, timeoutMillis = 5000, times = 1) {
  const bodies = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece)).on("end", () => {
      const body = Buffer.concat(pieces);
      bodies.push(`${request.url} ${request.headers["content-type"]} ${body.equals(encode([span({})]))}`);
      const answer = answers.shift();
      if (answer === "closes") return response.destroy();
      if (answer === "never") return undefined;
      response.statusCode = answer;
      return response.end("{}");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/v1/traces`;
  const agent = new http.Agent({ keepAlive: true });
  const exporter = new Exporter({ url, timeoutMillis, agent });
  for (let time = 0; time < times; time += 1) {
    const { code, error } = await new Promise((resolve) => exporter.export([span({})], resolve));
    console.log(`${name}: ${code} ${error?.message ?? ""} [${bodies.join(", ")}]`);
    await new Promise(setImmediate);
  }
  await exporter.shutdown();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

async function main() {
  await sent("accepted", [200]);
  await sent("has no room at first", [503, 200]);
  await sent("refused", [400]);
  await sent("closes", ["closes"]);
  await sent("closes a connection that was used before", [200, "closes", 200], 5000, 2);
  await sent("never answers", ["never"], 100);
  const exporter = new Exporter({ url: "http://127.0.0.1:1/", timeoutMillis: 100, agent: new http.Agent() });
  const broken = span({}, { startTime: undefined });
  const { code, error } = await new Promise((resolve) => exporter.export([broken], resolve));
  console.log(`a broken span: ${code} ${error instanceof Error}`);
}

main();
