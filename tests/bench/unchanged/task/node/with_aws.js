// Creates a client of the AWS SDK, as most functions do.
const { SQSClient, ListQueuesCommand } = require("@aws-sdk/client-sqs");

const queues = new SQSClient({});

exports.handler = async (event) => ({ done: event.number, isThere: Boolean(queues && ListQueuesCommand) });
