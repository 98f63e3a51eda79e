import newrelic.agent

newrelic.agent.initialize()

import requests  # noqa: E402
import urllib3.connectionpool  # noqa: E402


def handler(event, context):
    names = ("urlopen", "_make_request")
    pool = urllib3.connectionpool.HTTPConnectionPool
    return [hasattr(getattr(pool, name), "__wrapped__") for name in names] + [requests.__name__]
