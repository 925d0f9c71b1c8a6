"""A small FTP server with explicit TLS that takes data only over a resumed session, as vsftpd does by default."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


class _Session(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.request.settimeout(5)
        self.line, self.data, self.cwd, self.renamed = self.request, None, Path(), Path()
        self.encrypted = self.logged_in = False
        self.say("220 ready")
        with suppress(OSError):
            rest = b""
            while True:
                chunk = self.line.recv(4096)
                if not chunk:
                    return
                *rows, rest = (rest + chunk).split(b"\r\n")
                for row in rows:
                    command, _, given = row.decode().partition(" ")
                    answer = getattr(self, f"do_{command.lower()}", None)
                    allowed = self.logged_in or command in {"AUTH", "USER", "PASS", "PBSZ", "PROT", "QUIT"}
                    self.say(answer(given) if answer and allowed else "502 no")
                    if command == "AUTH":
                        self.line = self.server.context.wrap_socket(self.line, server_side=True)
                        self.encrypted = True
                    if command == "QUIT":
                        return

    def finish(self) -> None:
        self.line.close()
        if self.data is not None:
            self.data.close()

    def say(self, text: str) -> None:
        self.line.sendall(f"{text}\r\n".encode())

    def path(self, given: str) -> Path:
        return self.server.root / (self.cwd / given).as_posix().lstrip("/")

    def do_auth(self, _: str) -> str:
        return "234 go"

    def do_user(self, _: str) -> str:
        return "331 password" if self.encrypted else "530 not in the open"

    def do_pass(self, given: str) -> str:
        self.logged_in = self.encrypted and given == self.server.password
        return "230 in" if self.logged_in else "530 wrong password"

    def do_pbsz(self, _: str) -> str:
        return "200 ok"

    def do_prot(self, given: str) -> str:
        return "200 ok" if given == "P" else "534 only P"

    def do_type(self, _: str) -> str:
        return "200 ok"

    def do_pwd(self, _: str) -> str:
        return f'257 "/{self.cwd.as_posix().strip("./")}"'

    def do_cwd(self, given: str) -> str:
        if not self.path(given).is_dir():
            return "550 no such folder"
        self.cwd = Path(given)
        return "250 ok"

    def do_mkd(self, given: str) -> str:
        try:
            self.path(given).mkdir()
        except OSError:
            return "550 no"
        return f'257 "{given}"'

    def do_pasv(self, _: str) -> str:
        self.data = socket.create_server(("127.0.0.1", 0))
        port = self.data.getsockname()[1]
        return f"227 (127,0,0,1,{port >> 8},{port & 255})"

    def do_stor(self, given: str) -> str:
        assert self.data is not None
        plain, _ = self.data.accept()
        self.data.close()
        self.say("150 come")
        with self.server.context.wrap_socket(plain, server_side=True) as line:
            if not line.session_reused:
                return "522 the session must be resumed"
            content = b""
            with suppress(ssl.SSLEOFError):
                while chunk := line.recv(4096):
                    content += chunk
            with suppress(OSError):
                line.unwrap()
        self.path(given).write_bytes(content)
        return "226 done"

    def do_size(self, given: str) -> str:
        return f"213 {self.path(given).stat().st_size}"

    def do_rnfr(self, given: str) -> str:
        self.renamed = self.path(given)
        return "350 to?"

    def do_rnto(self, given: str) -> str:
        self.renamed.replace(self.path(given))
        return "250 ok"

    def do_quit(self, _: str) -> str:
        return "221 bye"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, address: tuple[str, int], root: Path, pem: Path, password: str) -> None:
        super().__init__(address, _Session)
        self.root = root
        self.password = password
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us hangs up."""


@contextmanager
def ftps_server(port: int, root: Path, pem: Path, password: str) -> Iterator[None]:
    with Server(("127.0.0.1", port), root, pem, password) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
