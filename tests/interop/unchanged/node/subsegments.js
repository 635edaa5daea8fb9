// Functions that trace with X-Ray's SDK and with Powertools, as in their documentation.

const http = require("node:http");

function price() {
  return new Promise((resolve, reject) => {
    const request = http.get(`${process.env.PRICES}/price`, (response) => response.resume().on("end", resolve));
    request.on("error", reject);
  });
}

async function fulfil({ action }) {
  if (action === "fail") throw new RangeError("the order cannot be fulfilled");
  await price();
}

if (process.env._HANDLER.endsWith(".sdk")) {
  const xray = require("aws-xray-sdk-core");
  xray.captureHTTPsGlobal(http);

  exports.sdk = async (event) => {
    await xray.captureAsyncFunc("charge", async (subsegment) => {
      subsegment.addAnnotation("order", event.number);
      subsegment.addMetadata("items", ["tea"], "shop");
      try {
        await fulfil(event);
        subsegment.close();
      } catch (error) {
        subsegment.close(error);
        throw error;
      }
    });
    return { done: event.number };
  };
} else {
  const { Logger } = require("@aws-lambda-powertools/logger");
  const { Metrics, MetricUnit } = require("@aws-lambda-powertools/metrics");
  const { Tracer } = require("@aws-lambda-powertools/tracer");
  const [tracer, logger, metrics] = [new Tracer(), new Logger(), new Metrics({ namespace: "shop" })];

  exports.powertools = async (event, context) => {
    const segment = tracer.getSegment();
    const handler = segment.addNewSubsegment("## powertools");
    tracer.setSegment(handler);
    tracer.annotateColdStart();
    tracer.putAnnotation("order", event.number);
    tracer.putMetadata("items", ["tea"], "shop");
    logger.addContext(context);
    logger.info("the order is charged", { order: event.number });
    metrics.addMetric("OrdersCharged", MetricUnit.Count, 1);
    try {
      await fulfil(event);
    } catch (error) {
      tracer.addErrorAsMetadata(error);
      throw error;
    } finally {
      metrics.publishStoredMetrics();
      handler.close();
      tracer.setSegment(segment);
    }
    return { done: event.number };
  };
}
