# Made of deploy/stack/template.yaml by `cargo xtask stack --write`.

# ---- Where the zips are ----

variable "artifact_bucket" {
  description = "The bucket that the zips were copied to, in the region of the stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9.\\-]{3,63}$", var.artifact_bucket))
    error_message = "The name of a bucket."
  }
}

variable "artifact_prefix" {
  description = "What stands before the zips' names in the bucket, as in lambda-otlp/2026-11-21/. Another for each version - CloudFormation sees that names change, and not what is in them."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^.+/$", var.artifact_prefix))
    error_message = "A prefix that ends with /, or nothing."
  }
}

# ---- What everybody says ----

variable "endpoint" {
  description = "Base URL of the backend, for OpenObserve with the organization, as in https://o2.example.com/api/default."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://.+$|^https?://[^/?#]+(/[^?#]*)?/api/[^/?#]+.*$", var.endpoint))
    error_message = "A URL that begins with https:// or http://; of OpenObserve Cloud with the organization, as in https://api.openobserve.ai/api/ORGANIZATION."
  }
}

variable "secret" {
  description = "The backend's credentials - the ARN of a secret in Secrets Manager, or the name of an SSM parameter (SecureString), which begins with a slash. Empty - Headers, or none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^/[a-zA-Z0-9_.\\-/]+$|^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+$", var.secret))
    error_message = "The whole ARN of a secret, the name of an SSM parameter that begins with /, or nothing."
  }
}

variable "log_groups" {
  description = "What is subscribed - a log group that exists, as in /aws/lambda/orders; several, with * for anything, as in /aws/lambda/shop-*,/aws/lambda/orders, those of tomorrow too; or * for all of the account in this region. Empty - you subscribe log groups yourself. The groups of this stack are never subscribed."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^[.\\-_/#*A-Za-z0-9]+(,[.\\-_/#*A-Za-z0-9]+)*$", var.log_groups))
    error_message = "Names of log groups, with * for anything, separated by commas without spaces; none begins with /lambda-otlp/, where the stack's own are."
  }
}

variable "architecture" {
  description = "Architecture of the stack's own functions; those that are observed may have another."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "One of arm64, x86_64."
  }
}

# ---- The backend ----

variable "secret_key" {
  description = "The key under which the credentials stand, where the secret is a JSON object of several."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.\\-]*$", var.secret_key))
    error_message = "It does not match ^[a-zA-Z0-9_.\\-]*$."
  }
}

variable "secret_kms_key_arn" {
  description = "ARN of the KMS key of Secret, where it is a key of your own."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.secret_kms_key_arn))
    error_message = "The ARN of a key (no alias), or nothing."
  }
}

