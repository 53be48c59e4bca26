"""The zip file of a bundle: written the same for the same content, and read with trust in none of its fields."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from unweave.base.errors import UnweaveError
from unweave.lab.bundle.manifest import LARGEST, NAME, Manifest
from unweave.lab.bundle.members import check_member, check_members, shown

MOST_FILES = 100_000
BLOCK = 1 << 20
# Deflate makes at most 1,032 bytes of one. A log of one line over and over comes near that; how much is unpacked is
# bounded by the whole.
RATIO = 1032
_SQUEEZED = (".csv", ".html", ".json", ".jsonl", ".md", ".py", ".svg", ".txt")
# A member's own header: mark, version, flags, method, time and date, checksum, sizes, lengths of name and extra field.
_LOCAL = struct.Struct("<4s2xHH4xLLLHH")
_ZIP64 = 0xFFFFFFFF
_REGULAR = stat.S_IFREG | 0o644
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


def entry(name: str, size: int) -> zipfile.ZipInfo:
    """A member without date, owner or anything else that differs from one export to the next."""
    found = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    squeezed = PurePosixPath(name).suffix in _SQUEEZED
    found.compress_type = zipfile.ZIP_DEFLATED if squeezed else zipfile.ZIP_STORED
    found.create_system = 3
    found.external_attr = _REGULAR << 16
    found.file_size = size
    return found


def copy(source: IO[bytes], *sinks: IO[bytes]) -> tuple[str, int]:
    """Copies to all ``sinks`` and returns the sha256 and the number of bytes."""
    digest, size = hashlib.sha256(), 0
    for block in iter(lambda: source.read(BLOCK), b""):
        digest.update(block)
        size += len(block)
        for sink in sinks:
            sink.write(block)
    return digest.hexdigest(), size


def check_number(files: int) -> None:
    """Refuses a bundle of more files than one may hold, its list among them."""
    if files > MOST_FILES:
        raise UnweaveError(f"the bundle holds {files:,} files, and {MOST_FILES:,} is the most: it is refused")


class Archive:
    """A bundle that somebody sent, open to read. Opening checks its form and its list; ``check`` every byte.

    Raises ``UnweaveError`` for whatever an exported bundle would not hold; nothing is ever taken in part.
    """

    def __init__(self, file: BinaryIO, largest: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise UnweaveError(f"this is not a whole bundle ({error}): it was damaged or is another file") from error
        members = self._zip.infolist()
        check_number(len(members))
        for member in members:
            _check_entry(member)
        check_members(member.orig_filename for member in members)
        total = sum(member.file_size for member in members)
        if total > largest:
            raise UnweaveError(
                f"the bundle unpacks to {total / 1e9:,.1f} GB, and {largest / 1e9:,.1f} GB is the most: refused whole"
            )
        _check_places(file, members, self._zip.start_dir)
        self._members = {member.orig_filename: member for member in members}
        self.manifest = self._read_manifest()

    def check(self) -> None:
        """Reads every file through. Raises ``UnweaveError`` at the first whose size or hash is not the listed one."""
        for name, listed in self.manifest.files.items():
            with self.opened(name) as source:
                _compare(name, listed, source)

    def extract(self, name: str, sink: IO[bytes]) -> None:
        """Writes one file, and compares it once more: the bundle's bytes may have changed since ``check``."""
        with self.opened(name) as source:
            _compare(name, self.manifest.files[name], source, sink)

    def opened(self, name: str) -> IO[bytes]:
        """A listed file, open to read from its beginning to its end."""
        try:
            return self._zip.open(self._members[name])
        except _DAMAGED as error:
            raise UnweaveError(f"{shown(name)} in the bundle is damaged ({error}): it is refused whole") from error

    def _read_manifest(self) -> Manifest:
        member = self._members.get(NAME)
        if member is None:
            raise UnweaveError(f"there is no {NAME} in this file: it is not a bundle of unweave")
        if member.file_size > LARGEST:
            raise UnweaveError(f"the bundle's {NAME} has {member.file_size:,} bytes, too many: it is refused")
        with self.opened(NAME) as source:
            try:
                content = source.read()
            except _DAMAGED as error:
                raise UnweaveError(f"the bundle's {NAME} is damaged ({error}): it is refused whole") from error
        manifest = Manifest.from_bytes(content)
        for name in sorted({*manifest.files, NAME} ^ set(self._members)):
            where = "listed and not there" if name in manifest.files else "there and not listed"
            raise UnweaveError(f"{shown(name)} is {where} in the bundle: it is refused whole")
        for name, (_, size) in manifest.files.items():
            if self._members[name].file_size != size:
                raise UnweaveError(f"{shown(name)} in the bundle has another size than listed: it is refused whole")
        return manifest


def _check_entry(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if name != NAME:
        check_member(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    # 0x10 is a folder's mark on MS-DOS; bit 0 an encrypted file, bits 5 and 6 a patch and strong
    # encryption, bit 3 sizes that follow the bytes.
    if kind not in (0, stat.S_IFREG) or member.external_attr & 0x10 or member.flag_bits & 0x69:
        raise UnweaveError(
            f"{shown(name)} in the bundle is a link, a folder, a device or encrypted: it is refused whole"
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.volume:
        raise UnweaveError(f"{shown(name)} in the bundle is packed in a way that bundles are not: it is refused whole")
    # Other fields of a zip file carry links, owners and times.
    if any(field != 1 for field, _ in _extras(member.extra)):
        raise UnweaveError(f"{shown(name)} in the bundle has fields that bundles have not: it is refused whole")
    stored = member.compress_type == zipfile.ZIP_STORED
    if member.file_size > RATIO * member.compress_size or (stored and member.file_size != member.compress_size):
        raise UnweaveError(f"{shown(name)} in the bundle lies about its size: it is refused whole")


def _check_places(file: BinaryIO, members: list[zipfile.ZipInfo], end: int) -> None:
    """The members fill the file from its first byte to the directory, and both places say the same of each."""
    place = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        file.seek(place)
        header = file.read(_LOCAL.size)
        if member.header_offset != place or len(header) < _LOCAL.size:
            raise UnweaveError(f"{shown(member.orig_filename)} shares bytes with another in the bundle: it is refused")
        mark, flags, method, checksum, packed, size, name, extra = _LOCAL.unpack(header)
        large = (_ZIP64, _ZIP64)
        told = (member.compress_size, member.file_size) if (packed, size) != large else large
        if (mark, flags, method, checksum, packed, size) != (
            *(b"PK\3\4", member.flag_bits, member.compress_type, member.CRC),
            *told,
        ):
            raise UnweaveError(f"{shown(member.orig_filename)} is told in two ways in the bundle: it is refused whole")
        place += _LOCAL.size + name + extra + member.compress_size
    if place != end:
        raise UnweaveError("the bundle holds bytes that belong to no file, or lacks some: it is refused whole")


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while extra:
        size = int.from_bytes(extra[2:4], "little")
        if len(extra) < 4 + size:
            yield -1, extra
            return
        yield int.from_bytes(extra[:2], "little"), extra[4 : 4 + size]
        extra = extra[4 + size :]


def _compare(name: str, listed: tuple[str, int], source: IO[bytes], *sinks: IO[bytes]) -> None:
    try:
        found = copy(source, *sinks)
    except _DAMAGED as error:
        raise UnweaveError(f"{shown(name)} in the bundle is damaged ({error}): it is refused whole") from error
    if found != listed:
        raise UnweaveError(f"{shown(name)} in the bundle has another sha256 or size than listed: it is refused whole")
