"""The same application behind Mangum, for runtimes that do not serve web applications."""

from hello import app
from mangum import Mangum

handler = Mangum(app)
