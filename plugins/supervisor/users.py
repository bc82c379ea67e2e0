"""Users as job files name them, and ranges of ids that an operator forbids."""

from __future__ import annotations

import grp
import os
import pwd
from typing import NamedTuple

from plugins.driver import DriverError


class Account(NamedTuple):
    """A resolved user. `name` is empty for a bare number that the machine has no entry for."""

    uid: int
    gid: int
    groups: list[int]
    name: str
    home: str


def find_account(user: str) -> Account:
    """Resolve `NAME`, `UID`, `NAME:GROUP` or `UID:GID`.

    Raises: DriverError when the machine knows no such user.
    """
    name, _, group = user.partition(":")
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        uid, gid, home, name = entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_name
    except (KeyError, OverflowError):
        if not name.isdecimal() or int(name) >= 2**32 - 1:
            raise DriverError(f"user {name!r} does not exist on this node") from None
        uid, gid, home, name = int(name), int(name), "/", ""
    if group:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise DriverError(f"group {group!r} of user {user!r} does not exist on this node") from None
        groups = [gid]
    else:
        groups = os.getgrouplist(name, gid) if name else [gid]
    return Account(uid, gid, groups, name, home)


def parse_ranges(text: str) -> list[range]:
    """Parse `0,10-20` into ranges of ids. Raises: ValueError, worded for the operator."""
    found: list[range] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(f"{part!r} is neither an id nor a range such as 10-20")
        first, last = int(low), int(high or low)
        if last < first:
            raise ValueError(f"range {part!r} ends before it begins")
        found.append(range(first, last + 1))
    return found


def check_allowed(driver: str, account: Account, denied_uids: str, denied_gids: str) -> None:
    """Raise DriverError when the operator forbids this user or one of its groups."""
    label = account.name or str(account.uid)
    if any(account.uid in ids for ids in parse_ranges(denied_uids)):
        raise DriverError(
            f"driver {driver!r} may not run as user {label!r}: uid {account.uid} is in denied_host_uids"
        )
    for gid in {account.gid, *account.groups}:
        if any(gid in ids for ids in parse_ranges(denied_gids)):
            raise DriverError(
                f"driver {driver!r} may not run as user {label!r}: gid {gid} is in denied_host_gids"
            )
