"""`busybox:local`: an image to play with, made of the host's static busybox; no registry asked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import docker.errors

from deploy.local.docker_engine import connect
from deploy.local.errors import StackError

REPOSITORY, TAG = "busybox", "local"
NAME = f"{REPOSITORY}:{TAG}"
_DIGEST_LABEL = "seekgive.local.digest"

_FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def build(host: str, busybox: Path) -> None:
    """Import the image unless the very same is there.

    Raises:
        StackError: Docker does not take it.
    """
    layer = _layer(busybox)
    digest = hashlib.sha256(layer).hexdigest()
    with contextlib.closing(connect(host)) as client:
        with contextlib.suppress(docker.errors.ImageNotFound):
            if client.images.get(NAME).labels.get(_DIGEST_LABEL) == digest:
                return
        try:
            client.api.import_image_from_data(
                layer,
                repository=REPOSITORY,
                tag=TAG,
                changes=["ENV PATH=/bin", 'CMD ["sh"]', f"LABEL {_DIGEST_LABEL}={digest}"],
            )
            # Some refusals come inside an answer that says 200.
            client.images.get(NAME)
        except docker.errors.DockerException as error:
            raise StackError(f"Docker at {host} does not take the image {NAME}: {error}") from error


def _layer(busybox: Path) -> bytes:
    """The same busybox gives the same bytes: no times, no owners."""
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        program = busybox.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        for applet in sorted(set(listing.stdout.split()) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
        for path, text in _FILES.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
