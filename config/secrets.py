"""Secrets by name, read from files only: never from the document, the environment or the command line."""

from __future__ import annotations

import os
import pathlib
import re
import stat
from collections.abc import Mapping

from gateway.model.errors import ConfigError

FOLDER = pathlib.Path("/etc/gateway/secrets")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MAX_BYTES = 4096


class SecretMissing(ConfigError):
    code = "secret-missing"


class SecretExposed(ConfigError):
    code = "secret-exposed"


def secret(name: str, *, folder: pathlib.Path | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """The secret of that name, without the line end that editors add.

    With `folder` only that folder is searched; otherwise $CREDENTIALS_DIRECTORY (systemd's LoadCredential), then
    /etc/gateway/secrets. Raises SecretMissing if there is none, or none that can be read; SecretExposed if anyone
    on the machine could read it.
    """
    if not _NAME.fullmatch(name):
        # The name may be the password itself, put in the wrong place: it is not repeated here.
        raise SecretMissing("this is not the name of a secret", hint="small letters, digits, _ and -; not the password")
    files = [folder / name] if folder is not None else _candidates(name, environment)
    for file in files:
        try:
            return _read(file)
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            raise SecretMissing(f"cannot be read: {why}", where=str(file), hint="check its owner and rights") from error
    raise SecretMissing(f"there is no secret '{name}'", where=str(files[-1]), hint="write the password into this file")


def _candidates(name: str, environment: Mapping[str, str]) -> list[pathlib.Path]:
    given = environment.get("CREDENTIALS_DIRECTORY")
    # `LoadCredential=secrets:/a/folder` names each file of the folder secrets_NAME.
    credentials = [pathlib.Path(given) / name, pathlib.Path(given) / f"secrets_{name}"] if given else []
    return [*credentials, FOLDER / name]


def _read(file: pathlib.Path) -> str:
    with file.open("rb") as stream:
        # Of the open file, so that nobody can exchange it between the look and the read.
        if os.fstat(stream.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise SecretExposed("everyone on this machine can read it", where=str(file), hint=f"chmod 0600 {file}")
        text = stream.read(_MAX_BYTES + 1).decode("utf-8").rstrip("\r\n")
    if not text:
        raise SecretMissing("this secret is empty", where=str(file), hint="write the password into it")
    if len(text) > _MAX_BYTES:
        raise SecretMissing("this secret is longer than 4 KiB", where=str(file), hint="one password on one line")
    return text
