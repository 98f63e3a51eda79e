#!/bin/sh
# Creates the countdown with nothing but `aws`; remove.sh removes it. Run it in this folder.
set -eu
name=${NAME:-countdown}
arch=${ARCH:-arm64}
layer=../../../build/layer/lambda-runtime-python313-$arch.zip

(cd ../function && python3 -m zipfile -c ../cli/function.zip .)
role=$(aws iam create-role --role-name "$name" --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}')
aws iam attach-role-policy --role-name "$name" \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
aws iam wait role-exists --role-name "$name"
arn=$(aws lambda publish-layer-version --layer-name "lambda-runtime-python313-$arch" \
    --compatible-runtimes provided.al2023 --compatible-architectures "$arch" \
    --zip-file "fileb://$layer" --query LayerVersionArn --output text)
tries=0
# Lambda knows a new role only some seconds later.
until aws lambda create-function --function-name "$name" --runtime provided.al2023 \
    --architectures "$arch" --handler app.handler --role "$role" --layers "$arn" \
    --memory-size 256 --timeout 10 --zip-file fileb://function.zip >/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || exit 1
    sleep 3
done
aws lambda wait function-active-v2 --function-name "$name"
aws lambda create-function-url-config --function-name "$name" --auth-type AWS_IAM \
    --invoke-mode RESPONSE_STREAM --query FunctionUrl --output text
