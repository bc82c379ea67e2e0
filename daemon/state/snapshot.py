"""Snapshot codec: a frozen state as a sequence of small checksummed pieces, and back.

Theory: the handle is taken on the loop in microseconds; `pieces()` may run in another thread, each piece takes a
millisecond or two. A piece is crc32, length, and msgpack of (number, kind, rows). The first piece is the header, the
last says how many there were, so that a cut, swapped or damaged snapshot is noticed. Equal states give equal
bytes: rows are sorted by key. Indexes are not stored; they are rebuilt.
Pure: where the pieces lie is the consensus layer's matter.

Source: architecture.md "State" (snapshots).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from daemon.model.base import Strict, decode, encode
from daemon.model.deployment import Deployment
from daemon.model.errors import InvalidInput
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, JobSource
from daemon.model.launch import Launches
from daemon.model.node import Node
from daemon.model.scaling import JobScaling
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.scopes import Namespace, NodePool
from daemon.model.summary import JobSummary
from daemon.model.volume import DynamicVolume, VolumeClaim
from daemon.state.alloc_rows import Row, StoredBlock
from daemon.state.commands import SCHEMA
from daemon.state.strict import decode_strict
from daemon.state.tables import Frozen, Tables

_FRAME = Struct("<II")
#: rows per piece: small enough that encoding one is a matter of a millisecond or two.
_ROWS = {"blocks": 64, "codes": 4096}
_ROWS_DEFAULT = 256

T = TypeVar("T")


class Header(Strict, frozen=True, kw_only=True):
    """The first piece: what the state is as a whole."""

    schema: int
    cluster_id: str
    index: int
    time_ns: int
    table_indexes: dict[str, int]
    next_block: int
    scheduler_config: SchedulerConfig = SchedulerConfig()


class Piece(Strict, frozen=True, kw_only=True, array_like=True):
    """One piece. `rows` is encoded once more, so that it can be read as the rows of its kind."""

    number: int
    kind: str
    rows: msgspec.Raw


class StateSnapshot:
    """A state at one index, frozen."""

    def __init__(self, frozen: Frozen) -> None:
        self._frozen = frozen

    @property
    def index(self) -> int:
        """Log index of the last entry in it."""
        return self._frozen.index

    @property
    def cluster_id(self) -> str:
        """The cluster it is of."""
        return self._frozen.cluster_id

    def pieces(self) -> Iterator[bytes]:
        """The encoded snapshot; may run in another thread."""
        number = 0
        for kind, rows in self._parts():
            yield _framed(number, kind, rows)
            number += 1
        yield _framed(number, "end", number)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        frozen = self._frozen
        yield (
            "header",
            Header(
                schema=SCHEMA,
                cluster_id=frozen.cluster_id,
                index=frozen.index,
                time_ns=frozen.time_ns,
                table_indexes=dict(sorted(frozen.table_indexes.items())),
                next_block=frozen.next_block,
                scheduler_config=frozen.scheduler_config,
            ),
        )
        codes = list(zip(frozen.node_ids, frozen.node_names, strict=True))
        for start in range(0, len(codes), _ROWS["codes"]):
            yield "codes", codes[start : start + _ROWS["codes"]]
        for kind, shards in frozen.shards.items():
            size = _ROWS.get(kind, _ROWS_DEFAULT)
            for shard in shards:
                keys = sorted(shard)
                for start in range(0, len(keys), size):
                    yield kind, [_row(kind, key, shard[key]) for key in keys[start : start + size]]


def read_pieces(tables: Tables, pieces: Iterable[bytes]) -> None:
    """Fill empty tables.

    Raises: InvalidInput, saying which piece is wrong.
    """
    blocks: list[StoredBlock] = []
    rows: list[Row] = []
    expected = 0
    ended = False
    for data in pieces:
        piece = _unframed(data, expected)
        if ended or piece.number != expected or (expected == 0) != (piece.kind == "header"):
            raise InvalidInput(
                f"the snapshot's piece {expected} is out of place (found {piece.number} {piece.kind})"
            )
        expected += 1
        if piece.kind == "header":
            _read_header(tables, piece.rows)
        elif piece.kind == "end":
            ended = True
        elif piece.kind == "blocks":
            blocks.extend(_read(piece, list[StoredBlock]))
        elif piece.kind == "rows":
            rows.extend(_read(piece, list[Row]))
        else:
            _read_rows(tables, piece)
    if not ended:
        raise InvalidInput(f"the snapshot ends after {expected} pieces, before its end mark")
    tables.load_allocs(blocks, rows)


def _framed(number: int, kind: str, rows: Any) -> bytes:
    body = encode(Piece(number=number, kind=kind, rows=msgspec.Raw(encode(rows))))
    return _FRAME.pack(crc32(body), len(body)) + body


def _unframed(data: bytes, number: int) -> Piece:
    if len(data) < _FRAME.size:
        raise InvalidInput(f"the snapshot's piece {number} is cut off")
    checksum, length = _FRAME.unpack_from(data)
    body = data[_FRAME.size :]
    if length != len(body) or crc32(body) != checksum:
        raise InvalidInput(f"the snapshot's piece {number} is damaged: its checksum does not match")
    return decode(body, Piece)


def _row(kind: str, key: Any, value: Any) -> Any:
    """Most rows say what their key is; these do not."""
    if kind == "old_versions":
        return value
    return (key, sorted(value.items())) if kind == "sources" else value


def _read_header(tables: Tables, raw: msgspec.Raw) -> None:
    found: Any = decode(bytes(raw), object)
    schema = found.get("Schema") if isinstance(found, dict) else None
    if not isinstance(schema, int) or schema > SCHEMA:
        raise InvalidInput(
            f"the snapshot has schema {schema}, this version of encamp reads up to {SCHEMA}; "
            "start the version that wrote it, or a newer one"
        )
    header = decode_strict(bytes(raw), Header)
    tables.index = header.index
    tables.time_ns = header.time_ns
    tables.cluster_id = header.cluster_id
    tables.table_indexes = header.table_indexes
    tables.scheduler_config = header.scheduler_config
    tables.allocs.next_block = header.next_block


def _read_rows(tables: Tables, piece: Piece) -> None:
    reader = _READERS.get(piece.kind)
    if reader is None:
        raise InvalidInput(f"the snapshot's piece {piece.number} is of an unknown kind: {piece.kind}")
    reader(tables, piece)


def _read(piece: Piece, type_: type[T]) -> T:
    try:
        return decode_strict(bytes(piece.rows), type_)
    except InvalidInput as error:
        raise InvalidInput(f"the snapshot's piece {piece.number} ({piece.kind}): {error}") from error


def _read_jobs(tables: Tables, piece: Piece) -> None:
    for job in _read(piece, list[Job]):
        tables.put_job(job)


def _read_old(tables: Tables, piece: Piece) -> None:
    for versions in _read(piece, list[tuple[Job, ...]]):
        tables.old_versions.put(versions[0].key, versions)


def _read_sources(tables: Tables, piece: Piece) -> None:
    for key, texts in _read(piece, list[tuple[tuple[str, str], list[tuple[int, JobSource]]]]):
        tables.sources.put(key, dict(texts))


def _read_summaries(tables: Tables, piece: Piece) -> None:
    for summary in _read(piece, list[JobSummary]):
        tables.summaries.put((summary.namespace, summary.job_id), summary)


def _read_launches(tables: Tables, piece: Piece) -> None:
    for row in _read(piece, list[Launches]):
        tables.launches.put((row.namespace, row.job_id), row)


def _read_scaling(tables: Tables, piece: Piece) -> None:
    for row in _read(piece, list[JobScaling]):
        tables.scaling.put((row.namespace, row.job_id), row)


def _read_namespaces(tables: Tables, piece: Piece) -> None:
    for namespace in _read(piece, list[Namespace]):
        tables.namespaces.put(namespace.name, namespace)


def _read_pools(tables: Tables, piece: Piece) -> None:
    for pool in _read(piece, list[NodePool]):
        tables.node_pools.put(pool.name, pool)


def _read_volumes(tables: Tables, piece: Piece) -> None:
    for row in _read(piece, list[DynamicVolume]):
        tables.volumes.put((row.namespace, row.name, row.node_id), row)


def _read_claims(tables: Tables, piece: Piece) -> None:
    for claims in _read(piece, list[tuple[VolumeClaim, ...]]):
        tables.claims.put((claims[0].namespace, claims[0].job_id), claims)


def _read_nodes(tables: Tables, piece: Piece) -> None:
    for node in _read(piece, list[Node]):
        tables.put_node(node)


def _read_evals(tables: Tables, piece: Piece) -> None:
    for evaluation in _read(piece, list[Evaluation]):
        tables.put_eval(None, evaluation)


def _read_deployments(tables: Tables, piece: Piece) -> None:
    for row in _read(piece, list[Deployment]):
        tables.deployments.put(row)


def _read_codes(tables: Tables, piece: Piece) -> None:
    pairs = _read(piece, list[tuple[str, str]])
    tables.codes.load([node_id for node_id, _ in pairs], [name for _, name in pairs])


_READERS: dict[str, Callable[[Tables, Piece], None]] = {
    "jobs": _read_jobs,
    "old_versions": _read_old,
    "sources": _read_sources,
    "summaries": _read_summaries,
    "launches": _read_launches,
    "scaling": _read_scaling,
    "namespaces": _read_namespaces,
    "node_pools": _read_pools,
    "volumes": _read_volumes,
    "claims": _read_claims,
    "nodes": _read_nodes,
    "evals": _read_evals,
    "deployments": _read_deployments,
    "codes": _read_codes,
}
