"""Serves an application on uvicorn (ASGI) or on Werkzeug's server (WSGI).

``reference_server.py asgi|wsgi MODULE:NAME DESCRIPTOR``
"""

from __future__ import annotations

import importlib
import socket
import sys


def main(interface: str, name: str, descriptor: str) -> None:
    """Serve the application on the listening socket ``descriptor``, until the process is killed."""
    module, _, attribute = name.partition(":")
    application = getattr(importlib.import_module(module), attribute)
    listening = socket.socket(fileno=int(descriptor))
    if interface == "asgi":
        import uvicorn

        # uvicorn takes a descriptor for a Unix socket, without TCP_NODELAY. So pass the socket.
        config = uvicorn.Config(
            application, log_level="critical", proxy_headers=False, timeout_keep_alive=120
        )
        uvicorn.Server(config).run(sockets=[listening])
    else:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, type: str, message: str, *args: object) -> None:
                pass

        host, port = listening.getsockname()
        make_server(host, port, application, True, 1, Handler, fd=int(descriptor)).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
