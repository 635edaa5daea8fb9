# Generated from deploy/stack/template.yaml by `cargo xtask stack --write`.

# ---- Location of the zips ----

variable "artifact_bucket" {
  description = "The bucket that contains the zips, in the region of the stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9.\\-]{3,63}$", var.artifact_bucket))
    error_message = "The name of a bucket."
  }
}

variable "artifact_prefix" {
  description = "Prefix of the zips' names in the bucket, as in lambda-otlp/2026-11-21/. Use a new prefix for each version, because CloudFormation compares names and not contents."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^.+/$", var.artifact_prefix))
    error_message = "A prefix that ends with /, or nothing."
  }
}

# ---- The usual settings ----

variable "endpoint" {
  description = "Base URL of the backend. For OpenObserve it names the organization, as in https://o2.example.com/api/default."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://.+$|^https?://[^/?#]+(/[^?#]*)?/api/[^/?#]+.*$", var.endpoint))
    error_message = "A URL that begins with https:// or http://; of OpenObserve Cloud with the organization, as in https://api.openobserve.ai/api/ORGANIZATION."
  }
}

variable "secret" {
  description = "The backend's credentials, as the ARN of a secret in Secrets Manager or the name of a SecureString parameter that begins with a slash. Append #KEY to read one key of a secret with a JSON object. Empty - Headers, or no credentials."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^/[a-zA-Z0-9_.\\-/]+(#[a-zA-Z0-9_.\\-]+)?$|^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:[^#]+(#[a-zA-Z0-9_.\\-]+)?$", var.secret))
    error_message = "The whole ARN of a secret or the name of an SSM parameter that begins with /, each with #KEY for one key of a JSON object; or nothing."
  }
}

variable "log_groups" {
  description = "The log groups to subscribe - one name, as in /aws/lambda/orders; names and patterns, as in /aws/lambda/shop-*,/aws/lambda/orders, including future log groups; or * for the whole account in this region. Empty - you subscribe log groups yourself. This stack's own log groups are never subscribed."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^[.\\-_/#*A-Za-z0-9]+(,[.\\-_/#*A-Za-z0-9]+)*$", var.log_groups))
    error_message = "Names of log groups, with * for any text, separated by commas without spaces; none begins with /lambda-otlp/, where the stack's own are."
  }
}

variable "architecture" {
  description = "Architecture of the stack's own functions. Your functions may use another."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "One of arm64, x86_64."
  }
}

# ---- The backend ----

