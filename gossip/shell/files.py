"""The two files of a member: its snapshot and its keyring. All of it blocks; call it from a thread.

Theory: a file is replaced by writing another one, syncing it, renaming it over the old one and syncing the folder, so
that a crash at any moment leaves one of the two whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gossip.errors import KeyringError
from gossip.wire.keyring import keys_from_json, keys_to_json


def replace_file(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in place of another, safely. Raises: OSError."""
    target = Path(path)
    temporary = target.with_name(target.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_lines(path: str) -> list[str]:
    """A snapshot's lines; none if there is no file. Raises: OSError."""
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def append_lines(path: str, lines: Sequence[str], *, sync: bool) -> int:
    """Append, and return the file's size. Raises: OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write("".join(line + "\n" for line in lines).encode())
        file.flush()
        if sync:
            os.fsync(file.fileno())
        return file.tell()


def write_lines(path: str, lines: Sequence[str]) -> int:
    """Replace a snapshot by a compact one, and return its size. Raises: OSError."""
    data = "".join(line + "\n" for line in lines).encode()
    replace_file(path, data)
    return len(data)


def read_keys(path: str) -> tuple[bytes, ...]:
    """A keyring file; empty if there is none. Raises: OSError, KeyringError (with the path)."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return ()
    try:
        return keys_from_json(data)
    except KeyringError as error:
        raise KeyringError(f"keyring file {path}: {error}") from error


def write_keys(path: str, keys: tuple[bytes, ...]) -> None:
    """Keep the keys, readable for the owner only. Raises: OSError."""
    replace_file(path, keys_to_json(keys))
