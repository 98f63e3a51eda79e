def handler(event: object, context: object) -> str:
    return "by cdk"
