// Generated from deploy/stack/template.yaml by `cargo xtask stack --write`.

/** Every setting of the stack. An omitted setting has the template's default. */
export interface Settings {
  // ---- The usual settings ----

  /** Base URL of the backend. For OpenObserve it names the organization, as in https://o2.example.com/api/default. */
  readonly endpoint: string;

  /**
   * The backend's credentials, as the ARN of a secret in Secrets Manager or the name of a SecureString parameter that begins with a slash. Append #KEY to read one key of a secret with a JSON object. Empty - Headers, or no credentials.
   * @default ""
   */
  readonly secret?: string;

  /**
   * The log groups to subscribe - one name, as in /aws/lambda/orders; names and patterns, as in /aws/lambda/shop-*,/aws/lambda/orders, including future log groups; or * for the whole account in this region. Empty - you subscribe log groups yourself. This stack's own log groups are never subscribed.
   * @default ""
   */
  readonly logGroups?: string;

  /**
   * Architecture of the stack's own functions. Your functions may use another.
   * @default "arm64"
   */
  readonly architecture?: "arm64" | "x86_64";

  // ---- The backend ----

  /**
   * ARNs of the secrets and SSM parameters of further destinations. Set it if your rules send to several backends.
   * @default []
   */
  readonly destinationSecretArns?: readonly string[];

  /**
   * ARNs of the customer managed KMS keys that encrypt Secret, destinationSecretArns or the stream of kinesisStreamArn, and of a former storageKmsKeyArn. Set it if you use such keys.
   * @default []
   */
  readonly kmsKeyArns?: readonly string[];

  /**
   * Headers of every request, as in authorization=Basic …, for a first try. VISIBLE IN PLAIN TEXT in the console, among the stack's parameters and the function's variables. Use Secret for credentials.
   * @default ""
   */
  readonly headers?: string;

  /**
   * OpenObserve's stream for traces and logs. Set it to keep a trial or an application apart. Empty - default.
   * @default ""
   */
  readonly stream?: string;

  /**
   * Set otlp for any backend other than OpenObserve.
   * @default "openobserve"
   */
  readonly backend?: "openobserve" | "otlp";

  /**
   * A file with certificate authorities in the package, as in ca.pem (docs/deploy.md). Set it if the backend's certificate is self-signed or from your own authority.
   * @default ""
   */
  readonly caFile?: string;

  /**
   * Proxy for https requests to the backend, SQS, Secrets Manager and Systems Manager. Set it if your VPC has no direct connection to them. Credentials in it are VISIBLE IN PLAIN TEXT in the console.
   * @default ""
   */
  readonly httpsProxy?: string;

  /**
   * Hosts to reach without httpsProxy, separated by commas, such as interface endpoints of the VPC.
   * @default ""
   */
  readonly noProxy?: string;

  // ---- Collected log events ----

  /**
   * The log events to forward. Set telemetry to forward only OTLP lines and Lambda's reports and failures; of lines that Lambda splits, such as other exporters' OTLP/JSON over 64 KiB, only the first part matches. Set spilled for functions in direct mode, to forward only telemetry that no backend accepted.
   * @default "all"
   */
  readonly collect?: "all" | "telemetry" | "spilled";

  /**
   * Log groups that logGroups leaves out, separated by commas, with * for any text.
   * @default []
   */
  readonly excludedLogGroups?: readonly string[];

  /**
   * Set true to create a Kinesis stream between the subscriptions and the forwarder. It bundles the events of many log groups, and AWS bills it by the hour and by the GB.
   * @default false
   */
  readonly createKinesisStream?: boolean;

  /**
   * ARN of an existing Kinesis stream with log events, for the forwarder to read too.
   * @default ""
   */
  readonly kinesisStreamArn?: string;

  // ---- Subscription of log groups ----

  /**
   * Set subscriber if another product already uses the account-level subscription policy, or if the log group of logGroups may be deleted. The subscriber function then subscribes one log group, or the whole account, as it does for patterns and tags.
   * @default "stack"
   */
  readonly subscribeBy?: "stack" | "subscriber";

  /**
   * Tags that log groups must have to be subscribed, separated by commas, as in team=shop. With an empty logGroups, all log groups with these tags are subscribed.
   * @default ""
   */
  readonly subscribeTags?: string;

  /**
   * Set true to subscribe log groups that already have one subscription filter of another system, such as during a migration.
   * @default false
   */
  readonly subscribeBesideOthers?: boolean;

  // ---- Conversion ----

