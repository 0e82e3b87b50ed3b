"""The panel of runs: what goes on, how far it is, and the live log. GUI only; PySide6 (Nuke 16) or PySide2."""

from __future__ import annotations

import importlib
import os
from typing import Any

import nuke

from nuke_vdp import node as nodes
from nuke_vdp import states
from nuke_vdp.errors import HostError
from nuke_vdp.runs.events import Snapshot


def _qt(module: str) -> Any:
    try:
        return importlib.import_module(f"PySide6.{module}")
    except ImportError:
        return importlib.import_module(f"PySide2.{module}")


QtCore: Any = _qt("QtCore")
QtGui: Any = _qt("QtGui")
QtWidgets: Any = _qt("QtWidgets")

COLUMNS = ("Node", "Shot", "State", "Progress", "Time left")
_REFRESH_MS = 500


class RunsPanel(QtWidgets.QWidget):
    """A table of the runs of this session, the log of the selected one, and what can be done with it.

    It looks at the runs twice a second, on the main thread, while it can be seen.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._runs: list[Any] = []
        self._log: Any = None
        self.table = QtWidgets.QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self.table.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
        self.table.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.itemSelectionChanged.connect(self.refresh)
        self.log = QtWidgets.QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setFont(QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.FixedFont))
        self.cancel_button = QtWidgets.QPushButton("Cancel")
        self.cancel_button.setToolTip("Stops the selected run; what is finished is kept.")
        self.cancel_button.clicked.connect(self.cancel)
        self.folder_button = QtWidgets.QPushButton("Show folder")
        self.folder_button.clicked.connect(self.show_folder)
        self._lay_out()
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        buttons = QtWidgets.QHBoxLayout()
        buttons.addWidget(self.cancel_button)
        buttons.addWidget(self.folder_button)
        buttons.addStretch()
        split = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        split.addWidget(self.table)
        split.addWidget(self.log)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(split)
        layout.addLayout(buttons)

    def showEvent(self, event: Any) -> None:
        self.refresh()
        self._timer.start()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def selected(self) -> Any | None:
        """The selected run, else the newest one."""
        row = self.table.currentRow()
        if 0 <= row < len(self._runs):
            return self._runs[row]
        return self._runs[-1] if self._runs else None

    def refresh(self) -> None:
        """Show the runs as they are now."""
        self._runs = nodes.session_runs()
        self.table.setRowCount(len(self._runs))
        everyone = nodes.all_nodes()
        for row, run in enumerate(self._runs):
            names = ", ".join(str(node.fullName()) for node in nodes.nodes_of(run.out, everyone))
            self._show_run(row, run, run.snapshot(), names)
        chosen = self.selected()
        snapshot = None if chosen is None else chosen.snapshot()
        self.cancel_button.setEnabled(snapshot is not None and not snapshot.ended)
        self.folder_button.setEnabled(chosen is not None)
        lines = () if snapshot is None else snapshot.log
        if lines != self._log:
            self._log = lines
            self.log.setPlainText("\n".join(lines))
            self.log.verticalScrollBar().setValue(self.log.verticalScrollBar().maximum())

    def cancel(self) -> None:
        """Stop the selected run."""
        run = self.selected()
        if run is None:
            return
        try:
            run.cancel()
        except HostError as error:
            nuke.message(str(error))
        self.refresh()

    def show_folder(self) -> None:
        """Open the folder of the selected run in the system's file browser."""
        run = self.selected()
        if run is not None:
            QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(run.out))

    def _show_run(self, row: int, run: Any, snapshot: Snapshot, names: str) -> None:
        shot = run.request.name or os.path.basename(run.out)
        left = states.time_left(snapshot.eta_s) if not snapshot.ended else ""
        state = snapshot.state if snapshot.state != "lost" else states.FAILED
        for column, text in ((0, names or "(no node)"), (1, shot), (2, state), (4, left)):
            item = self.table.item(row, column)
            if item is None:
                item = QtWidgets.QTableWidgetItem()
                self.table.setItem(row, column, item)
            item.setText(text)
            item.setToolTip(states.words(snapshot) if column == 2 else run.out)
        progress = self.table.cellWidget(row, 3)
        if progress is None:
            progress = QtWidgets.QProgressBar()
            progress.setRange(0, 100)
            self.table.setCellWidget(row, 3, progress)
        progress.setValue(round(100 * snapshot.fraction))
