import boto3

s3 = boto3.client("s3", region_name="eu-central-1")
table = boto3.client("dynamodb", region_name="eu-central-1")


def handler(event, context):
    operations = [s3.meta.service_model.operation_names, table.meta.service_model.operation_names]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    return {"operations": [len(names) for names in operations], "url": url.partition("?")[0]}
