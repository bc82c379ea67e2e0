"""Where the parts of an allocation's directory are. Pure.

    ALLOC_DIR/ID/alloc/{data,logs,tmp}            shared by the tasks
    ALLOC_DIR/ID/TASK/{local,secrets,private,tmp} of one task; secrets is a tmpfs where the agent may mount

Source: spec/nomad-surface.md A4.
"""

from __future__ import annotations

from pathlib import Path

#: directories that are never read from outside.
HIDDEN = frozenset({"secrets", "private"})
SHARED = ("data", "logs", "tmp")


class AllocLayout:
    """Paths of one allocation."""

    def __init__(self, alloc_dir: Path, alloc_id: str) -> None:
        self.root = alloc_dir / alloc_id
        self.shared = self.root / "alloc"
        self.logs = self.shared / "logs"
        self.data = self.shared / "data"

    def task(self, name: str) -> Path:
        """The task's own directory."""
        return self.root / name

    def local(self, name: str) -> Path:
        """NOMAD_TASK_DIR on the host."""
        return self.root / name / "local"

    def secrets(self, name: str) -> Path:
        """NOMAD_SECRETS_DIR on the host."""
        return self.root / name / "secrets"
