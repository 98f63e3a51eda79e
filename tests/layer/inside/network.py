"""Names through DNS and a TLS connection, in a network of its own. Prints `well`.

Brings the loopback device up, answers DNS queries on port 53 itself, and serves HTTPS with the
certificate in the folder given.
"""

import fcntl
import http.server
import socket
import ssl
import struct
import sys
import threading
import urllib.error
import urllib.request

NAME, ADDRESS = "service.test", "127.0.0.5"


def bring_loopback_up() -> None:
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0x41)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request.ljust(40, b"\0"))  # SIOCSIFFLAGS


def answer(query: bytes) -> bytes:
    """An A record for `NAME`, no record of another kind, no such name for the rest."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    labels = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0"
    known, wanted = question[:-4] == labels, question[-4:-2] == b"\0\1"
    found = known and wanted
    flags = 0x8180 if known else 0x8183
    header = query[:2] + struct.pack(">HHHHH", flags, 1, int(found), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ADDRESS)
    return header + question + (record if found else b"")


def serve_dns(server: socket.socket) -> None:
    while True:
        query, sender = server.recvfrom(512)
        server.sendto(answer(query), sender)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(folder: str) -> None:
    bring_loopback_up()
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.bind(("127.0.0.1", 53))
    threading.Thread(target=serve_dns, args=(dns,), daemon=True).start()
    assert {entry[4][0] for entry in socket.getaddrinfo(NAME, 443)} == {ADDRESS}
    try:
        socket.getaddrinfo("nowhere.test", 443)
        raise AssertionError("found")
    except socket.gaierror as error:
        assert error.errno == socket.EAI_NONAME, error

    server = http.server.ThreadingHTTPServer((ADDRESS, 443), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{folder}/server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trusting = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    with urllib.request.urlopen(f"https://{NAME}/", context=trusting, timeout=10) as reply:
        assert reply.read() == NAME.encode()
    try:
        urllib.request.urlopen(f"https://{NAME}/", timeout=10)
        raise AssertionError("a stranger's certificate was accepted")
    except urllib.error.URLError as error:
        assert isinstance(error.reason, ssl.SSLCertVerificationError), error
    print("well")


if __name__ == "__main__":
    main(sys.argv[1])
