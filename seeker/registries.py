"""The credentials that go along with a job, so that givers can pull its private image.

They are those that this user's Docker has: `docker login` has put them into its configuration, or
into a helper named there.
"""

from __future__ import annotations

import warnings

from docker import auth
from docker.errors import DockerException

from schemas.identifiers import registry_of
from schemas.job import RegistryAuth


class NoCredentials(Exception):
    """The message names the registry and the remedy."""


def credentials(image: str) -> RegistryAuth:
    """
    Raises:
        NoCredentials: there are none for the image's registry, or they cannot be read.
    """
    registry = registry_of(image)
    try:
        with warnings.catch_warnings(action="ignore"):  # What is wrong is in the error, too.
            found = auth.load_config().resolve_authconfig(registry)
    except (DockerException, ValueError, OSError) as error:
        raise NoCredentials(
            f"the credentials of {registry} cannot be read ({error}): mend Docker's "
            f"configuration, or `docker login {registry}` anew"
        ) from error
    # A helper's answer and a file's entry are spelt differently.
    known = {name.lower(): value for name, value in (found or {}).items() if value}
    made = RegistryAuth(
        registry=registry,
        username=known.get("username", ""),
        password=known.get("password", ""),
        identity_token=known.get("identitytoken", ""),
    )
    if not (made.identity_token or (made.username and made.password)):
        raise NoCredentials(
            f"there are no credentials for {registry}, which image {image} comes from: "
            f"`docker login {registry}` first, or leave out --with-registry-auth"
        )
    return made
