"""The log in memory against a disk that lags behind: what counts as durable is on it, whichever write comes last."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.consensus.port import Entry, EntryKind, SnapshotMark
from daemon.consensus.raft.log import UNKNOWN, RaftLog

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("truncate"), st.integers(1, 12), st.just(False)),
        st.tuples(
            st.sampled_from(["take", "take", "written", "written", "full", "snapshot"]),
            st.just(0),
            st.just(False),
        ),
        st.tuples(st.just("compact"), st.integers(1, 12), st.just(False)),
    ),
    max_size=40,
)


def write(disk, item):
    """A disk after one more write: entries by index, and the snapshot's mark."""
    truncate_from, entries, mark = item
    if mark is not None:
        return {0: mark}
    kept = {
        index: term
        for index, term in disk.items()
        if not truncate_from or index < truncate_from or index == 0
    }
    return kept | {entry.index: entry.term for entry in entries}


def check(log, disk, queue):
    """At every point at which the writes under way may stop, what counts as durable is there."""
    for done in range(len(queue) + 1):
        for index in range(log.mark_index + 1, log.persisted_index + 1):
            assert disk.get(index) == log.term(index), f"{index} is not on disk after {done} more writes"
        if done < len(queue):
            disk = write(disk, queue[done])


@settings(max_examples=300, deadline=None)
@given(steps)
def test_what_counts_as_durable_is_on_disk(plan):
    log = RaftLog(SnapshotMark(index=0, term=0), ())
    disk, queue, term, given_mark = {}, [], 1, None
    for what, number, flag in plan:
        if what == "append":
            term += flag
            first = log.last_index + 1
            log.append([Entry(index=first + n, term=term, kind=EntryKind.COMMAND) for n in range(number)])
        elif what == "truncate" and number > log.mark_index and number <= log.last_index:
            log.truncate(number)
            term += 1
        elif what == "snapshot":
            given_mark = SnapshotMark(index=log.last_index + 3, term=term)
            log.reset(given_mark)
            queue.append((0, (), given_mark))
        elif what == "take":
            truncate_from, entries = log.take_unwritten()
            if entries or truncate_from:
                queue.append((truncate_from, entries, None))
        elif what == "written" and queue:
            item = queue.pop(0)
            disk = write(disk, item)
            last = item[1][-1] if item[1] else item[2]
            if last is not None:
                assert log.persisted(last.index, last.term)
        elif what == "full" and queue and all(item[2] is None for item in queue):
            firsts = [item[1][0].index for item in queue if item[1]]
            queue.clear()
            assert log.not_persisted(min([*firsts, log.last_index + 1]))
        elif what == "compact":
            if log.mark_index < number <= log.persisted_index:
                log.compact(number)
        check(log, disk, queue)
    truncate_from, entries = log.take_unwritten()
    disk = {**disk}
    for item in [*queue, (truncate_from, entries, None)]:
        disk = write(disk, item)
    for index in range(log.mark_index + 1, log.last_index + 1):
        assert disk.get(index) == log.term(index), "in the end the disk has all of it"
    assert max(disk, default=0) <= max(log.last_index, 0), "and nothing else"


def test_the_log_says_what_it_does_not_hold():
    log = RaftLog(SnapshotMark(index=4, term=2), [Entry(index=5, term=3, kind=EntryKind.COMMAND)])
    assert [log.term(index) for index in (3, 4, 5, 6)] == [UNKNOWN, 2, 3, UNKNOWN]
    assert [entry.index for entry in log.slice(1, 99, 0, 10)] == [5]
