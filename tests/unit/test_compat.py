"""What others import of awslambdaric, and where they look for the bootstrap."""

import textwrap
from pathlib import Path

from support.process import run_function


def test_awslambdarics_modules_are_made_of_ours_when_asked_for() -> None:
    code = textwrap.dedent(
        """
        import sys
        before = sorted(name for name in sys.modules if "awslambdaric" in name or "compat" in name)
        from awslambdaric.lambda_context import LambdaContext
        from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient, LambdaRuntimeClient
        from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
        from awslambdaric.lambda_runtime_exception import FaultException
        from awslambdaric.bootstrap import _get_handler, handle_event_request
        import awslambdaric.bootstrap, awslambdaric, __main__

        class Shouting(LambdaMarshaller):
            def marshal_response(self, response):
                body, content_type = super().marshal_response(response)
                return body.decode().upper(), "text/shout"

        def handler(event, context):
            BaseLambdaRuntimeClient.marshaller = Shouting()
            return [
                before, isinstance(context, LambdaContext),
                LambdaContext("i", None, None, 0).identity is not None,
                awslambdaric.bootstrap is __main__.bootstrap,
                awslambdaric.__version__,
                _get_handler("app.handler") is handler, FaultException.__name__,
            ]
        """
    )
    outcome = run_function(code, events=[b"{}", b"{}"])
    shouted = b'[[],TRUE,TRUE,TRUE,"4.2.2",TRUE,"FAULTEXCEPTION"]'
    assert outcome.requests[-2].endswith(shouted)
    assert b"Content-Type: text/shout\r\n" in outcome.requests[-2]


def test_replacing_what_monitoring_libraries_replace() -> None:
    code = textwrap.dedent(
        """
        import __main__
        bootstrap = __main__.bootstrap
        original = bootstrap.handle_event_request
        post = bootstrap.LambdaRuntimeClient.post_invocation_result

        def handle_event_request(client, request_handler, *args, **kwargs):
            wrapped = lambda event, context: ["wrapped", request_handler(event, context)]
            return original(client, wrapped, *args, **kwargs)

        def post_invocation_result(*args, **kwargs):
            print("posting", args[1])
            return post(*args, **kwargs)

        bootstrap.handle_event_request = handle_event_request
        bootstrap.LambdaRuntimeClient.post_invocation_result = post_invocation_result

        def handler(event, context):
            return event
        """
    )
    outcome = run_function(code, events=[b"1", b"2"])
    assert outcome.answer == ["wrapped", 2]
    assert outcome.stdout == "posting id-1\nposting id-2\n"


def test_bootstrap_is_the_runtime_unless_the_user_has_one(tmp_path: Path) -> None:
    code = "import bootstrap\ndef handler(e, c): return bootstrap.__name__"
    assert run_function(code).answer == "lambda_runtime.loop"
    (tmp_path / "app.py").write_text(code)
    (tmp_path / "bootstrap.py").write_text("")
    assert run_function("", task=tmp_path).answer == "bootstrap"


def test_what_a_library_does_after_the_answer_is_done_before_the_next_event_is_asked_for() -> None:
    code = textwrap.dedent(
        """
        import __main__, time
        original = __main__.bootstrap.handle_event_request

        def handle_event_request(client, *args, **kwargs):
            original(client, *args, **kwargs)
            print(client.pipeline_next, client._connection.following)

        def handler(event, context):
            if event == 2:
                __main__.bootstrap.handle_event_request = handle_event_request
            return event
        """
    )
    assert run_function(code, events=[b"1", b"2", b"3"]).stdout == "False False\n"
