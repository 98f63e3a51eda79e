"""SAM and CloudFormation templates: what they say of functions, done with the Lambda API."""
