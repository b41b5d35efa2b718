"""The job as a file, such as anybody would write it for `seeker enqueue -f`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.demo.picture import Scene

RENDER = Path(__file__).with_name("render.awk")

_HEAD = """\
# The picture of `make demo`: a container for each tile, each tile by two givers that have to agree.
# To have it computed once more:
#   seeker enqueue -f {path}
"""


def job(scene: Scene, image: str) -> dict[str, Any]:
    """The keys of the job file; task i is `scene.tiles[i]`.

    Args:
        image: one with an awk, such as busybox.
    """
    return {
        "name": "julia",
        "image": image,
        "command": [
            "awk",
            "-v",
            "column={{x}}",
            "-v",
            "row={{y}}",
            _Block(RENDER.read_text(encoding="utf-8")),
        ],
        "env": scene.environment(),
        "resources": {"cpus": 1, "memory": "64MiB", "disk": "16MiB", "pids": 8},
        "timeout": "5m",
        "replicas": 2,
        "quorum": 2,
        "max_attempts": 8,
        "parameters": [{"x": str(tile.column), "y": str(tile.row)} for tile in scene.tiles],
    }


def write(scene: Scene, image: str, path: Path) -> None:
    text = yaml.dump(job(scene, image), Dumper=_Dumper, sort_keys=False, default_flow_style=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_HEAD.format(path=path) + text, encoding="utf-8")


class _Block(str):
    """Written line by line, to be read by people."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Block, lambda dumper, block: dumper.represent_scalar("tag:yaml.org,2002:str", block, style="|")
)
