# Deploys the stack of cloudformation.json. variables.tf has its settings, outputs.tf its outputs.

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
  description = "Name of the stack, and prefix of the names of its functions and log groups."
  type        = string
  default     = "lambda-otlp"
  nullable    = false
}

variable "zips" {
  description = "Folder with the zips of `cargo xtask dist` (target/dist), to upload to artifact_bucket under artifact_prefix and a prefix of this version. Empty - artifact_bucket already contains the zips under artifact_prefix."
  type        = string
  default     = ""
  nullable    = false
}

variable "tags" {
  description = "Tags of the stack and of its resources."
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
  # CloudFormation compares names of objects, not their contents.
  prefix = var.zips == "" ? var.artifact_prefix : "${var.artifact_prefix}${substr(sha256(jsonencode(local.sums)), 0, 16)}/"
}

# The previous objects are deleted after the update of the stack, because CloudFormation may have to roll back.
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

# The template exceeds the size that CloudFormation accepts without a bucket.
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
