"""Bytes to frames: finding them again behind noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.profiles.lines import FrameShape
from drivers.serial_frames.parse import fits


class FrameCutter:
    """Looks for a header at every byte, so noise and half frames cost nothing but themselves. Of all that is no
    frame one piece is given on before the frames of its chunk: whoever reads it learns that rubbish came."""

    def __init__(self, shapes: Iterable[FrameShape]) -> None:
        self._shapes = [(bytes.fromhex(shape.header), shape) for shape in shapes]
        self._rest = b""

    def clear(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> Sequence[bytes]:
        stream = self._rest + data
        frames: list[bytes] = []
        bad = noise = b""
        at = 0
        while at < len(stream):
            begun = self._begun(stream, at)
            whole = [piece for piece in begun if fits(*piece)]
            if whole:
                frames.append(whole[0][1])
                at += len(whole[0][1])
            elif any(len(piece) < shape.length for shape, piece in begun):
                break
            else:
                bad = bad or (begun[0][1] if begun else b"")
                noise = noise or stream[at : at + 1]
                at += 1
        self._rest = stream[at:]
        rubbish = bad or noise
        return [rubbish, *frames] if rubbish else frames

    def pause(self) -> Sequence[bytes]:
        """A header in noise may promise more than will come; a whole frame behind it need not wait for that."""
        for at in range(1, len(self._rest)):
            for shape, piece in self._begun(self._rest, at):
                if fits(shape, piece):
                    self._rest = self._rest[at + shape.length :]
                    return [piece, *self.cut(b""), *self.pause()]
        return []

    def _begun(self, stream: bytes, at: int) -> list[tuple[FrameShape, bytes]]:
        """The kinds of frames that may begin here, with what there is of each."""
        return [
            (shape, stream[at : at + shape.length])
            for header, shape in self._shapes
            if stream.startswith(header[: len(stream) - at], at)
        ]
