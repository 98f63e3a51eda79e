from squiggle import transform


def handler(event, context):
    x, y = transform("ATGCCGTAATTGC")
    return [float(x[-1]), float(y[-1])]
