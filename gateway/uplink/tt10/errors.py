"""What can go wrong on the way of a file, from the slot to the authority's server."""

from __future__ import annotations

from gateway.model.errors import NotAllowed, Rejected, StoreError, Unreachable


class NotWritten(StoreError):
    """A file could not be put into its folder: disk full, rights, a share that is gone."""

    code = "tt10-not-written"
    retry = True


class ServerUnreachable(Unreachable):
    code = "tt10-server-unreachable"


class LoginRefused(NotAllowed):
    code = "tt10-login-refused"


class WrongServer(NotAllowed):
    """The server is not the one it should be: another host key, or a certificate that does not hold."""

    code = "tt10-wrong-server"


class FileRefused(Rejected):
    """The server says no to a file: rights, quota, name."""

    code = "tt10-file-refused"