variable "destination_secret_arns" {
  description = "ARNs of the secrets and SSM parameters that further destinations in the rules name."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "destination_secret_kms_key_arns" {
  description = "ARNs of the KMS keys of those secrets and parameters, where they are keys of your own."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "secret_ttl" {
  description = "How long the credentials are kept before they are read again, as in 5m."
  type        = string
  default     = ""
  nullable    = false
}

variable "headers" {
  description = "Headers of every request, as in authorization=Basic …, for a first try. VISIBLE IN PLAIN TEXT in the console, among the stack's parameters and the function's variables. Put credentials into Secret to keep them out of both."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "stream" {
  description = "OpenObserve's stream for traces and logs; empty is default."
  type        = string
  default     = ""
  nullable    = false
}

variable "backend" {
  description = "What the backend asks of OTLP."
  type        = string
  default     = "openobserve"
  nullable    = false

  validation {
    condition     = contains(["openobserve", "otlp"], var.backend)
    error_message = "One of openobserve, otlp."
  }
}

variable "max_request_bytes" {
  description = "Largest request before compression, as in 4MiB."
  type        = string
  default     = ""
  nullable    = false
}

variable "max_columns" {
  description = "Most distinct fields of one stream in one request that OpenObserve takes; a lower limit that its answers name is learned."
  type        = string
  default     = "1000"
  nullable    = false
}

variable "ca_file" {
  description = "A file of certificate authorities in the package, as in ca.pem (see docs/deploy.md), for a backend whose certificate is from an authority of your own."
  type        = string
  default     = ""
  nullable    = false
}

variable "proxy" {
  description = "Proxy to the backend alone, as in http://proxy.example.com:3128. Credentials in it are VISIBLE IN PLAIN TEXT in the console."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "https_proxy" {
  description = "Proxy to the backend, where Proxy is empty, and to SQS, Secrets Manager and Systems Manager, for a VPC without endpoints for them. Credentials in it are VISIBLE IN PLAIN TEXT in the console."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "no_proxy" {
  description = "Hosts that https_proxy does not apply to, separated by commas, such as those of interface endpoints."
  type        = string
  default     = ""
  nullable    = false
}

# ---- What is collected ----

variable "collect" {
  description = "all sends every line of the log group. telemetry - only OTLP lines and Lambda's own reports and failures; of lines that Lambda cuts, as other exporters' OTLP/JSON of more than 64 KiB, only the first piece. spilled - of functions whose layer sends by itself only what no backend took."
  type        = string
  default     = "all"
  nullable    = false

  validation {
    condition     = contains(["all", "telemetry", "spilled"], var.collect)
    error_message = "One of all, telemetry, spilled."
  }
}

variable "excluded_log_groups" {
  description = "Log groups that log_groups leaves out, separated by commas, with * for anything. The stack's own are always left out."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "create_kinesis_stream" {
  description = "Whether the stack has a Kinesis stream of its own between the subscriptions and the forwarder, which bundles what many log groups write. It is billed by the hour and by the GB."
  type        = bool
  default     = false
  nullable    = false
}

variable "kinesis_stream_arn" {
  description = "ARN of a Kinesis stream that subscriptions write into, to read as well."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kinesis:[^:]+:[0-9]{12}:stream/.+$", var.kinesis_stream_arn))
    error_message = "The ARN of a stream, or nothing."
  }
}

variable "kinesis_kms_key_arn" {
  description = "ARN of the KMS key of that stream, or of the stack's own, where it is a key of your own."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kinesis_kms_key_arn))
    error_message = "The ARN of a key (no alias), or nothing."
  }
}

# ---- How log groups are subscribed ----

variable "subscribe_by" {
  description = "Who subscribes one log group, and all of the account - the stack itself, by a filter or an account-level policy, or the subscriber as for patterns and tags."
  type        = string
  default     = "stack"
  nullable    = false

  validation {
    condition     = contains(["stack", "subscriber"], var.subscribe_by)
    error_message = "One of stack, subscriber."
  }
}

variable "subscribe_tags" {
  description = "Tags that log groups must have to be subscribed, separated by commas, as in team=shop. With log_groups empty, all that have them."
  type        = string
  default     = ""
  nullable    = false
}

variable "subscribe_beside_others" {
  description = "Whether log groups that have one subscription filter of someone else are subscribed beside it."
  type        = bool
  default     = false
  nullable    = false
}

variable "subscribe_schedule" {
  description = "How often log groups are looked through, where no trail of CloudTrail tells of new ones."
  type        = string
  default     = "rate(1 hour)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.subscribe_schedule))
    error_message = "An expression of EventBridge, as in rate(1 hour)."
  }
}

variable "subscribe_dry_run" {
  description = "Whether the subscriber only says in its log what it would do."
  type        = bool
  default     = false
  nullable    = false
}

variable "subscribe_log_level" {
  description = "The subscriber's own log; info has the sums of each run."
  type        = string
  default     = "info"
  nullable    = false

  validation {
    condition     = contains(["error", "warn", "info", "debug"], var.subscribe_log_level)
    error_message = "One of error, warn, info, debug."
  }
}

# ---- What is made of it ----

variable "rules_parameter" {
  description = "Name of an SSM parameter with the rules (TOML), beginning with a slash."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^/[a-zA-Z0-9_.\\-/]+$", var.rules_parameter))
    error_message = "A name that begins with /, or nothing."
  }
}

variable "rules_file" {
  description = "A file of rules in the package, as in rules.toml (see docs/deploy.md); used where rules_parameter is empty."
  type        = string
  default     = ""
  nullable    = false
}

variable "join_stack_traces" {
  description = "Whether the lines of a stack trace become one log record."
  type        = bool
  default     = true
  nullable    = false
}

variable "platform_logs" {
  description = "Whether START, END and INIT_START lines become log records too."
  type        = string
  default     = "reports"
  nullable    = false

  validation {
    condition     = contains(["reports", "all"], var.platform_logs)
    error_message = "One of reports, all."
  }
}

variable "platform_spans" {
  description = "Whether the forwarder writes the span of each invocation, for functions without the layer and the Rust library."
  type        = bool
  default     = false
  nullable    = false
}

variable "span_mapping" {
  description = "Whether the phases of an invocation become events of that span, or spans below it."
  type        = string
  default     = "span_events"
  nullable    = false

  validation {
    condition     = contains(["span_events", "child_spans"], var.span_mapping)
    error_message = "One of span_events, child_spans."
  }
}

variable "span_end" {
  description = "What ends that span."
  type        = string
  default     = "runtime_done"
  nullable    = false

  validation {
    condition     = contains(["runtime_done", "report"], var.span_end)
    error_message = "One of runtime_done, report."
  }
}

variable "names" {
  description = "legacy also writes the metric names of the older OpenObserve extension."
  type        = string
  default     = "current"
  nullable    = false

  validation {
    condition     = contains(["current", "legacy"], var.names)
    error_message = "One of current, legacy."
  }
}

