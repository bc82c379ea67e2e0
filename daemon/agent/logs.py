"""The agent's own log: text or JSON lines, to the terminal and a rotated file, and live to `encamp monitor`.

Nothing secret is ever logged; ids and reasons are.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from daemon.config.settings import LogSettings

#: Nomad's words for levels.
LEVELS = {
    "TRACE": 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "OFF": 100,
}
logging.addLevelName(5, "TRACE")
logging.addLevelName(logging.WARNING, "WARN")
logging.addLevelName(logging.CRITICAL, "ERROR")

#: lines kept for a monitor that starts now or reads slowly.
RECENT_MAX = 512
#: rotated files kept when there is no limit in the configuration.
KEPT_MAX = 10_000


class TextFormatter(logging.Formatter):
    """`2026-01-02T15:04:05.678+0000 [INFO] encamp.server: words`."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(levelname)s] %(name)s: %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the keys that Nomad's users know."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        line = {
            "@level": record.levelname.lower(),
            "@message": message,
            "@module": record.name,
            "@timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
        }
        return msgspec.json.encode(line).decode()


class MonitorHandler(logging.Handler):
    """Keeps the last records and tells readers of new ones. Independent of the level of the log file."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.records: deque[tuple[int, logging.LogRecord]] = deque(maxlen=RECENT_MAX)
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record. Readers poll the counter, since records come from any thread."""
        self._count += 1
        self.records.append((self._count, record))

    @property
    def count(self) -> int:
        """Number of the last record."""
        return self._count

    def since(self, count: int) -> list[tuple[int, logging.LogRecord]]:
        """Records after number `count` that are still kept."""
        return [(number, record) for number, record in list(self.records) if number > count]


class LogFile(logging.handlers.RotatingFileHandler):
    """Rotated by size and by age; `max_files` 0 keeps all."""

    def __init__(self, path: Path, *, rotate_bytes: int, rotate_duration_s: float, max_files: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=rotate_bytes, backupCount=max_files or KEPT_MAX, encoding="utf-8")
        self._duration_s = rotate_duration_s
        self._opened_s = time.monotonic()

    def shouldRollover(self, record: logging.LogRecord) -> int:
        """True when the file is large or old enough."""
        old = self._duration_s > 0 and time.monotonic() - self._opened_s > self._duration_s
        return int(old or bool(super().shouldRollover(record)))

    def doRollover(self) -> None:
        """Begin a new file."""
        super().doRollover()
        self._opened_s = time.monotonic()


def set_up(settings: LogSettings, *, default_name: str = "encamp.log") -> MonitorHandler:
    """Configure the root logger of this process. Returns the handler that monitors read."""
    json = settings.format == "json"
    level = settings.level
    formatter: logging.Formatter = JsonFormatter() if json else TextFormatter()
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if settings.file:
        path = Path(settings.file)
        handlers.append(
            LogFile(
                path / default_name if settings.file.endswith("/") else path,
                rotate_bytes=settings.rotate_bytes,
                rotate_duration_s=settings.rotate_duration_s,
                max_files=settings.rotate_max_files,
            )
        )
    for handler in handlers:
        handler.setLevel(LEVELS[level])
        handler.setFormatter(formatter)
        root.addHandler(handler)
    monitor = MonitorHandler()
    root.addHandler(monitor)
    root.setLevel(min(LEVELS[level], logging.DEBUG))
    for noisy in ("docker", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return monitor
