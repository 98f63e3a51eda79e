def handler(event, context):
    first = 1
      second = 2
    return first
