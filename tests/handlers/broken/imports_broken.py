import broken.syntax


def handler(event, context):
    return broken
