"""A client is made in init and signs something in the handler."""

import boto3  # type: ignore[import-untyped]

client = boto3.client(
    "s3", region_name="eu-west-1", aws_access_key_id="id", aws_secret_access_key="key"
)


def handler(event: object, context: object) -> object:
    return client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
