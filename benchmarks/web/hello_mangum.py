"""The same application behind Mangum, for a runtime that knows no web applications."""

from hello import app
from mangum import Mangum

handler = Mangum(app)
