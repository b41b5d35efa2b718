"""YAML that people write: only plain data, and no key twice, of which the last would win."""

from __future__ import annotations

from typing import Any

import yaml


class YamlError(ValueError):
    """The text cannot be read; the message says where and why."""


def load(text: bytes) -> Any:
    """
    Raises:
        YamlError: it is no YAML, or has a key twice.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  It is a SafeLoader.
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise YamlError(f"it is not YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses what YAML forbids and PyYAML takes."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (key.tag, key.value) in seen:
                before = seen[key.tag, key.value]
                raise YamlError(
                    f"key {key.value!r} is there twice, in line {before} and in line {line}: "
                    "remove one of them"
                )
            seen[key.tag, key.value] = line
        return node
