output "function_name" {
  description = "The function's name."
  value       = aws_lambda_function.function.function_name
}

output "arn" {
  description = "The function's ARN."
  value       = aws_lambda_function.function.arn
}
