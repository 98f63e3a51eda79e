try:
    {}["url"]
except KeyError as error:
    raise RuntimeError("DATABASE is not configured") from error
