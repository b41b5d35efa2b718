"""The image that the tiles run in: a static busybox and one awk script, nothing else."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

import docker
import docker.errors

IMAGE = "fractal:demo"

RENDER = Path(__file__).with_name("render.awk")
_APPLETS = ("sh", "awk", "cat", "ls", "wc", "sleep", "env", "id")
_PT_INTERP = 3


class NoBusybox(Exception):
    """No statically linked busybox on this host; the message says how to get one."""


def build_image(client: docker.DockerClient, busybox: Path) -> None:
    """Make `fractal:demo` at that Docker engine out of two files; needs no registry.

    Raises:
        docker.errors.DockerException: the engine would not take it.
    """
    client.api.import_image_from_data(
        _root_filesystem(busybox).getvalue(),
        repository=IMAGE.partition(":")[0],
        tag=IMAGE.partition(":")[2],
        changes=["ENV PATH=/bin", 'CMD ["/bin/sh"]'],
    )


def _root_filesystem(busybox: Path) -> io.BytesIO:
    """A tar of the image's files, the same bytes for the same files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for name, source, mode in (
            ("bin/busybox", busybox, 0o755),
            ("render.awk", RENDER, 0o644),
        ):
            content = source.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return archive


def find_busybox(candidates: Sequence[Path] | None = None) -> Path:
    """A busybox that runs without any library beside it.

    Raises:
        NoBusybox: there is none here, or all are dynamically linked.
    """
    if candidates is None:
        found = shutil.which("busybox")
        candidates = [Path(found)] if found else []
        candidates.append(Path("/bin/busybox"))
    for candidate in candidates:
        if candidate.is_file() and is_static(candidate):
            return candidate
    raise NoBusybox(
        "no statically linked busybox found: install one with `apt-get install busybox-static`"
    )


def is_static(program: Path) -> bool:
    """Whether a 64-bit little-endian ELF program needs no dynamic loader."""
    content = program.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":
        return False
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return all(
        struct.unpack_from("<I", content, table + size * entry)[0] != _PT_INTERP
        for entry in range(count)
    )