variable "ingest_window" {
  description = "How old a record may be for the backend to take it (OpenObserve's ZO_INGEST_ALLOWED_UPTO)."
  type        = string
  default     = "5h"
  nullable    = false
}

variable "old_records" {
  description = "What happens to older records - keep them in the dead-letter queue, send them with the time of now, or drop them."
  type        = string
  default     = "keep"
  nullable    = false

  validation {
    condition     = contains(["keep", "restamp", "drop"], var.old_records)
    error_message = "One of keep, restamp, drop."
  }
}

variable "undecodable" {
  description = "Whether lines that claim to be OTLP and do not decode go to the dead-letter queue, or only a log record tells of them."
  type        = string
  default     = "dead-letter"
  nullable    = false

  validation {
    condition     = contains(["dead-letter", "log"], var.undecodable)
    error_message = "One of dead-letter, log."
  }
}

variable "embedded_lines" {
  description = "Which OTLP lines are read that do not begin their log event. With read, whoever gets text into a log can forge telemetry."
  type        = string
  default     = "whole"
  nullable    = false

  validation {
    condition     = contains(["whole", "read", "never"], var.embedded_lines)
    error_message = "One of whole, read, never."
  }
}

variable "max_line_items" {
  description = "Most spans, data points and log records of the OTLP lines of one log event."
  type        = string
  default     = "50000"
  nullable    = false
}

variable "least_item_bytes" {
  description = "Bytes that an item of an OTLP line has on average at least, once inflated."
  type        = string
  default     = "12"
  nullable    = false
}

variable "max_event_items" {
  description = "Most items of all OTLP lines of one event."
  type        = string
  default     = "250000"
  nullable    = false
}

# ---- How the functions run ----

variable "layers" {
  description = "For functions of which architecture the layer with the extension is published."
  type        = string
  default     = "both"
  nullable    = false

  validation {
    condition     = contains(["both", "arm64", "x86_64", "none"], var.layers)
    error_message = "One of both, arm64, x86_64, none."
  }
}

variable "memory_size" {
  description = "Memory of each function in MB."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.memory_size >= 128
    error_message = "At least 128."
  }

  validation {
    condition     = var.memory_size <= 10240
    error_message = "At most 10240."
  }
}

variable "timeout" {
  description = "Longest time of an invocation in seconds."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout >= 60
    error_message = "At least 60."
  }

  validation {
    condition     = var.timeout <= 120
    error_message = "At most 120."
  }
}

variable "reserved_concurrency" {
  description = "Most environments of the forwarder at a time. Empty - no bound but the account's; accounts with a small quota refuse any reservation."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]*$", var.reserved_concurrency))
    error_message = "It does not match ^[0-9]*$."
  }
}

variable "subnet_ids" {
  description = "Subnets of your VPC, for a backend that is only reachable there. They need a way to SQS, and to Secrets Manager or SSM where used."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "security_group_ids" {
  description = "Security groups of the functions in your VPC; needed with subnet_ids."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "log_level" {
  description = "The functions' own log."
  type        = string
  default     = "warn"
  nullable    = false

  validation {
    condition     = contains(["error", "warn", "info", "debug"], var.log_level)
    error_message = "One of error, warn, info, debug."
  }
}

variable "vitals" {
  description = "The functions' own figures (docs/vitals.md) - emf with four CloudWatch metrics among them, otlp as metrics to the backend, both, or none."
  type        = string
  default     = "emf"
  nullable    = false

  validation {
    condition     = contains(["emf", "otlp", "both", "none"], var.vitals)
    error_message = "One of emf, otlp, both, none."
  }
}

variable "log_retention_days" {
  description = "How long the functions' own logs are kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "on_failure_retention_days" {
  description = "How long events that no invocation could handle are kept in the on-failure bucket."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.on_failure_retention_days >= 1
    error_message = "At least 1."
  }
}

variable "storage_kms_key_arn" {
  description = "ARN of a KMS key of your own for both queues and the on-failure bucket. Empty - keys that SQS and S3 manage."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.storage_kms_key_arn))
    error_message = "The ARN of a key (no alias), or nothing."
  }
}

# ---- Who is told ----

variable "alarms" {
  description = "Whether CloudWatch alarms tell of dead letters, of what waits for long, and of functions that fail (docs/deploy.md has each)."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "ARN of an SNS topic that is told when an alarm begins and ends."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "The ARN of a topic, or nothing."
  }
}

# ---- Layers of OpenTelemetry's packages ----

variable "python_layer" {
  description = "For which version of Python a layer of OpenTelemetry's packages is published, for functions that bring none."
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "3.10", "3.11", "3.12", "3.13", "3.14"], var.python_layer)
    error_message = "One of none, 3.10, 3.11, 3.12, 3.13, 3.14."
  }
}

variable "node_layer" {
  description = "Whether a layer of OpenTelemetry's packages is published for Node functions that bring none."
  type        = bool
  default     = false
  nullable    = false
}
