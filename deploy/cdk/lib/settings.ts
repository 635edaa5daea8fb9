// Made of deploy/stack/template.yaml by `cargo xtask stack --write`.

/** Every setting of the stack; what is not said has the template's default. */
export interface Settings {
  // ---- What everybody says ----

  /** Base URL of the backend, for OpenObserve with the organization, as in https://o2.example.com/api/default. */
  readonly endpoint: string;

  /**
   * The backend's credentials - the ARN of a secret in Secrets Manager, or the name of an SSM parameter (SecureString), which begins with a slash. Empty - Headers, or none.
   * @default ""
   */
  readonly secret?: string;

  /**
   * What is subscribed - a log group that exists, as in /aws/lambda/orders; several, with * for anything, as in /aws/lambda/shop-*,/aws/lambda/orders, those of tomorrow too; or * for all of the account in this region. Empty - you subscribe log groups yourself. The groups of this stack are never subscribed.
   * @default ""
   */
  readonly logGroups?: string;

  /**
   * Architecture of the stack's own functions; those that are observed may have another.
   * @default "arm64"
   */
  readonly architecture?: "arm64" | "x86_64";

  // ---- The backend ----

  /**
   * The key under which the credentials stand, where the secret is a JSON object of several.
   * @default ""
   */
  readonly secretKey?: string;

  /**
   * ARN of the KMS key of Secret, where it is a key of your own.
   * @default ""
   */
  readonly secretKmsKeyArn?: string;

  /**
   * ARNs of the secrets and SSM parameters that further destinations in the rules name.
   * @default []
   */
  readonly destinationSecretArns?: readonly string[];

  /**
   * ARNs of the KMS keys of those secrets and parameters, where they are keys of your own.
   * @default []
   */
  readonly destinationSecretKmsKeyArns?: readonly string[];

  /**
   * How long the credentials are kept before they are read again, as in 5m.
   * @default ""
   */
  readonly secretTtl?: string;

  /**
   * Headers of every request, as in authorization=Basic …, for a first try. VISIBLE IN PLAIN TEXT in the console, among the stack's parameters and the function's variables. Put credentials into Secret to keep them out of both.
   * @default ""
   */
  readonly headers?: string;

  /**
   * OpenObserve's stream for traces and logs; empty is default.
   * @default ""
   */
  readonly stream?: string;

  /**
   * What the backend asks of OTLP.
   * @default "openobserve"
   */
  readonly backend?: "openobserve" | "otlp";

  /**
   * Largest request before compression, as in 4MiB.
   * @default ""
   */
  readonly maxRequestBytes?: string;

  /**
   * Most distinct fields of one stream in one request that OpenObserve takes; a lower limit that its answers name is learned.
   * @default "1000"
   */
  readonly maxColumns?: string;

  /**
   * A file of certificate authorities in the package, as in ca.pem (see docs/deploy.md), for a backend whose certificate is from an authority of your own.
   * @default ""
   */
  readonly caFile?: string;

  /**
   * Proxy to the backend alone, as in http://proxy.example.com:3128. Credentials in it are VISIBLE IN PLAIN TEXT in the console.
   * @default ""
   */
  readonly proxy?: string;

  /**
   * Proxy to the backend, where Proxy is empty, and to SQS, Secrets Manager and Systems Manager, for a VPC without endpoints for them. Credentials in it are VISIBLE IN PLAIN TEXT in the console.
   * @default ""
   */
  readonly httpsProxy?: string;

  /**
   * Hosts that httpsProxy does not apply to, separated by commas, such as those of interface endpoints.
   * @default ""
   */
  readonly noProxy?: string;

  // ---- What is collected ----

  /**
   * all sends every line of the log group. telemetry - only OTLP lines and Lambda's own reports and failures; of lines that Lambda cuts, as other exporters' OTLP/JSON of more than 64 KiB, only the first piece. spilled - of functions whose layer sends by itself only what no backend took.
   * @default "all"
   */
  readonly collect?: "all" | "telemetry" | "spilled";

