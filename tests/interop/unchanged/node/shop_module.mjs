// The function of shop.js as an ES module, with `fetch`.

import { ListQueuesCommand, SQSClient } from "@aws-sdk/client-sqs";

const queues = new SQSClient({});

export async function handler(event) {
  if (event.action === "fail") throw new RangeError("the order cannot be fulfilled");
  await (await fetch(`${process.env.PRICES}/price`)).text();
  await queues.send(new ListQueuesCommand({}));
  if (event.action === "wait") await fetch(`${process.env.PRICES}/never`);
  return { done: event.number };
}
