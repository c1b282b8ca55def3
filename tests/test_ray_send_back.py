"""What jobs send back: a delivery that is refused costs no other."""

from __future__ import annotations

import pytest
from hydra.core.utils import JobReturn, JobStatus

from das_ag import sweep
from das_ag.errors import UserError
from hydra_plugins.das_ag_launchers import ray_send_back


def test_a_refused_delivery_costs_no_other(monkeypatch):
    def launch(*_):
        return [JobReturn(_return_value=name, status=JobStatus.COMPLETED) for name in ("first", "strange", "last")]

    def receive(delivery):
        taken.append(delivery)
        if delivery == "strange":
            raise UserError("outputs/made_up: nothing of this delivery is taken.")

    taken = []
    monkeypatch.setattr(ray_send_back.RayLauncher, "launch", launch)
    monkeypatch.setattr(sweep, "receive", receive)
    launcher = object.__new__(ray_send_back.RaySendBackLauncher)
    with pytest.raises(UserError, match=r"^outputs/made_up: nothing of this delivery is taken\.$"):
        launcher.launch([], 0)
    assert taken == ["first", "strange", "last"]