  /**
   * Log groups that logGroups leaves out, separated by commas, with * for anything. The stack's own are always left out.
   * @default []
   */
  readonly excludedLogGroups?: readonly string[];

  /**
   * Whether the stack has a Kinesis stream of its own between the subscriptions and the forwarder, which bundles what many log groups write. It is billed by the hour and by the GB.
   * @default false
   */
  readonly createKinesisStream?: boolean;

  /**
   * ARN of a Kinesis stream that subscriptions write into, to read as well.
   * @default ""
   */
  readonly kinesisStreamArn?: string;

  /**
   * ARN of the KMS key of that stream, or of the stack's own, where it is a key of your own.
   * @default ""
   */
  readonly kinesisKmsKeyArn?: string;

  // ---- How log groups are subscribed ----

  /**
   * Who subscribes one log group, and all of the account - the stack itself, by a filter or an account-level policy, or the subscriber as for patterns and tags.
   * @default "stack"
   */
  readonly subscribeBy?: "stack" | "subscriber";

  /**
   * Tags that log groups must have to be subscribed, separated by commas, as in team=shop. With logGroups empty, all that have them.
   * @default ""
   */
  readonly subscribeTags?: string;

  /**
   * Whether log groups that have one subscription filter of someone else are subscribed beside it.
   * @default false
   */
  readonly subscribeBesideOthers?: boolean;

  /**
   * How often log groups are looked through, where no trail of CloudTrail tells of new ones.
   * @default "rate(1 hour)"
   */
  readonly subscribeSchedule?: string;

  /**
   * Whether the subscriber only says in its log what it would do.
   * @default false
   */
  readonly subscribeDryRun?: boolean;

  /**
   * The subscriber's own log; info has the sums of each run.
   * @default "info"
   */
  readonly subscribeLogLevel?: "error" | "warn" | "info" | "debug";

  // ---- What is made of it ----

  /**
   * Name of an SSM parameter with the rules (TOML), beginning with a slash.
   * @default ""
   */
  readonly rulesParameter?: string;

  /**
   * A file of rules in the package, as in rules.toml (see docs/deploy.md); used where rulesParameter is empty.
   * @default ""
   */
  readonly rulesFile?: string;

  /**
   * Whether the lines of a stack trace become one log record.
   * @default true
   */
  readonly joinStackTraces?: boolean;

  /**
   * Whether START, END and INIT_START lines become log records too.
   * @default "reports"
   */
  readonly platformLogs?: "reports" | "all";

  /**
   * Whether the forwarder writes the span of each invocation, for functions without the layer and the Rust library.
   * @default false
   */
  readonly platformSpans?: boolean;

  /**
   * Whether the phases of an invocation become events of that span, or spans below it.
   * @default "span_events"
   */
  readonly spanMapping?: "span_events" | "child_spans";

  /**
   * What ends that span.
   * @default "runtime_done"
   */
  readonly spanEnd?: "runtime_done" | "report";

  /**
   * legacy also writes the metric names of the older OpenObserve extension.
   * @default "current"
   */
  readonly names?: "current" | "legacy";

  /**
   * How old a record may be for the backend to take it (OpenObserve's ZO_INGEST_ALLOWED_UPTO).
   * @default "5h"
   */
  readonly ingestWindow?: string;

  /**
   * What happens to older records - keep them in the dead-letter queue, send them with the time of now, or drop them.
   * @default "keep"
   */
  readonly oldRecords?: "keep" | "restamp" | "drop";

  /**
   * Whether lines that claim to be OTLP and do not decode go to the dead-letter queue, or only a log record tells of them.
   * @default "dead-letter"
   */
  readonly undecodable?: "dead-letter" | "log";

  /**
   * Which OTLP lines are read that do not begin their log event. With read, whoever gets text into a log can forge telemetry.
   * @default "whole"
   */
  readonly embeddedLines?: "whole" | "read" | "never";

  /**
   * Most spans, data points and log records of the OTLP lines of one log event.
   * @default "50000"
   */
  readonly maxLineItems?: string;

  /**
   * Bytes that an item of an OTLP line has on average at least, once inflated.
   * @default "12"
   */
  readonly leastItemBytes?: string;

