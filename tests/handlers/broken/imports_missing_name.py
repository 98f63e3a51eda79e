from json import no_such_name


def handler(event, context):
    return no_such_name
