"""Encodings, hashes and identifiers. Only `bcrypt` and `uuidv4` differ from call to call."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import urllib.parse
import uuid
from typing import Any

from daemon.jobspec.hcl.convert import to_text
from daemon.jobspec.hcl.functions.registry import function

#: values that a decoded document may hold, aliases counted each time.
_NODES_MAX = 100_000
_DEPTH_MAX = 60


@function("base64encode", "string")
def base64encode(text: str) -> str:
    """UTF-8 text in base64."""
    return base64.b64encode(text.encode()).decode()


@function("base64decode", "string")
def base64decode(text: str) -> str:
    """Text from base64."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("this is not base64 of UTF-8 text") from None


@function("csvdecode", "string")
def csvdecode(text: str) -> list[dict[str, str]]:
    """A list of objects; the first line names the keys."""
    rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    if not rows:
        raise ValueError("the first line with the column names is missing")
    head, *rest = rows
    if len(set(head)) != len(head):
        raise ValueError("two columns have the same name")
    for number, row in enumerate(rest, 2):
        if len(row) != len(head):
            raise ValueError(f"row {number} has {len(row)} values for {len(head)} columns")
    return [dict(zip(head, row, strict=True)) for row in rest]


@function("jsonencode", "any")
def jsonencode(value: Any) -> str:
    """Compact JSON, keys in order."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@function("jsondecode", "string")
def jsondecode(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return _plain(json.loads(text))
    except json.JSONDecodeError as failure:
        raise ValueError(f"not JSON: {failure}") from None


@function("yamlencode", "any")
def yamlencode(value: Any) -> str:
    """Block-style YAML, keys in order."""
    import yaml

    return str(yaml.safe_dump(value, sort_keys=True, allow_unicode=True, default_flow_style=False))


@function("yamldecode", "string")
def yamldecode(text: str) -> Any:
    """The value of a YAML document."""
    import yaml

    try:
        return _plain(yaml.safe_load(text))
    except yaml.YAMLError as failure:
        raise ValueError(f"not YAML: {' '.join(str(failure).split())}") from None


def _plain(value: Any) -> Any:
    budget = [_NODES_MAX]

    def walk(each: Any, depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or depth > _DEPTH_MAX:
            raise ValueError("the document is too large")
        if isinstance(each, dict):
            return {str(_scalar(key)): walk(inner, depth + 1) for key, inner in each.items()}
        if isinstance(each, list | tuple | set):
            return [walk(inner, depth + 1) for inner in each]
        return _scalar(each)

    return walk(value, 0)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


@function("urlencode", "string")
def urlencode(text: str) -> str:
    """For a query string."""
    return urllib.parse.quote_plus(text)


@function("md5", "string")
def md5(text: str) -> str:
    """Hash in hex; not for secrets."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@function("sha1", "string")
def sha1(text: str) -> str:
    """Hash in hex; not for secrets."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@function("sha256", "string")
def sha256(text: str) -> str:
    """Hash in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


@function("sha512", "string")
def sha512(text: str) -> str:
    """Hash in hex."""
    return hashlib.sha512(text.encode()).hexdigest()


@function("bcrypt", "string", "int", least=1)
def bcrypt(text: str, cost: int = 10) -> str:
    """Password hash."""
    import bcrypt as library

    if not 4 <= cost <= 14:
        raise ValueError("the cost must lie from 4 to 14")
    return library.hashpw(text.encode()[:72], library.gensalt(cost)).decode()


@function("uuidv4")
def uuidv4() -> str:
    """A random id."""
    return str(uuid.uuid4())


_NAMESPACES = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


@function("uuidv5", "string", "string")
def uuidv5(namespace: str, name: str) -> str:
    """The id of a name in a namespace: dns, url, oid, x500 or an id."""
    try:
        space = _NAMESPACES.get(namespace) or uuid.UUID(namespace)
    except ValueError:
        raise ValueError(f"{to_text(namespace)!r} is not a namespace: dns, url, oid, x500 or an id") from None
    return str(uuid.uuid5(space, name))
