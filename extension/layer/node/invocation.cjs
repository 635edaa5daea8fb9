// The parent and the attributes of an invocation that do not come from its event.
//
// Source: OpenTelemetry's semantic conventions 1.44, "AWS Lambda"; Lambda API Reference, "Invoke"; @aws/lambda-invoke-store 0.3.

"use strict";

const { headersAt, xray } = require("./events.cjs");

/// Returns the context with the invocation's parent. The event's headers precede the caller's client context, in which Lambda's
/// own context comes last.
function parentOf(api, carrier, { clientContext }) {
  const carriers = [carrier, headersAt(clientContext, ["/custom"]), headersAt(clientContext, ["/w3c"]), stored()];
  const contexts = carriers
    .filter((each) => Object.keys(each).length > 0)
    .map((each) => api.propagation.extract(api.ROOT_CONTEXT, each));
  return contexts.find((context) => isParent(api, context)) ?? contexts[0] ?? api.ROOT_CONTEXT;
}

function isParent(api, context) {
  const span = api.trace.getSpanContext(context);
  return span !== undefined && api.isSpanContextValid(span);
}

/// Returns the headers that the runtime keeps for the running invocation.
function stored() {
  const store = globalThis.awslambda?.InvokeStore;
  const found = { traceparent: store?.getTraceparent?.(), tracestate: store?.getTracestate?.(), baggage: store?.getBaggage?.() };
  return headersAt(found, [""]);
}

/// Returns the attributes of an invocation whose span has this parent.
function attributesOf({ awsRequestId, invokedFunctionArn, tenantId, xRayTraceId }, parent) {
  const { parentId } = xray(xRayTraceId ?? process.env._X_AMZN_TRACE_ID ?? "");
  return {
    "faas.invocation_id": awsRequestId,
    ...ofFunction(invokedFunctionArn),
    ...(tenantId && { "aws.lambda.tenant_id": tenantId }),
    ...(parentId !== undefined && parentId !== parent?.spanId && { "aws.xray.parent_id": parentId }),
  };
}

function ofFunction(arn) {
  // arn:{partition}:lambda:{region}:{account}:function:{name}[:{version or alias}]
  const parts = typeof arn === "string" ? arn.split(":") : [];
  if (parts.length < 6 || parts[0] !== "arn") return {};
  const account = parts[4];
  // An alias may later point to another version, so the running version replaces it.
  if (parts.length > 7) parts[7] = process.env.AWS_LAMBDA_FUNCTION_VERSION || parts[7];
  return {
    "aws.lambda.invoked_arn": arn,
    "cloud.resource_id": parts.join(":"),
    ...(/^\d{12}$/.test(account) && { "cloud.account.id": account }),
  };
}

module.exports = { attributesOf, parentOf };
