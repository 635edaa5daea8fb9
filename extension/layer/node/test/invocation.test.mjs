// The caller of an invocation, and the attributes of the function.

import assert from "node:assert/strict";
import { test } from "node:test";
import { attributesOf, parentOf } from "../invocation.cjs";

// Mimics OpenTelemetry's API and the W3C propagator.
const api = {
  ROOT_CONTEXT: {},
  propagation: { extract: (_context, carrier) => carrier },
  trace: { getSpanContext: ({ traceparent }) => traceparent && { spanId: traceparent } },
  isSpanContextValid: ({ spanId }) => spanId !== "invalid",
};
const custom = { custom: { Traceparent: "custom" } };
const w3c = { w3c: { traceparent: "w3c", tracestate: "k=v" } };
// The headers of the event, the client context, and the parent.
const CALLERS = {
  "the event": [{ traceparent: "event" }, { ...custom, ...w3c }, "event"],
  "the client context": [{}, { ...custom, ...w3c }, "custom"],
  "Lambda's own context": [{}, w3c, "w3c"],
  "an event without a valid parent": [{ traceparent: "invalid" }, custom, "custom"],
  "no valid parent": [{ traceparent: "invalid" }, { custom: { traceparent: "invalid" } }, "invalid"],
  "no caller": [{}, undefined, undefined],
  "an odd client context": [{ traceparent: "event" }, { custom: [5], w3c: "x" }, "event"],
};

for (const [name, [carrier, clientContext, expected]] of Object.entries(CALLERS)) {
  test(`the parent: ${name}`, () => assert.equal(parentOf(api, carrier, { clientContext }).traceparent, expected));
}

test("the parent: what the runtime stores", () => {
  globalThis.awslambda = { InvokeStore: { getTraceparent: () => "stored" } };
  try {
    assert.equal(parentOf(api, {}, {}).traceparent, "stored");
  } finally {
    delete globalThis.awslambda;
  }
});

const ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop";

test("the running version replaces an alias, and X-Ray's parent is named if it is another one", () => {
  process.env.AWS_LAMBDA_FUNCTION_VERSION = "7";
  const lambda = { awsRequestId: "1", invokedFunctionArn: `${ARN}:live`, xRayTraceId: "Root=1-5-6;Parent=53995c3f42cd8ad8" };
  const expected = {
    "faas.invocation_id": "1",
    "aws.lambda.invoked_arn": `${ARN}:live`,
    "cloud.resource_id": `${ARN}:7`,
    "cloud.account.id": "123456789012",
  };
  try {
    assert.deepEqual(attributesOf(lambda, { spanId: "53995c3f42cd8ad8" }), expected);
    assert.deepEqual(attributesOf({ ...lambda, tenantId: "t" }, undefined), {
      ...expected,
      "aws.lambda.tenant_id": "t",
      "aws.xray.parent_id": "53995c3f42cd8ad8",
    });
  } finally {
    delete process.env.AWS_LAMBDA_FUNCTION_VERSION;
  }
});
