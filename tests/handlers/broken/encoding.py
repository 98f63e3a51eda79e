def handler(event, context):
    return "ÿ"
