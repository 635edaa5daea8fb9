# Made of deploy/stack/template.yaml by `cargo xtask stack --write`.

output "layer_arm64_arn" {
  description = "The layer for functions of architecture arm64."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerArm64Arn", null)
}

output "layer_x8664_arn" {
  description = "The layer for functions of architecture x86_64."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerX8664Arn", null)
}

output "function_snippet_arm64" {
  description = "Goes below Properties of a function of architecture arm64 in a template (docs/layer.md says what the wrapper does)."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "FunctionSnippetArm64", null)
}

output "function_snippet_x8664" {
  description = "The same for a function of architecture x86_64."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "FunctionSnippetX8664", null)
}

output "doctor_command" {
  description = "Says whether everything fits together, and stores and reads back a record of each signal."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["DoctorCommand"]
}

output "subscribe_command" {
  description = "Subscribes a further log group."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["SubscribeCommand"]
}

output "redrive_command" {
  description = "Shows what is dead-lettered and why; with --yes it is sent again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RedriveCommand"]
}

output "on_failure_command" {
  description = "Shows the events that every attempt failed on; with --yes they are sent again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["OnFailureCommand"]
}

output "forwarder_function_arn" {
  description = "The destination for further subscription filters in this account and region, unless there is a KinesisStreamArn."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["ForwarderFunctionArn"]
}

output "kinesis_stream_arn" {
  description = "The destination for further subscription filters, with SubscriptionRoleArn."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "KinesisStreamArn", null)
}

output "subscription_role_arn" {
  description = "The role of subscription filters that write into the stream."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "SubscriptionRoleArn", null)
}

output "forwarder_log_group" {
  description = "The forwarder's own log."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["ForwarderLogGroup"]
}

output "subscriber_command" {
  description = "Has the log groups looked through now."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "SubscriberCommand", null)
}

output "redrive_function_arn" {
  description = "The function that takes from the retry queue."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RedriveFunctionArn"]
}

output "retry_queue_url" {
  description = "What the backend did not take and is sent again."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["RetryQueueUrl"]
}

output "dead_letter_queue_url" {
  description = "What cannot be delivered, each message with its reason."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["DeadLetterQueueUrl"]
}

output "on_failure_bucket" {
  description = "Events that every attempt of the forwarder failed on, whole."
  value       = aws_cloudformation_stack.lambda_otlp.outputs["OnFailureBucket"]
}

output "layer_python310_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.10, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython310Arn", null)
}

output "layer_python311_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.11, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython311Arn", null)
}

output "layer_python312_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.12, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython312Arn", null)
}

output "layer_python313_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.13, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython313Arn", null)
}

output "layer_python314_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Python 3.14, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerPython314Arn", null)
}

output "layer_node_arn" {
  description = "The layer of OpenTelemetry's packages for functions in Node, beside the layer of their architecture."
  value       = lookup(aws_cloudformation_stack.lambda_otlp.outputs, "LayerNodeArn", null)
}
