"""Wrong settings are told apart by name, value and remedy."""

from __future__ import annotations

import pytest

from giver.settings import GiverSettings
from runtime.settings import SettingsError


def test_a_mapping_that_is_no_json_is_refused_with_the_form_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIVER_BROKER_URL", "amqp://127.0.0.1/")
    monkeypatch.setenv("GIVER_LABELS", "zone=a")
    with pytest.raises(SettingsError) as refused:
        GiverSettings.load()
    assert str(refused.value).startswith("GIVER_LABELS='zone=a' is not JSON: write it like {")
