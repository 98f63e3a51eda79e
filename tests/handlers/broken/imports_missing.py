import package_that_is_missing


def handler(event, context):
    return package_that_is_missing
