# The stack of cloudformation.json. Its settings are variables.tf, all of them; what it says is outputs.tf.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "stack_name" {
  description = "The stack's name, which those of its functions and log groups begin with."
  type        = string
  default     = "lambda-otlp"
  nullable    = false
}

variable "zips" {
  description = "The folder that `cargo xtask dist` has made (target/dist): its zips are put into artifact_bucket, below artifact_prefix in a folder for this version. Empty - they are there, behind artifact_prefix."
  type        = string
  default     = ""
  nullable    = false
}

variable "tags" {
  description = "Tags of the stack, and of all in it that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

data "aws_region" "current" {}

data "aws_partition" "current" {}

locals {
  template = "${path.module}/cloudformation.json"
  zips     = var.zips == "" ? toset([]) : fileset(var.zips, "lambda-otlp-*.zip")
  sums     = { for zip in local.zips : zip => filesha256("${var.zips}/${zip}") }
  # CloudFormation sees that a name changes, and not what is behind it.
  prefix = var.zips == "" ? var.artifact_prefix : "${var.artifact_prefix}${substr(sha256(jsonencode(local.sums)), 0, 16)}/"
}

# An object of the version before goes when the stack has the new one: until then CloudFormation may have to go back.
resource "aws_s3_object" "zip" {
  for_each    = local.zips
  bucket      = var.artifact_bucket
  key         = "${local.prefix}${each.value}"
  source      = "${var.zips}/${each.value}"
  source_hash = local.sums[each.value]

  lifecycle {
    create_before_destroy = true
  }
}

# It is larger than what CloudFormation takes without a bucket.
resource "aws_s3_object" "template" {
  bucket      = var.artifact_bucket
  key         = "${var.artifact_prefix}lambda-otlp-${substr(filesha256(local.template), 0, 16)}.json"
  source      = local.template
  source_hash = filesha256(local.template)

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "lambda_otlp" {
  name         = var.stack_name
  template_url = "https://${var.artifact_bucket}.s3.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}/${aws_s3_object.template.key}"
  parameters   = merge(local.parameters, { ArtifactPrefix = local.prefix })
  capabilities = ["CAPABILITY_IAM"]
  tags         = var.tags

  depends_on = [aws_s3_object.zip]
}