  /**
   * The rules (TOML) to drop, sample, redact or route telemetry, as the name of an SSM parameter that begins with a slash, or as a file in the package, as in rules.toml (docs/deploy.md).
   * @default ""
   */
  readonly rules?: string;

  /**
   * Set all to store START, END and INIT_START lines as log records too.
   * @default "reports"
   */
  readonly platformLogs?: "reports" | "all";

  /**
   * Set true to get a span for each invocation of functions that have neither the layer nor the Rust library.
   * @default false
   */
  readonly platformSpans?: boolean;

  /**
   * Set legacy while your dashboards use the metric names of OpenObserve's older extension. Both sets of names are then written.
   * @default "current"
   */
  readonly names?: "current" | "legacy";

  /**
   * Maximum age of records that OpenObserve accepts. Set it to the value of ZO_INGEST_ALLOWED_UPTO if you changed that.
   * @default "5h"
   */
  readonly ingestWindow?: string;

  /**
   * The fate of older records - keep them in the dead-letter queue, restamp them with the current time, or drop them.
   * @default "keep"
   */
  readonly oldRecords?: "keep" | "restamp" | "drop";

  /**
   * Set log if many lines of another tool look like OTLP and cannot be decoded. The forwarder then drops and counts them instead of keeping them in the dead-letter queue.
   * @default "dead-letter"
   */
  readonly undecodable?: "dead-letter" | "log";

  /**
   * The OTLP lines to read that do not begin their log event. Set read if a logger adds text around them; an attacker who gets text into such a log can then forge telemetry. Set never to read none.
   * @default "whole"
   */
  readonly embeddedLines?: "whole" | "read" | "never";

  // ---- Functions and storage ----

  /**
   * The architectures to publish the layer for. Set none if no function uses the layer.
   * @default "both"
   */
  readonly layers?: "both" | "arm64" | "x86_64" | "none";

  /**
   * Memory of each function in MB. Increase it if the forwarder's invocations take long; CPU time grows with memory. A number, at least 128, at most 10240.
   * @default 256
   */
  readonly memorySize?: number;

  /**
   * Maximum number of forwarder environments. Set it to protect the account's concurrency quota. Accounts with a small quota refuse any reservation.
   * @default ""
   */
  readonly reservedConcurrency?: string;

  /**
   * Subnets of your VPC, for a backend that is only reachable there. They need a route to SQS, and to Secrets Manager or SSM if used.
   * @default []
   */
  readonly subnetIds?: readonly string[];

  /**
   * Security groups of the functions in your VPC. Required with subnetIds.
   * @default []
   */
  readonly securityGroupIds?: readonly string[];

  /**
   * Level of the functions' own logs. Set debug to investigate.
   * @default "warn"
   */
  readonly logLevel?: "error" | "warn" | "info" | "debug";

  /**
   * Destination of the functions' own metrics (docs/vitals.md) - emf for CloudWatch, otlp for the backend, both, or none.
   * @default "emf"
   */
  readonly vitals?: "emf" | "otlp" | "both" | "none";

  /**
   * Number of days to keep the functions' own logs.
   * @default 14
   */
  readonly logRetentionDays?: 1 | 3 | 5 | 7 | 14 | 30 | 60 | 90 | 120 | 150 | 180 | 365 | 400 | 545 | 731 | 1096 | 1827 | 2192 | 2557 | 2922 | 3288 | 3653;

  /**
   * Number of days to keep events in the on-failure bucket. Decrease it if a policy limits the retention of logs. A number, at least 1.
   * @default 90
   */
  readonly onFailureRetentionDays?: number;

  /**
   * ARN of a customer managed KMS key for the queues, the on-failure bucket and the stack's Kinesis stream. Empty - keys that AWS manages.
   * @default ""
   */
  readonly storageKmsKeyArn?: string;

  // ---- Alarms ----

  /**
   * Set false for a stack without CloudWatch alarms, such as a test stack. docs/operations.md describes each alarm.
   * @default true
   */
  readonly alarms?: boolean;

  /**
   * ARN of an SNS topic to notify when an alarm begins and ends.
   * @default ""
   */
  readonly alarmTopicArn?: string;

  // ---- Layers of OpenTelemetry's packages ----

  /**
   * The version of Python to publish a layer of OpenTelemetry's packages for. Set it if your functions do not package them.
   * @default "none"
   */
  readonly pythonLayer?: "none" | "3.10" | "3.11" | "3.12" | "3.13" | "3.14";

  /**
   * Set true to publish a layer of OpenTelemetry's packages for Node functions that do not package them.
   * @default false
   */
  readonly nodeLayer?: boolean;
}

