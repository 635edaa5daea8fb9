// A function that passes its event on, in the same way in which it came.

import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { context, propagation } from "@opentelemetry/api";

const [functions, topics, buses] = [new LambdaClient(), new SNSClient(), new EventBridgeClient()];
// The queue is not at its URL.
const queues = new SQSClient({ useQueueUrlAsEndpoint: false });
const QueueUrl = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const TopicArn = "arn:aws:sns:eu-west-1:123456789012:orders";

export async function handler(event) {
  if (event.detail !== undefined) {
    const detail = { order: 7 };
    propagation.inject(context.active(), detail);
    await buses.send(
      new PutEventsCommand({ Entries: [{ Source: "shop", DetailType: "order", Detail: JSON.stringify(detail) }] }),
    );
  } else if (event.Records === undefined) {
    await functions.send(new InvokeCommand({ FunctionName: "next", Payload: JSON.stringify(event) }));
  } else if (event.Records[0].body.includes("Notification")) {
    await topics.send(new PublishCommand({ TopicArn, Message: "order 7" }));
  } else {
    await queues.send(new SendMessageCommand({ QueueUrl, MessageBody: "order 7" }));
  }
}
