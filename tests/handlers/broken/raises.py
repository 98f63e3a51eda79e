print("printed before the error")


def connect():
    raise ConnectionError("the database is down")


connect()
