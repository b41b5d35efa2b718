"""Files that a person hands over with a job, and gets back from it."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from runtime.command_line import Unreachable, UserError
from runtime.signed_urls import UrlSigner
from runtime.transfers import DataError, Transfers
from schemas.data import Input, relative_path
from schemas.identifiers import new_session
from schemas.job import MOST_BYTES
from seeker.settings import SeekerSettings
from seeker.sources import Source, SourceError, pack

VALID_S = 3600.0
"""Of each URL, made just before it is used."""
INACTIVITY_S = 60.0
PATIENCE_S = 120.0

Said = Callable[[str], None]
"""Takes a line on what goes on."""


class Artifacts:
    """What the command line does with the channel's files."""

    def __init__(self, settings: SeekerSettings) -> None:
        """
        Raises:
            UserError: there is no key to sign with.
        """
        if settings.artifacts_key is None:
            raise UserError(
                "files cannot come or go: SEEKER_ARTIFACTS_KEY is not set; export the key that "
                "the channel has as CHANNEL_ARTIFACTS_KEY"
            )
        self._name = f"enqueue-{new_session()}"
        """In which inputs are kept: of nobody else, so that nobody else is waited for."""
        # From here, not from where givers are.
        self._urls = UrlSigner(settings.artifacts_key.get_secret_value(), settings.channel_url)

    async def bring(
        self, sources: Sequence[Source], most_bytes: int, say: Said
    ) -> tuple[Input, ...]:
        """Leave all of them with the channel.

        Raises:
            UserError: one cannot be read, or they have more bytes than they may altogether.
            Unreachable: the channel does not answer.
        """
        transfers = Transfers(INACTIVITY_S, PATIENCE_S)
        try:
            brought: list[Input] = []
            with tempfile.TemporaryDirectory(prefix="seeker-") as scratch:
                for source in sources:
                    made = await self._bring(source, Path(scratch), most_bytes, transfers, say)
                    most_bytes -= made.size_bytes
                    brought.append(made)
            return tuple(brought)
        except (OSError, SourceError) as error:
            raise UserError(str(error)) from error
        except DataError as error:
            raise Unreachable(str(error)) from error
        finally:
            await transfers.close()

    async def _bring(
        self, source: Source, scratch: Path, most_bytes: int, transfers: Transfers, say: Said
    ) -> Input:
        file = scratch / "content"
        if source.url:
            say(f"fetch {source.origin}")
            await _download(source.origin, file)
        elif source.folder:
            say(f"pack {source.origin}")
            await asyncio.to_thread(pack, Path(source.origin), file)
        else:
            file = Path(source.origin)
        sha256, size = await asyncio.to_thread(_measured, file)
        say(f"input {source.path}: {size} bytes")
        if size > most_bytes:
            raise UserError(
                f"input {source.path} has {size} bytes, and --disk leaves {most_bytes} for it: "
                "/in and /out together may hold what --disk says (1GiB unless set); raise it"
            )
        url = self._urls.write(self._name, MOST_BYTES, VALID_S)
        await transfers.leave(url, sha256, size, file)
        return Input(path=source.path, sha256=sha256, size_bytes=size, folder=source.folder)

    async def fetch(self, result: dict[str, Any], folder: Path) -> list[Path]:
        """Its output files, below `folder`; one that is there already is replaced.

        Raises:
            UserError: one cannot be written.
            Unreachable: the channel does not hand it over.
        """
        transfers = Transfers(INACTIVITY_S, PATIENCE_S)
        made = []
        try:
            for file in result["files"]:
                target = folder / relative_path(file["path"])
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f".{file['sha256']}.part")
                url = self._urls.read(file["sha256"], VALID_S)
                await transfers.fetch(url, file["sha256"], file["size_bytes"], part)
                part.replace(target)
                made.append(target)
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}") from error
        except DataError as error:
            raise Unreachable(str(error)) from error
        finally:
            await transfers.close()
        return made


async def _download(url: str, target: Path) -> None:
    try:
        async with (
            httpx.AsyncClient(timeout=INACTIVITY_S, follow_redirects=True) as http,
            http.stream("GET", url) as response,
        ):
            response.raise_for_status()
            with target.open("wb") as file:
                async for piece in response.aiter_bytes(1 << 20):
                    await asyncio.to_thread(file.write, piece)
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}"
        raise UserError(f"input {url} cannot be fetched: the answer is {answer}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"input {url} cannot be fetched: {error or type(error).__name__}"
        ) from error


def _measured(file: Path) -> tuple[str, int]:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest(), content.tell()
