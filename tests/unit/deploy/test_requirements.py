"""What is installed, and in which versions."""

from __future__ import annotations

import configparser
import re

from deploy.local.layout import CHECKOUT


def name_of(requirement: str) -> str:
    """As package indices compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=! ]", requirement)[0]).lower()


def test_whatever_is_required_comes_in_a_version_that_the_tests_passed_with() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(CHECKOUT / "setup.cfg")
    texts = [metadata["options"]["install_requires"], *metadata["options.extras_require"].values()]
    required = {name_of(line) for text in texts for line in text.splitlines() if line}
    pinned = (CHECKOUT / "constraints.txt").read_text().splitlines()
    assert required - {name_of(line) for line in pinned if "==" in line} == set()
