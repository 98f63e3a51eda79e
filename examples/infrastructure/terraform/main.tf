# terraform init && terraform apply

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
  }
}

module "countdown" {
  source        = "./module"
  name          = "countdown"
  source_folder = "${path.root}/../function"
  layers_folder = "${path.root}/../../../build/layer"
}

resource "aws_lambda_function_url" "countdown" {
  function_name      = module.countdown.function_name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}

output "url" {
  value = aws_lambda_function_url.countdown.function_url
}
