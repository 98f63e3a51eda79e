# A function on the layer of lambda-runtime: the layer, a role that may write logs, the function.

locals {
  layer = "${var.layers_folder}/lambda-runtime-python${replace(var.python, ".", "")}-${var.architecture}.zip"
}

resource "aws_lambda_layer_version" "runtime" {
  layer_name               = "lambda-runtime-python${replace(var.python, ".", "")}-${var.architecture}"
  filename                 = local.layer
  source_code_hash         = filebase64sha256(local.layer)
  compatible_runtimes      = ["provided.al2023"]
  compatible_architectures = [var.architecture]
}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = var.source_folder
  output_path = "${path.root}/.build/${var.name}.zip"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "function" {
  function_name    = var.name
  role             = aws_iam_role.function.arn
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  handler          = var.handler
  filename         = data.archive_file.code.output_path
  source_code_hash = data.archive_file.code.output_base64sha256
  layers           = concat([aws_lambda_layer_version.runtime.arn], var.more_layers)
  memory_size      = var.memory_size
  timeout          = var.timeout

  environment {
    variables = var.variables
  }
}