  /**
   * Most items of all OTLP lines of one event.
   * @default "250000"
   */
  readonly maxEventItems?: string;

  // ---- How the functions run ----

  /**
   * For functions of which architecture the layer with the extension is published.
   * @default "both"
   */
  readonly layers?: "both" | "arm64" | "x86_64" | "none";

  /**
   * Memory of each function in MB. A number, at least 128, at most 10240.
   * @default 256
   */
  readonly memorySize?: number;

  /**
   * Longest time of an invocation in seconds. A number, at least 60, at most 120.
   * @default 60
   */
  readonly timeout?: number;

  /**
   * Most environments of the forwarder at a time. Empty - no bound but the account's; accounts with a small quota refuse any reservation.
   * @default ""
   */
  readonly reservedConcurrency?: string;

  /**
   * Subnets of your VPC, for a backend that is only reachable there. They need a way to SQS, and to Secrets Manager or SSM where used.
   * @default []
   */
  readonly subnetIds?: readonly string[];

  /**
   * Security groups of the functions in your VPC; needed with subnetIds.
   * @default []
   */
  readonly securityGroupIds?: readonly string[];

  /**
   * The functions' own log.
   * @default "warn"
   */
  readonly logLevel?: "error" | "warn" | "info" | "debug";

  /**
   * The functions' own figures (docs/vitals.md) - emf with four CloudWatch metrics among them, otlp as metrics to the backend, both, or none.
   * @default "emf"
   */
  readonly vitals?: "emf" | "otlp" | "both" | "none";

  /**
   * How long the functions' own logs are kept.
   * @default 14
   */
  readonly logRetentionDays?: 1 | 3 | 5 | 7 | 14 | 30 | 60 | 90 | 120 | 150 | 180 | 365 | 400 | 545 | 731 | 1096 | 1827 | 2192 | 2557 | 2922 | 3288 | 3653;

  /**
   * How long events that no invocation could handle are kept in the on-failure bucket. A number, at least 1.
   * @default 90
   */
  readonly onFailureRetentionDays?: number;

  /**
   * ARN of a KMS key of your own for both queues and the on-failure bucket. Empty - keys that SQS and S3 manage.
   * @default ""
   */
  readonly storageKmsKeyArn?: string;

  // ---- Who is told ----

  /**
   * Whether CloudWatch alarms tell of dead letters, of what waits for long, and of functions that fail (docs/deploy.md has each).
   * @default true
   */
  readonly alarms?: boolean;

  /**
   * ARN of an SNS topic that is told when an alarm begins and ends.
   * @default ""
   */
  readonly alarmTopicArn?: string;

  // ---- Layers of OpenTelemetry's packages ----

  /**
   * For which version of Python a layer of OpenTelemetry's packages is published, for functions that bring none.
   * @default "none"
   */
  readonly pythonLayer?: "none" | "3.10" | "3.11" | "3.12" | "3.13" | "3.14";

  /**
   * Whether a layer of OpenTelemetry's packages is published for Node functions that bring none.
   * @default false
   */
  readonly nodeLayer?: boolean;
}

