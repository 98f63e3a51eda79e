class DeadlineExceeded(Exception):
    pass
