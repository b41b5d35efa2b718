"""Choice of ports."""

from __future__ import annotations

import socket

import pytest

from deploy.local import ports
from deploy.local.errors import StackError


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_ports_promised_to_other_services_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_LOWEST", 20_000)
    monkeypatch.setattr(ports, "_HIGHEST", 20_002)
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    assert ports.choose([20_000, 20_002]) == 20_001
    with pytest.raises(StackError, match="no free port between 20000 and 20002"):
        ports.choose([20_000, 20_001, 20_002])
