// The function of shop.js with a span of its own.

const { trace } = require("@opentelemetry/api");
const { handler } = require("./shop");

exports.handler = async (event) => {
  const span = trace.getTracer("shop").startSpan("order");
  try {
    return await handler(event);
  } finally {
    span.end();
  }
};
