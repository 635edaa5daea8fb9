# Generated from deploy/stack/template.yaml by `cargo xtask stack --write`.

output "layer_arm64_arn" {
  description = "The layer for functions of architecture arm64."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerArm64Arn", null)
}

output "layer_x8664_arn" {
  description = "The layer for functions of architecture x86_64."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerX8664Arn", null)
}

output "function_snippet_arm64" {
  description = "Text for the Properties of an arm64 function in a template (docs/layer.md describes the wrapper)."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "FunctionSnippetArm64", null)
}

output "function_snippet_x8664" {
  description = "Text for the Properties of an x86_64 function in a template."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "FunctionSnippetX8664", null)
}

output "doctor_command" {
  description = "Command that checks the deployment, and stores and reads a record of each signal."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["DoctorCommand"]
}

output "subscribe_command" {
  description = "Command that subscribes another log group."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["SubscribeCommand"]
}

output "redrive_command" {
  description = "Command that shows the dead letters and their reasons. With --yes it sends them again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RedriveCommand"]
}

output "on_failure_command" {
  description = "Command that shows the events for which every attempt failed. With --yes it sends them again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["OnFailureCommand"]
}

output "forwarder_function_arn" {
  description = "The destination of your own subscription filters in this account and region, unless the output KinesisStreamArn exists."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["ForwarderFunctionArn"]
}

output "kinesis_stream_arn" {
  description = "The destination of your own subscription filters, together with SubscriptionRoleArn."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "KinesisStreamArn", null)
}

output "subscription_role_arn" {
  description = "The role of your own subscription filters."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "SubscriptionRoleArn", null)
}

output "forwarder_log_group" {
  description = "The forwarder's own log."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["ForwarderLogGroup"]
}

output "subscriber_command" {
  description = "Command that starts a run of the subscriber."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "SubscriberCommand", null)
}

output "redrive_function_arn" {
  description = "The function that reads the retry queue."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RedriveFunctionArn"]
}

output "retry_queue_url" {
  description = "Queue of telemetry to send again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RetryQueueUrl"]
}

output "dead_letter_queue_url" {
  description = "Queue of undeliverable telemetry, each message with its reason."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["DeadLetterQueueUrl"]
}

output "on_failure_bucket" {
  description = "Bucket with complete events for which every attempt of the forwarder failed."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["OnFailureBucket"]
}

output "layer_python310_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.10, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython310Arn", null)
}

output "layer_python311_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.11, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython311Arn", null)
}

output "layer_python312_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.12, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython312Arn", null)
}

output "layer_python313_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.13, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython313Arn", null)
}

output "layer_python314_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.14, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython314Arn", null)
}

output "layer_node_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Node, to add to the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerNodeArn", null)
}
