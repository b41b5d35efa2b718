"""Whether a task asks for more than a giver's owner allows."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.job import GIB, MIB, ContainerSpec, Grants, Resources
from schemas.policy import Excess, Policy, excess

ONE = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"


def asked(image: str = "busybox:1", timeout_s: float = 60, **grants: Any) -> ContainerSpec:
    return ContainerSpec(image=image, timeout_s=timeout_s, grants=Grants(**grants))


def needing(**resources: Any) -> ContainerSpec:
    return ContainerSpec(image="i", resources=Resources(**resources))


def found(policy: Policy, container: ContainerSpec, digest: str | None = None) -> Excess:
    over = excess(policy, container, digest)
    assert over is not None
    return over


def test_by_default_nothing_is_granted_and_nothing_limited() -> None:
    for policy in (None, Policy()):
        assert excess(policy, needing(cpus=4096, memory_bytes=1 << 50, gpus=64)) is None
    for grant in ({"network": True}, {"writable_root": True}, {"runtime": "runsc"}):
        assert excess(None, asked(**grant)) == excess(Policy(), asked(**grant)) is not None


@pytest.mark.parametrize(
    ("granted", "wanted", "reason"),
    [
        ({"network": True}, {"network": True}, None),
        ({}, {"network": True}, "grants no network"),
        ({}, {"writable_root": True}, "grants no writable root"),
        ({"capabilities": ("NET_RAW",)}, {"capabilities": ("NET_RAW",)}, None),
        (
            {"capabilities": ("NET_RAW",)},
            {"capabilities": ("NET_RAW", "SYS_ADMIN")},
            "grants no capability SYS_ADMIN (it grants: NET_RAW)",
        ),
        ({"runtimes": ("crun", "runsc")}, {"runtime": "runsc"}, None),
        ({}, {"runtime": "runsc"}, "grants no runtime runsc (it grants: none)"),
    ],
)
def test_what_is_not_granted_is_named(
    granted: dict[str, Any], wanted: dict[str, Any], reason: str | None
) -> None:
    over = excess(Policy(**granted), asked(**wanted))
    assert (over.reason if over else None) == reason


@pytest.mark.parametrize(
    ("most", "container", "reason"),
    [
        ({"cpus": 2.0}, needing(cpus=2.5), "allows a task 2 CPUs, 2.5 are asked for"),
        (
            {"memory_bytes": 512 * MIB},
            needing(memory_bytes=GIB),
            "allows a task 512 MiB of memory, 1024 are asked for",
        ),
        (
            {"disk_bytes": 0},
            needing(disk_bytes=GIB),
            "allows a task 0 MiB of disk, 1024 are asked for",
        ),
        ({"gpus": 0}, needing(gpus=1), "allows a task 0 GPUs, 1 are asked for"),
        ({"pids": 64}, needing(pids=65), "allows a task 64 processes, 65 are asked for"),
        ({"timeout_s": 59.5}, asked(), "allows a task 59.5 s of run time, 60 are asked for"),
    ],
)
def test_what_is_too_much_is_named_with_the_limit(
    most: dict[str, Any], container: ContainerSpec, reason: str
) -> None:
    assert found(Policy(**most), container).reason == reason


@pytest.mark.parametrize(
    ("pattern", "image", "fits"),
    [
        ("*", "sha256:" + "a" * 64, True),
        ("busybox", "busybox:1.36", True),
        ("busybox", "docker.io/library/busybox", True),
        ("docker.io/library/busybox", "busybox", True),
        ("docker.io/*", "alice/app:2", True),
        ("alice/*", "alice/app@" + ONE, True),
        ("alice/*", "ghcr.io/alice/app", False),
        ("ghcr.io/alice/*", "ghcr.io/alice/deep/app:3", True),
        ("ghcr.io/alice/*", "ghcr.io.evil.org/alice/app", False),
        ("127.0.0.1:5000/*", "127.0.0.1:5000/app:1", True),
        ("localhost/*", "localhost/app", True),
        # These name whatever image has such an id.
        ("docker.io/*", "deadbeef", False),
        ("docker.io/*", "sha256:" + "a" * 64, False),
    ],
)
def test_images_are_allowed_by_their_repository(pattern: str, image: str, fits: bool) -> None:
    assert (excess(Policy(images=("other", pattern)), asked(image)) is None) is fits


def test_an_image_allowed_by_its_digest_must_turn_out_to_be_that_one() -> None:
    policy = Policy(images=(f"alice/*@{ONE}",))
    assert excess(policy, asked(f"alice/app@{ONE}")) is None
    assert excess(policy, asked("alice/app:1")) is None
    assert excess(policy, asked("alice/app:1"), f"alice/app@{ONE}") is None
    assert excess(policy, asked("alice/app:1"), ONE) is None
    assert found(policy, asked(f"alice/app@{OTHER}")).reason == (
        f"allows image alice/app@{OTHER} only as {ONE}, not as {OTHER}"
    )
    assert OTHER in found(policy, asked("alice/app:1"), f"alice/app@{OTHER}").reason


def test_a_long_list_is_cut() -> None:
    policy = Policy(images=tuple(f"registry.example/team-{number}/*" for number in range(100)))
    assert len(found(policy, asked("evil")).reason) < 300


@pytest.mark.parametrize("name", ["ALL", "CAP_NET_RAW", "net_raw", ""])
def test_a_capability_goes_by_its_own_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Grants(capabilities=(name,))
