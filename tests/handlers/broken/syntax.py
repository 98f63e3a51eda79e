def handler(event, context):
    return {"unclosed": [1, 2
