import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

KEY = b"x" * 32


def handler(event, context):
    token = jwt.encode({"a": 1}, KEY, algorithm="HS256")
    private = ec.generate_private_key(ec.SECP256R1())
    signature = private.sign(b"text", ec.ECDSA(hashes.SHA256()))
    private.public_key().verify(signature, b"text", ec.ECDSA(hashes.SHA256()))
    secret = Fernet(Fernet.generate_key())
    return [
        jwt.decode(token, KEY, algorithms=["HS256"]),
        secret.decrypt(secret.encrypt(b"b")).decode(),
    ]