/** What CloudFormation refuses, by the name of the setting: a text must match the first, or the second says what is wrong. */
export const PATTERNS: { readonly [setting: string]: readonly [RegExp, string] } = {
  endpoint: [new RegExp("^https?://(?!([^/?#]*[.@])?openobserve\\.ai([:/?#]|$)).+$|^https?://[^/?#]+(/[^?#]*)?/api/(?!v1(/|$))[^/?#]+.*$"), "A URL that begins with https:// or http://; of OpenObserve Cloud with the organization, as in https://api.openobserve.ai/api/ORGANIZATION."],
  secret: [new RegExp("^$|^/[a-zA-Z0-9_.\\-/]+$|^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+$"), "The whole ARN of a secret, the name of an SSM parameter that begins with /, or nothing."],
  logGroups: [new RegExp("^$|^(?!/lambda-otlp/)[.\\-_/#*A-Za-z0-9]+(,(?!/lambda-otlp/)[.\\-_/#*A-Za-z0-9]+)*$"), "Names of log groups, with * for anything, separated by commas without spaces; none begins with /lambda-otlp/, where the stack's own are."],
  secretKey: [new RegExp("^[a-zA-Z0-9_.\\-]*$"), "It does not match ^[a-zA-Z0-9_.\\-]*$."],
  secretKmsKeyArn: [new RegExp("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$"), "The ARN of a key (no alias), or nothing."],
  kinesisStreamArn: [new RegExp("^$|^arn:[^:]+:kinesis:[^:]+:[0-9]{12}:stream/.+$"), "The ARN of a stream, or nothing."],
  kinesisKmsKeyArn: [new RegExp("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$"), "The ARN of a key (no alias), or nothing."],
  subscribeSchedule: [new RegExp("^(rate|cron)\\(.+\\)$"), "An expression of EventBridge, as in rate(1 hour)."],
  rulesParameter: [new RegExp("^$|^/[a-zA-Z0-9_.\\-/]+$"), "A name that begins with /, or nothing."],
  reservedConcurrency: [new RegExp("^[0-9]*$"), "It does not match ^[0-9]*$."],
  storageKmsKeyArn: [new RegExp("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$"), "The ARN of a key (no alias), or nothing."],
  alarmTopicArn: [new RegExp("^$|^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$"), "The ARN of a topic, or nothing."],
};

/** The template's outputs, by their names here. */
export const OUTPUTS = {
  /** The layer for functions of architecture arm64. */
  layerArm64Arn: "LayerArm64Arn",
  /** The layer for functions of architecture x86_64. */
  layerX8664Arn: "LayerX8664Arn",
  /** Goes below Properties of a function of architecture arm64 in a template (docs/layer.md says what the wrapper does). */
  functionSnippetArm64: "FunctionSnippetArm64",
  /** The same for a function of architecture x86_64. */
  functionSnippetX8664: "FunctionSnippetX8664",
  /** Says whether everything fits together, and stores and reads back a record of each signal. */
  doctorCommand: "DoctorCommand",
  /** Subscribes a further log group. */
  subscribeCommand: "SubscribeCommand",
  /** Shows what is dead-lettered and why; with --yes it is sent again. */
  redriveCommand: "RedriveCommand",
  /** Shows the events that every attempt failed on; with --yes they are sent again. */
  onFailureCommand: "OnFailureCommand",
  /** The destination for further subscription filters in this account and region, unless there is a KinesisStreamArn. */
  forwarderFunctionArn: "ForwarderFunctionArn",
  /** The destination for further subscription filters, with SubscriptionRoleArn. */
  kinesisStreamArn: "KinesisStreamArn",
  /** The role of subscription filters that write into the stream. */
  subscriptionRoleArn: "SubscriptionRoleArn",
  /** The forwarder's own log. */
  forwarderLogGroup: "ForwarderLogGroup",
  /** Has the log groups looked through now. */
  subscriberCommand: "SubscriberCommand",
  /** The function that takes from the retry queue. */
  redriveFunctionArn: "RedriveFunctionArn",
  /** What the backend did not take and is sent again. */
  retryQueueUrl: "RetryQueueUrl",
  /** What cannot be delivered, each message with its reason. */
  deadLetterQueueUrl: "DeadLetterQueueUrl",
  /** Events that every attempt of the forwarder failed on, whole. */
  onFailureBucket: "OnFailureBucket",
  /** The layer of OpenTelemetry's packages for functions in Python 3.10, beside the layer of their architecture. */
  layerPython310Arn: "LayerPython310Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.11, beside the layer of their architecture. */
  layerPython311Arn: "LayerPython311Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.12, beside the layer of their architecture. */
  layerPython312Arn: "LayerPython312Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.13, beside the layer of their architecture. */
  layerPython313Arn: "LayerPython313Arn",
  /** The layer of OpenTelemetry's packages for functions in Python 3.14, beside the layer of their architecture. */
  layerPython314Arn: "LayerPython314Arn",
  /** The layer of OpenTelemetry's packages for functions in Node, beside the layer of their architecture. */
  layerNodeArn: "LayerNodeArn",
} as const;
