# Generated from deploy/stack/template.yaml by `cargo xtask stack --write`.

locals {
  parameters = {
    ArtifactBucket         = var.artifact_bucket
    ArtifactPrefix         = var.artifact_prefix
    Endpoint               = var.endpoint
    Secret                 = var.secret
    LogGroups              = var.log_groups
    Architecture           = var.architecture
    DestinationSecretArns  = join(",", var.destination_secret_arns)
    KmsKeyArns             = join(",", var.kms_key_arns)
    Headers                = var.headers
    Stream                 = var.stream
    Backend                = var.backend
    CaFile                 = var.ca_file
    HttpsProxy             = var.https_proxy
    NoProxy                = var.no_proxy
    Collect                = var.collect
    ExcludedLogGroups      = join(",", var.excluded_log_groups)
    CreateKinesisStream    = tostring(var.create_kinesis_stream)
    KinesisStreamArn       = var.kinesis_stream_arn
    SubscribeBy            = var.subscribe_by
    SubscribeTags          = var.subscribe_tags
    SubscribeBesideOthers  = tostring(var.subscribe_beside_others)
    Rules                  = var.rules
    PlatformLogs           = var.platform_logs
    PlatformSpans          = tostring(var.platform_spans)
    Names                  = var.names
    IngestWindow           = var.ingest_window
    OldRecords             = var.old_records
    Undecodable            = var.undecodable
    EmbeddedLines          = var.embedded_lines
    Layers                 = var.layers
    MemorySize             = tostring(var.memory_size)
    ReservedConcurrency    = var.reserved_concurrency
    SubnetIds              = join(",", var.subnet_ids)
    SecurityGroupIds       = join(",", var.security_group_ids)
    LogLevel               = var.log_level
    Vitals                 = var.vitals
    LogRetentionDays       = tostring(var.log_retention_days)
    OnFailureRetentionDays = tostring(var.on_failure_retention_days)
    StorageKmsKeyArn       = var.storage_kms_key_arn
    Alarms                 = tostring(var.alarms)
    AlarmTopicArn          = var.alarm_topic_arn
    PythonLayer            = var.python_layer
    NodeLayer              = tostring(var.node_layer)
  }
}
