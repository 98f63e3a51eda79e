"""A Flask application as a Lambda function. Run it with the handler ``app.app``."""

from collections.abc import Iterator

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    context = request.environ["aws.context"]
    return jsonify(hello=request.args.get("name", "world"), function=context.function_name)


@app.post("/upload")
def upload() -> Response:
    return jsonify({name: len(file.read()) for name, file in request.files.items()})


@app.get("/report.csv")
def report() -> Response:
    def rows() -> Iterator[str]:
        yield "number,square\n"
        for number in range(1000):
            yield f"{number},{number * number}\n"

    return Response(rows(), content_type="text/csv")
