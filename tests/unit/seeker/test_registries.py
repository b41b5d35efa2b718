"""Credentials that go along with a job: where they are found, and who never sees them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from schemas.assignment import Dispatch
from schemas.base import MalformedMessage
from schemas.identifiers import registry_of
from schemas.job import ContainerSpec, JobSpec, RegistryAuth
from seeker import jobfile
from seeker.registries import NoCredentials, credentials

IMAGE = "registry.example:5000/team/tool:1"
AUTH = RegistryAuth(registry="registry.example:5000", username="me", password="pa55word")


@pytest.fixture
def docker_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def configure(folder: Path, **values: object) -> None:
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "docker.io"),
        ("library/busybox:1", "docker.io"),
        ("localhost/a", "localhost"),
        ("localhost:5000/a/b:1", "localhost:5000"),
        ("ghcr.io/a/b@sha256:" + "0" * 64, "ghcr.io"),
    ],
)
def test_where_an_image_comes_from(image: str, registry: str) -> None:
    assert registry_of(image) == registry


def test_what_docker_login_wrote_is_found(docker_folder: Path) -> None:
    auth = b64encode(b"me:pa55word").decode()
    configure(docker_folder, auths={"https://registry.example:5000": {"auth": auth}})
    assert credentials(IMAGE) == AUTH


def test_a_helper_is_asked(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = docker_folder / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\nread -r server\n"
        '[ "$server" = registry.example:5000 ] || { echo "credentials not found"; exit 1; }\n'
        'echo \'{"ServerURL": "x", "Username": "<token>", "Secret": "t0ken"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker_folder), prepend=":")
    configure(docker_folder, credsStore="test")
    found = credentials(IMAGE)
    assert (found.identity_token, found.password) == ("t0ken", "")
    with pytest.raises(NoCredentials, match=r"docker login other.example"):
        credentials("other.example/tool")


def test_without_any_the_remedy_is_named(docker_folder: Path) -> None:
    with pytest.raises(NoCredentials, match=r"docker login docker.io.*--with-registry-auth"):
        credentials("team/tool")
    configure(docker_folder, credsStore="not-there")
    with pytest.raises(NoCredentials, match="cannot be read"):
        credentials("team/tool")


def test_credentials_go_to_their_own_registry_only() -> None:
    spec = ContainerSpec(image=IMAGE, registry_auth=AUTH)
    assert spec.registry_auth == AUTH
    with pytest.raises(ValueError, match=r"registry.example:5000.*elsewhere.example"):
        ContainerSpec(image="elsewhere.example/team/tool:1", registry_auth=AUTH)


def test_they_are_in_no_text_for_people() -> None:
    spec = JobSpec(container=ContainerSpec(image=IMAGE, registry_auth=AUTH))
    assert "pa55word" not in repr(spec)
    body = json.dumps(
        {
            "giver_id": "g",
            "assignments": [
                {"container": {"image": "elsewhere.example/a", "registry_auth": AUTH.model_dump()}}
            ],
        }
    )
    with pytest.raises(MalformedMessage) as refused:
        Dispatch.decode(body.encode())
    assert "pa55word" not in str(refused.value)
    body = body.replace('"pa55word"', '["pa55word"]')
    with pytest.raises(MalformedMessage, match="registry_auth") as refused:
        Dispatch.decode(body.encode())
    assert "pa55word" not in str(refused.value)


def test_a_job_file_asks_for_them_and_never_holds_them() -> None:
    assert jobfile.build({"image": IMAGE, "with_registry_auth": True}, "job").container == (
        ContainerSpec(image=IMAGE)
    )
    with pytest.raises(jobfile.JobFileError, match="with_registry_auth"):
        jobfile.build({"image": IMAGE, "with_registry_auth": "me:pa55word"}, "job")
