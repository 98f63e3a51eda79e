"""Errors of web applications: the log record, and the response that the client gets."""

STATUS = 500
HEADERS = [(b"content-type", b"text/plain; charset=utf-8")]
BODY = b"Internal Server Error"


def log(error: BaseException) -> None:
    """Write the error's log record. The invocation goes on."""
    from lambda_runtime.errors import reports
    from lambda_runtime.ground.invocation import under_way

    frames = reports.user_frames(error.__traceback__)
    reports.log(reports.describe(error, frames, under_way.request_id()), error)
