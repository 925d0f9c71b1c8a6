"""Names, passwords and certificates of devices that are asked over HTTP."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.model.errors import LinkDown
from gateway.model.measure import Reason
from tests.drivers.web import KEY, asked, driver_of, reply, says, serving


async def test_basic_authentication_sends_name_and_secret() -> None:
    async with (
        serving(says(reply())) as server,
        driver_of(server.port, user="tram-đo", password=KEY) as driver,
    ):
        assert (await driver.read_once("it"))[0].reading.value == 1.5
    sent = re.search(r"authorization: basic (\S+)", server.heads[0], re.IGNORECASE)
    assert sent is not None
    assert base64.b64decode(sent[1]).decode() == "tram-đo:secret of key"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - RFC 7616 as devices speak it


def digest_is_right(head: str) -> bool:
    found = {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', head)}
    if "response" not in found:
        return False
    who, what = md5("admin:here:secret of key"), md5(f"GET:{found['uri']}")
    return found["response"] == md5(f"{who}:{found['nonce']}:{found['nc']}:{found['cnonce']}:auth:{what}")


@pytest.mark.parametrize(("user", "value"), [("admin", 1.5), ("other", None)])
async def test_digest_authentication_proves_the_secret_without_sending_it(user: str, value: float | None) -> None:
    challenge = 'Digest realm="here", nonce="n1", qop="auth"'

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        good = digest_is_right(head)
        writer.write(reply() if good else reply(b"who?" * 100_000, 401, WWW_Authenticate=challenge))

    async with (
        serving(answer) as server,
        driver_of(server.port, user=user, password=KEY, auth="digest") as driver,
    ):
        for _ in range(2):
            (row,) = await driver.read_once("it")
            assert row.reading.value == value
    assert (value is not None) or "`password`" in row.error
    assert not any("secret of key" in head for head in server.heads)


@pytest.mark.parametrize("challenge", ["Digest", "Digest realm=", 'Digest realm="r", nonce="n", algorithm=XYZ'])
async def test_a_call_for_a_password_that_makes_no_sense_is_no_reading(challenge: str) -> None:
    answer = says(reply(b"", 401, WWW_Authenticate=challenge))
    value, reasons, error = await asked(answer, user="admin", password=KEY, auth="digest")
    assert (value, reasons) in {(None, (Reason.BAD_FRAME,)), (None, (Reason.DEVICE_REFUSED,))}
    assert error


# Encrypted hosts.


def own_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "own.pem").write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


async def test_a_certificate_that_nobody_signed_is_link_down_and_nothing_is_asked(tmp_path: Path) -> None:
    async with serving(says(reply()), own_certificate(tmp_path)) as server:
        driver = driver_of(server.port, url=f"https://127.0.0.1:{server.port}", timeout_s=1.0)
        with pytest.raises(LinkDown) as caught:
            async with driver:
                await driver.read_once("it")
    assert "certificate" in caught.value.hint
    assert server.heads == []


async def test_a_call_for_a_password_that_made_no_sense_is_forgotten() -> None:
    calls = ['Digest realm="r", nonce="n", algorithm=XYZ', 'Digest realm="here", nonce="n1", qop="auth"']

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        good = digest_is_right(head)
        writer.write(reply() if good else reply(b"", 401, WWW_Authenticate=calls.pop(0)))

    async with serving(answer) as server, driver_of(server.port, user="admin", password=KEY, auth="digest") as driver:
        rows = [(await driver.read_once("it"))[0].reading.value for _ in range(2)]
    assert rows == [None, 1.5]
