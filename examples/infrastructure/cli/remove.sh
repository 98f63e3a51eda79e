#!/bin/sh
# Removes what deploy.sh has created, as far as it is there.
set -u
name=${NAME:-countdown}
arch=${ARCH:-arm64}

aws lambda delete-function --function-name "$name"
aws iam detach-role-policy --role-name "$name" \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
aws iam delete-role --role-name "$name"
for version in $(aws lambda list-layer-versions --layer-name "lambda-runtime-python313-$arch" \
    --query 'LayerVersions[].Version' --output text); do
    aws lambda delete-layer-version --layer-name "lambda-runtime-python313-$arch" \
        --version-number "$version"
done
