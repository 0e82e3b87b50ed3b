"""The panel of runs, offscreen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nuke_vdp.runs.events import Snapshot

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


class FakeRun:
    """What the panel asks of a run."""

    def __init__(self, out: str, snapshot: Snapshot, name: str = "") -> None:
        self.out, self.now, self.cancelled = out, snapshot, 0
        self.request = SimpleNamespace(name=name)

    def snapshot(self) -> Snapshot:
        return self.now

    def cancel(self) -> None:
        self.cancelled += 1
        self.now = Snapshot("stopped", 0.42, log=("stopped",))


RUNNING = Snapshot("running", 0.42, "fit", "step 210 of 500", 185.0, log=("prep: done", "fit: step 210 of 500"))
QUEUED = Snapshot("queued", message="waits for the GPU: VDP works on dog there")
FAILED = Snapshot("lost", 0.1, error="memory may have run out", log=("killed",))


@pytest.fixture
def panel(gui: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel with three runs."""
    try:
        from PySide6 import QtWidgets
    except ImportError as error:
        pytest.skip(f"PySide6 cannot be imported: {error}")
    from nuke_vdp import node as nodes
    from nuke_vdp.panel import RunsPanel

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    seen = [
        FakeRun("/shots/dog/vdp/VDP1", RUNNING, "dog"),
        FakeRun("/shots/dog/vdp/VDP2", QUEUED),
        FakeRun("/shots/cat/vdp/VDP1", FAILED, "cat"),
    ]
    monkeypatch.setattr(nodes, "session_runs", lambda: list(seen))
    made = RunsPanel()
    made.runs_for_test = seen
    yield made
    made.close()
    application.processEvents()


def row(panel: Any, index: int) -> list[str]:
    return [panel.table.item(index, column).text() for column in (0, 1, 2, 4)]


def test_runs_are_listed(panel: Any) -> None:
    assert [row(panel, index) for index in range(3)] == [
        ["(no node)", "dog", "running", "3 min left"],
        ["(no node)", "VDP2", "queued", ""],
        ["(no node)", "cat", "failed", ""],
    ]
    assert [panel.table.cellWidget(index, 3).value() for index in range(3)] == [42, 0, 10]
    assert panel.table.item(2, 2).toolTip() == "memory may have run out"


def test_nodes_of_a_run_are_named(gui: ModuleType, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nuke_vdp import node as nodes

    monkeypatch.setattr(nodes, "nodes_of", lambda *_: [gui.nodes.NoOp(name="Dog"), gui.nodes.NoOp(name="Cat")])
    panel.refresh()
    assert row(panel, 0)[0] == "Dog, Cat"


def test_log_follows_the_selected_run(panel: Any) -> None:
    assert panel.log.toPlainText() == "killed"
    panel.table.selectRow(0)
    assert panel.log.toPlainText() == "prep: done\nfit: step 210 of 500"
    panel.runs_for_test[0].now = Snapshot("running", 0.5, log=("prep: done", "fit: step 250 of 500"))
    panel.refresh()
    assert panel.log.toPlainText().endswith("step 250 of 500")
    assert panel.table.cellWidget(0, 3).value() == 50


def test_cancel_is_for_the_selected_run_that_goes_on(panel: Any) -> None:
    assert not panel.cancel_button.isEnabled()
    panel.table.selectRow(1)
    panel.cancel_button.click()
    assert [run.cancelled for run in panel.runs_for_test] == [0, 1, 0]
    assert row(panel, 1)[2] == "stopped" and not panel.cancel_button.isEnabled()


def test_it_looks_only_while_it_is_seen(panel: Any) -> None:
    assert not panel._timer.isActive()
    panel.show()
    assert panel._timer.isActive()
    panel.hide()
    assert not panel._timer.isActive()


def test_without_runs(panel: Any) -> None:
    panel.runs_for_test.clear()
    panel.refresh()
    assert panel.table.rowCount() == 0
    assert not panel.cancel_button.isEnabled() and not panel.folder_button.isEnabled()
    panel.cancel()
    panel.show_folder()


def test_a_run_of_somebody_else_cannot_be_cancelled(
    gui: ModuleType, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nuke_vdp.errors import HostError

    def refuse() -> None:
        raise HostError("The run belongs to another user.")

    panel.table.selectRow(0)
    monkeypatch.setattr(panel.runs_for_test[0], "cancel", refuse)
    panel.cancel()
    assert gui.standin.messages() == [("message", "The run belongs to another user.")]


def test_it_opens_in_a_pane(gui: ModuleType, panel: Any) -> None:
    from nuke._callbacks import evaluate

    from nuke_vdp import ui

    ui.show_panel()
    assert ("pane", "VDP Runs") in gui.standin.messages()
    assert evaluate(ui.PANEL_WIDGET) is type(panel)
