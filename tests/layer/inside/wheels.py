"""Uses compiled packages from PyPI on the layer's interpreter. Prints `well`."""

import sys

sys.path.insert(0, sys.argv[1])

import numpy
import pydantic
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec


class Order(pydantic.BaseModel):
    id: int
    total: float


def main() -> None:
    matrix = numpy.random.default_rng(1).random((50, 50))
    assert numpy.allclose(matrix @ numpy.linalg.inv(matrix), numpy.eye(50))
    try:
        import orjson
    except ImportError:  # a new Python has no wheel of it for some months
        assert sys.version_info >= (3, 15)
    else:
        option = orjson.OPT_SERIALIZE_NUMPY
        assert orjson.loads(orjson.dumps(numpy.arange(3), option=option)) == [0, 1, 2]
    assert Order.model_validate_json('{"id": "7", "total": 1}').id == 7
    key = Fernet(Fernet.generate_key())
    assert key.decrypt(key.encrypt(b"x")) == b"x"
    assert ec.generate_private_key(ec.SECP256R1())
    for module in (numpy, pydantic):
        assert str(module.__file__).startswith(sys.argv[1]), module.__file__
    print("well")


if __name__ == "__main__":
    main()