/** Pattern and error message of each restricted setting. */
export const PATTERNS: { readonly [setting: string]: readonly [RegExp, string] } = {
  endpoint: [new RegExp("^https?://(?!([^/?#]*[.@])?openobserve\\.ai([:/?#]|$)).+$|^https?://[^/?#]+(/[^?#]*)?/api/(?!v1(/|$))[^/?#]+.*$"), "A URL that begins with https:// or http://; of OpenObserve Cloud with the organization, as in https://api.openobserve.ai/api/ORGANIZATION."],
  secret: [new RegExp("^$|^/[a-zA-Z0-9_.\\-/]+(#[a-zA-Z0-9_.\\-]+)?$|^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:[^#]+(#[a-zA-Z0-9_.\\-]+)?$"), "The whole ARN of a secret or the name of an SSM parameter that begins with /, each with #KEY for one key of a JSON object; or nothing."],
  logGroups: [new RegExp("^$|^(?!/lambda-otlp/)[.\\-_/#*A-Za-z0-9]+(,(?!/lambda-otlp/)[.\\-_/#*A-Za-z0-9]+)*$"), "Names of log groups, with * for any text, separated by commas without spaces; none begins with /lambda-otlp/, where the stack's own are."],
  kinesisStreamArn: [new RegExp("^$|^arn:[^:]+:kinesis:[^:]+:[0-9]{12}:stream/.+$"), "The ARN of a stream, or nothing."],
  reservedConcurrency: [new RegExp("^[0-9]*$"), "It does not match ^[0-9]*$."],
  storageKmsKeyArn: [new RegExp("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$"), "The ARN of a key (no alias), or nothing."],
  alarmTopicArn: [new RegExp("^$|^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$"), "The ARN of a topic, or nothing."],
};

/** The template's outputs by their names in camel case. */
export const OUTPUTS = {
  /** The layer for functions of architecture arm64. */
  layerArm64Arn: "LayerArm64Arn",
  /** The layer for functions of architecture x86_64. */
  layerX8664Arn: "LayerX8664Arn",
  /** Text for the Properties of an arm64 function in a template (docs/layer.md describes the wrapper). */
  functionSnippetArm64: "FunctionSnippetArm64",
  /** Text for the Properties of an x86_64 function in a template. */
  functionSnippetX8664: "FunctionSnippetX8664",
  /** Command that checks the deployment, and stores and reads a record of each signal. */
  doctorCommand: "DoctorCommand",
  /** Command that subscribes another log group. */
  subscribeCommand: "SubscribeCommand",
  /** Command that shows the dead letters and their reasons. With --yes it sends them again. */
  redriveCommand: "RedriveCommand",
  /** Command that shows the events for which every attempt failed. With --yes it sends them again. */
  onFailureCommand: "OnFailureCommand",
  /** The destination of your own subscription filters in this account and region, unless the output KinesisStreamArn exists. */
  forwarderFunctionArn: "ForwarderFunctionArn",
  /** The destination of your own subscription filters, together with SubscriptionRoleArn. */
  kinesisStreamArn: "KinesisStreamArn",
  /** The role of your own subscription filters. */
  subscriptionRoleArn: "SubscriptionRoleArn",
  /** The forwarder's own log. */
  forwarderLogGroup: "ForwarderLogGroup",
  /** Command that starts a run of the subscriber. */
  subscriberCommand: "SubscriberCommand",
  /** The function that reads the retry queue. */
  redriveFunctionArn: "RedriveFunctionArn",
  /** Queue of telemetry to send again. */
  retryQueueUrl: "RetryQueueUrl",
  /** Queue of undeliverable telemetry, each message with its reason. */
  deadLetterQueueUrl: "DeadLetterQueueUrl",
  /** Bucket with complete events for which every attempt of the forwarder failed. */
  onFailureBucket: "OnFailureBucket",
  /** The layer of OpenTelemetry's packages for functions in Python 3.10, to add to the layer of their architecture. */
  layerPython310Arn: "LayerPython310Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.11, to add to the layer of their architecture. */
  layerPython311Arn: "LayerPython311Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.12, to add to the layer of their architecture. */
  layerPython312Arn: "LayerPython312Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.13, to add to the layer of their architecture. */
  layerPython313Arn: "LayerPython313Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.14, to add to the layer of their architecture. */
  layerPython314Arn: "LayerPython314Arn",
  /** The layer of OpenTelemetry's packages for functions in Node, to add to the layer of their architecture. */
  layerNodeArn: "LayerNodeArn",
} as const;