variable "destination_secret_arns" {
  description = "ARNs of the secrets and SSM parameters of further destinations. Set it if your rules send to several backends."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "kms_key_arns" {
  description = "ARNs of the customer managed KMS keys that encrypt Secret, destination_secret_arns or the stream of kinesis_stream_arn, and of a former storage_kms_key_arn. Set it if you use such keys."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "headers" {
  description = "Headers of every request, as in authorization=Basic …, for a first try. VISIBLE IN PLAIN TEXT in the console, among the stack's parameters and the function's variables. Use Secret for credentials."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "stream" {
  description = "OpenObserve's stream for traces and logs. Set it to keep a trial or an application apart. Empty - default."
  type        = string
  default     = ""
  nullable    = false
}

variable "backend" {
  description = "Set otlp for any backend other than OpenObserve."
  type        = string
  default     = "openobserve"
  nullable    = false

  validation {
    condition     = contains(["openobserve", "otlp"], var.backend)
    error_message = "One of openobserve, otlp."
  }
}

variable "ca_file" {
  description = "A file with certificate authorities in the package, as in ca.pem (docs/deploy.md). Set it if the backend's certificate is self-signed or from your own authority."
  type        = string
  default     = ""
  nullable    = false
}

variable "https_proxy" {
  description = "Proxy for https requests to the backend, SQS, Secrets Manager and Systems Manager. Set it if your VPC has no direct connection to them. Credentials in it are VISIBLE IN PLAIN TEXT in the console."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "no_proxy" {
  description = "Hosts to reach without https_proxy, separated by commas, such as interface endpoints of the VPC."
  type        = string
  default     = ""
  nullable    = false
}

# ---- Collected log events ----

variable "collect" {
  description = "The log events to forward. Set telemetry to forward only OTLP lines and Lambda's reports and failures; of lines that Lambda splits, such as other exporters' OTLP/JSON over 64 KiB, only the first part matches. Set spilled for functions in direct mode, to forward only telemetry that no backend accepted."
  type        = string
  default     = "all"
  nullable    = false

  validation {
    condition     = contains(["all", "telemetry", "spilled"], var.collect)
    error_message = "One of all, telemetry, spilled."
  }
}

variable "excluded_log_groups" {
  description = "Log groups that log_groups leaves out, separated by commas, with * for any text."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "create_kinesis_stream" {
  description = "Set true to create a Kinesis stream between the subscriptions and the forwarder. It bundles the events of many log groups, and AWS bills it by the hour and by the GB."
  type        = bool
  default     = false
  nullable    = false
}

variable "kinesis_stream_arn" {
  description = "ARN of an existing Kinesis stream with log events, for the forwarder to read too."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kinesis:[^:]+:[0-9]{12}:stream/.+$", var.kinesis_stream_arn))
    error_message = "The ARN of a stream, or nothing."
  }
}

# ---- Subscription of log groups ----

variable "subscribe_by" {
  description = "Set subscriber if another product already uses the account-level subscription policy, or if the log group of log_groups may be deleted. The subscriber function then subscribes one log group, or the whole account, as it does for patterns and tags."
  type        = string
  default     = "stack"
  nullable    = false

  validation {
    condition     = contains(["stack", "subscriber"], var.subscribe_by)
    error_message = "One of stack, subscriber."
  }
}

variable "subscribe_tags" {
  description = "Tags that log groups must have to be subscribed, separated by commas, as in team=shop. With an empty log_groups, all log groups with these tags are subscribed."
  type        = string
  default     = ""
  nullable    = false
}

variable "subscribe_beside_others" {
  description = "Set true to subscribe log groups that already have one subscription filter of another system, such as during a migration."
  type        = bool
  default     = false
  nullable    = false
}

# ---- Conversion ----

variable "rules" {
  description = "The rules (TOML) to drop, sample, redact or route telemetry, as the name of an SSM parameter that begins with a slash, or as a file in the package, as in rules.toml (docs/deploy.md)."
  type        = string
  default     = ""
  nullable    = false
}

variable "platform_logs" {
  description = "Set all to store START, END and INIT_START lines as log records too."
  type        = string
  default     = "reports"
  nullable    = false

  validation {
    condition     = contains(["reports", "all"], var.platform_logs)
    error_message = "One of reports, all."
  }
}

variable "platform_spans" {
  description = "Set true to get a span for each invocation of functions that have neither the layer nor the Rust library."
  type        = bool
  default     = false
  nullable    = false
}

variable "names" {
  description = "Set legacy while your dashboards use the metric names of OpenObserve's older extension. Both sets of names are then written."
  type        = string
  default     = "current"
  nullable    = false

  validation {
    condition     = contains(["current", "legacy"], var.names)
    error_message = "One of current, legacy."
  }
}

variable "ingest_window" {
  description = "Maximum age of records that OpenObserve accepts. Set it to the value of ZO_INGEST_ALLOWED_UPTO if you changed that."
  type        = string
  default     = "5h"
  nullable    = false
}

variable "old_records" {
  description = "The fate of older records - keep them in the dead-letter queue, restamp them with the current time, or drop them."
  type        = string
  default     = "keep"
  nullable    = false

  validation {
    condition     = contains(["keep", "restamp", "drop"], var.old_records)
    error_message = "One of keep, restamp, drop."
  }
}

variable "undecodable" {
  description = "Set log if many lines of another tool look like OTLP and cannot be decoded. The forwarder then drops and counts them instead of keeping them in the dead-letter queue."
  type        = string
  default     = "dead-letter"
  nullable    = false

  validation {
    condition     = contains(["dead-letter", "log"], var.undecodable)
    error_message = "One of dead-letter, log."
  }
}

variable "embedded_lines" {
  description = "The OTLP lines to read that do not begin their log event. Set read if a logger adds text around them; an attacker who gets text into such a log can then forge telemetry. Set never to read none."
  type        = string
  default     = "whole"
  nullable    = false

  validation {
    condition     = contains(["whole", "read", "never"], var.embedded_lines)
    error_message = "One of whole, read, never."
  }
}

# ---- Functions and storage ----

variable "layers" {
  description = "The architectures to publish the layer for. Set none if no function uses the layer."
  type        = string
  default     = "both"
  nullable    = false

  validation {
    condition     = contains(["both", "arm64", "x86_64", "none"], var.layers)
    error_message = "One of both, arm64, x86_64, none."
  }
}

variable "memory_size" {
  description = "Memory of each function in MB. Increase it if the forwarder's invocations take long; CPU time grows with memory."
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

variable "reserved_concurrency" {
  description = "Maximum number of forwarder environments. Set it to protect the account's concurrency quota. Accounts with a small quota refuse any reservation."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]*$", var.reserved_concurrency))
    error_message = "It does not match ^[0-9]*$."
  }
}

variable "subnet_ids" {
  description = "Subnets of your VPC, for a backend that is only reachable there. They need a route to SQS, and to Secrets Manager or SSM if used."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "security_group_ids" {
  description = "Security groups of the functions in your VPC. Required with subnet_ids."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "log_level" {
  description = "Level of the functions' own logs. Set debug to investigate."
  type        = string
  default     = "warn"
  nullable    = false

  validation {
    condition     = contains(["error", "warn", "info", "debug"], var.log_level)
    error_message = "One of error, warn, info, debug."
  }
}

variable "vitals" {
  description = "Destination of the functions' own metrics (docs/vitals.md) - emf for CloudWatch, otlp for the backend, both, or none."
  type        = string
  default     = "emf"
  nullable    = false

  validation {
    condition     = contains(["emf", "otlp", "both", "none"], var.vitals)
    error_message = "One of emf, otlp, both, none."
  }
}

variable "log_retention_days" {
  description = "Number of days to keep the functions' own logs."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "on_failure_retention_days" {
  description = "Number of days to keep events in the on-failure bucket. Decrease it if a policy limits the retention of logs."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.on_failure_retention_days >= 1
    error_message = "At least 1."
  }
}

variable "storage_kms_key_arn" {
  description = "ARN of a customer managed KMS key for the queues, the on-failure bucket and the stack's Kinesis stream. Empty - keys that AWS manages."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.storage_kms_key_arn))
    error_message = "The ARN of a key (no alias), or nothing."
  }
}

# ---- Alarms ----

variable "alarms" {
  description = "Set false for a stack without CloudWatch alarms, such as a test stack. docs/operations.md describes each alarm."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "ARN of an SNS topic to notify when an alarm begins and ends."
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
  description = "The version of Python to publish a layer of OpenTelemetry's packages for. Set it if your functions do not package them."
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "3.10", "3.11", "3.12", "3.13", "3.14"], var.python_layer)
    error_message = "One of none, 3.10, 3.11, 3.12, 3.13, 3.14."
  }
}

variable "node_layer" {
  description = "Set true to publish a layer of OpenTelemetry's packages for Node functions that do not package them."
  type        = bool
  default     = false
  nullable    = false
}
