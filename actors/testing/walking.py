"""Is there an order in which a session can have done what its clients were told?

The replies say most of the order: an append tells its number, an update its version. So the walk
goes from commit to commit and keeps the earliest moment at which the last one can have been. It
fails where a commit comes later than somebody's end who had made or seen it. Only where outcomes
are unknown is there a choice; then it goes all ways at once, up to a bound.

Earliest is best: what bounds a commit from above is an end, and an earlier moment meets every one
that a later moment meets. So of two ways to one state only the earlier one is gone on with.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from callboard.actors.messages import CreateSession
from callboard.actors.testing.evidence import (
    FIRST,
    Appended,
    Bound,
    Contradicted,
    Evidence,
    Fields,
    Stage,
    Unclear,
    Update,
    first_fields,
)
from callboard.actors.testing.operations import NEVER, Operation, describe

WAYS_MAX: Final = 2_000
"""Ways through a history that are gone at once; of one that has more nothing is said."""

_OPEN = Bound(NEVER)


class State(NamedTuple):
    """What a session is after a commit, as far as it matters for what can come next.

    Args:
        stage: how far it has come.
        version: its version.
        seq: number of its last message.
        used: the doubtful operations that have happened.
        fields: what a patch can replace; None: nobody knows.
    """

    stage: Stage
    version: int
    seq: int
    used: frozenset[Appended | Operation]
    fields: Fields | None

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from others; fields differ by who has replaced each of them last."""
        fields = None if self.fields is None else tuple(map(id, self.fields))
        return (self.stage, self.version, self.seq, self.used, fields)


class Way(NamedTuple):
    """A way to a state.

    Args:
        state: where it has come.
        at: the earliest moment of its last commit, and who sets it.
        made_by: whose commit that was, if somebody's.
    """

    state: State
    at: Bound
    made_by: Operation | None


class Commit(NamedTuple):
    """A commit that can come next.

    Args:
        state: what it makes.
        began: it cannot have been before.
        ended: it cannot have been after.
        conflict: by when it was there as somebody was refused for it.
    """

    state: State
    began: Bound
    ended: Bound = _OPEN
    conflict: Bound = _OPEN


def walk(evidence: Evidence) -> None:
    """Find a way through all that is known of a session.

    Raises:
        Contradicted: there is none.
        Unclear: there are too many to go.
    """
    _Walk(evidence).go()


class _Walk:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._best: dict[tuple[object, ...], float] = {}
        done = [
            each.operation
            for each in evidence.floating
            if each.is_certain and each.operation.is_answered
        ]
        self._mandatory = tuple(sorted(done, key=lambda each: each.ended))
        self._deadlines = _deadlines(evidence)
        self._problem: Callable[[], Contradicted] | None = None

    def go(self) -> None:
        absent = State(Stage.ABSENT, -1, -1, frozenset(), None)
        ways = [Way(absent, FIRST, None)]
        while ways:
            found: list[Way] = []
            self._problem = None
            for way in ways:
                if self._is_over(way.state):
                    return
                for commit in self._commits(way):
                    self._enter(way, commit, found)
            if len(found) > WAYS_MAX:
                msg = f"there are more than {WAYS_MAX} orders in which it may have been"
                raise Unclear(msg)
            if not found:
                raise self._hole(ways[0]) if self._problem is None else self._problem()
            ways = found

    # -- entering a state --------------------------------------------------

    def _enter(self, way: Way, commit: Commit, found: list[Way]) -> None:
        """Go on to a state, unless somebody has told that it cannot be."""
        evidence, before, state = self._evidence, way.state, commit.state
        at = self._earliest(way, commit)
        early = self._latest(before, commit)
        if early.at < at.at:
            self._problem = self._problem or partial(_too_late, at, early)
            return
        for each in self._mandatory:
            if each.ended >= at.at:
                break
            if each not in state.used:
                over = Bound(each.ended, each, has_made=True)
                self._problem = self._problem or partial(_too_late, at, over)
                return
        fields = state.fields
        if state.version != before.version:
            refused = evidence.active_at.get(state.version)
            if refused is not None and state.stage is not Stage.ACTIVE:
                self._problem = self._problem or partial(_differs, state, commit, refused, way)
                return
            left = evidence.seen.get(before.version)
            if left is not None and before.seq < left.seq:
                return  # not all of it has come
            seen = evidence.seen.get(state.version)
            if seen is not None:
                # Messages that came alone may be part of the same commit.
                may_grow = evidence.silent_from is not None and state.seq < seen.seq
                differs = (
                    seen.stage is not state.stage
                    or (seen.seq != state.seq and not may_grow)
                    or (fields is not None and seen.fields != fields)
                )
                if differs:
                    self._problem = self._problem or partial(
                        _differs, state, commit, seen.operation, way
                    )
                    return
                if fields is None:
                    state = state._replace(fields=seen.fields)
        elif state.version in evidence.seen and state.seq > evidence.seen[state.version].seq:
            return
        key = state.key
        known = self._best.get(key)
        if known is None or at.at < known:
            self._best[key] = at.at
            found.append(Way(state, at, commit.began.operation or way.made_by))

    def _earliest(self, way: Way, commit: Commit) -> Bound:
        """Return from when on a commit can have been: until then the state before was seen."""
        evidence, before, state = self._evidence, way.state, commit.state
        at, is_gone = way.at, state.stage is Stage.GONE
        if commit.began.at > at.at:
            at = commit.began
        if state.version != before.version or is_gone:
            bound = evidence.left_version.get(before.version)
            if bound is not None and bound.at > at.at:
                at = bound
        if state.seq != before.seq or is_gone:
            bound = evidence.left_seq.get(before.seq)
            if bound is not None and bound.at > at.at:
                at = bound
        for stage in range(before.stage, state.stage):
            bound = evidence.left_stage.get(Stage(stage))
            if bound is not None and bound.at > at.at:
                at = bound
        return at

    def _latest(self, before: State, commit: Commit) -> Bound:
        """Return until when a commit can have been: by then its state was seen, or answered."""
        evidence, state = self._evidence, commit.state
        early = commit.ended if commit.ended.at < commit.conflict.at else commit.conflict
        if state.version != before.version:
            bound = evidence.entered_version.get(state.version)
            if bound is not None and bound.at < early.at:
                early = bound
        if state.seq != before.seq:
            bound = evidence.entered_seq.get(state.seq)
            if bound is not None and bound.at < early.at:
                early = bound
        for stage in range(before.stage + 1, state.stage + 1):
            bound = evidence.entered_stage.get(Stage(stage))
            if bound is not None and bound.at < early.at:
                early = bound
        return early

    # -- what can come next ------------------------------------------------

    def _commits(self, way: Way) -> Iterator[Commit]:
        state, evidence = way.state, self._evidence
        match state.stage:
            case Stage.ABSENT:
                message = evidence.creates[0].message
                assert isinstance(message, CreateSession)
                made = State(Stage.CREATED, 0, 0, state.used, first_fields(message))
                yield Commit(made, evidence.created_from)
            case Stage.CREATED:
                after = state.version + 1
                yield Commit(state._replace(stage=Stage.ACTIVE, version=after), FIRST)
                yield from self._silent(state)
                yield from self._endings(state)
            case Stage.ACTIVE:
                yield from self._changes(way)
            case Stage.TERMINATING:
                after = state.version + 1
                yield from self._silent(state)
                yield Commit(state._replace(stage=Stage.CLEANED, version=after), FIRST)
            case Stage.CLEANED:
                yield Commit(state._replace(stage=Stage.GONE), FIRST)
            case Stage.GONE:
                return

    def _changes(self, way: Way) -> Iterator[Commit]:
        evidence, state = self._evidence, way.state
        update = evidence.updates.get(state.version + 1)
        if update is not None:
            operation = update.operation
            yield Commit(
                state._replace(version=state.version + 1, fields=update.upon(state.fields)),
                Bound(operation.began, operation, has_made=True),
                Bound(operation.ended, operation, has_made=True),
            )
            if (
                evidence.silent_from is not None
                and state.seq < evidence.seen[state.version + 1].seq
            ):
                yield Commit(state._replace(seq=state.seq + 1), evidence.silent_from)
            return
        spare, seq_max = self._until_next(state)
        if state.seq < seq_max:
            yield from self._appends(way)
        if spare > 0:
            yield from self._updates(state)
            yield from self._silent(state)
            yield from self._endings(state)

    def _until_next(self, state: State) -> tuple[float, float]:
        """Return what lies before the next version that was seen.

        Returns:
            How many commits, appends apart, and the number of the last message there.
        """
        evidence = self._evidence
        place = bisect_right(evidence.anchors, state.version)
        if place < len(evidence.anchors):
            version = evidence.anchors[place]
            seq = evidence.seen[version].seq
            if evidence.silent_from is not None:
                return version - state.version, seq
            return (version - state.version) - (seq - state.seq), seq
        return NEVER, NEVER

    def _appends(self, way: Way) -> Iterator[Commit]:
        """Yield who can have appended the next message."""
        evidence, state = self._evidence, way.state
        seq = state.seq + 1
        known = evidence.appended.get(seq)
        if known is not None:
            yield self._append(state, known)
            return
        if seq > evidence.needed_seq and not self._unmet(state):
            return
        said = evidence.said.get(seq)
        has_maker = False
        silent_from = evidence.silent_from
        kinds: list[object] = []
        for each in evidence.doubtful:
            if each in state.used or (said is not None and each.said != said[0]):
                continue
            if each.said in kinds or self._is_taken(state, each):
                continue
            kinds.append(each.said)  # of several alike the first one is as good as any
            # One that has begun by now makes whatever nobody is known to have made, and leaves
            # to nobody what it would have made later. One that begins later must not: it is late.
            has_maker = has_maker or (
                silent_from is not None and each.began.at <= max(way.at.at, silent_from.at)
            )
            yield self._append(state, each, frozenset((each,)))
        if silent_from is not None and seq <= evidence.needed_seq:
            yield Commit(state._replace(seq=seq), silent_from)  # more of the commit before
            if not has_maker:
                after = state._replace(seq=seq, version=state.version + 1, fields=None)
                yield Commit(after, silent_from)

    def _silent(self, state: State) -> Iterator[Commit]:
        """Yield a commit that nobody knows of, if a later version is."""
        evidence = self._evidence
        if evidence.silent_from is None or state.version >= evidence.needed_version:
            return
        after = state._replace(version=state.version + 1, fields=None)
        yield Commit(after, evidence.silent_from)

    def _append(
        self, state: State, each: Appended, used: frozenset[Appended] = frozenset()
    ) -> Commit:
        after = state._replace(
            version=state.version + 1,
            seq=state.seq + 1,
            used=state.used | used if used else state.used,
        )
        return Commit(after, each.began, each.ended, each.conflict)

    def _is_taken(self, state: State, each: Appended) -> bool:
        """Say whether its key has been used, with other content."""
        return each.key is not None and any(
            isinstance(other, Appended) and other.key == each.key for other in state.used
        )

    def _updates(self, state: State) -> Iterator[Commit]:
        """Yield the updates that can be the next commit, and tell no version."""
        evidence = self._evidence
        place = bisect_right(evidence.anchors, state.version)
        is_needed = place < len(evidence.anchors) or evidence.needed_version > state.version
        until = self._deadlines[place]
        kinds: list[object] = []
        for each in evidence.floating:
            operation = each.operation
            if operation.began > until:
                break  # and so did all that follow
            if operation in state.used or each.expected not in {None, state.version}:
                continue
            if state.version >= each.version_max:
                continue
            if operation.is_doubtful:
                kind = (each.changes, each.expected)
                if not is_needed or kind in kinds:
                    continue
                kinds.append(kind)
            yield self._update(state, each)

    def _update(self, state: State, update: Update) -> Commit:
        operation = update.operation
        after = state._replace(
            version=state.version + 1,
            fields=update.upon(state.fields),
            used=state.used | {operation},
        )
        began = Bound(operation.began, operation, has_made=True)
        return Commit(after, began, Bound(operation.ended, operation, has_made=True))

    def _endings(self, state: State) -> Iterator[Commit]:
        """Yield how the session can begin to end, if it has to."""
        evidence = self._evidence
        if evidence.needed_stage < Stage.TERMINATING and not self._is_seen_ending():
            return
        if state.seq < evidence.needed_seq or state.version < evidence.last_update:
            return
        began = evidence.ends_from
        if began.at == NEVER:
            if evidence.silent_from is None:
                return
            began = evidence.silent_from
        after = state._replace(version=state.version + 1)
        yield Commit(after._replace(stage=Stage.TERMINATING), began)
        yield Commit(after._replace(stage=Stage.CLEANED), began)

    def _is_seen_ending(self) -> bool:
        evidence = self._evidence
        last = evidence.anchors[-1] if evidence.anchors else None
        return last is not None and evidence.seen[last].stage >= Stage.TERMINATING

    # -- the end of it -----------------------------------------------------

    def _is_over(self, state: State) -> bool:
        """Say whether all that was told has happened."""
        evidence = self._evidence
        return (
            state.stage >= evidence.needed_stage
            and state.seq >= evidence.needed_seq
            and state.version >= evidence.needed_version
            and all(each in state.used for each in self._mandatory)
            and not self._unmet(state)
        )

    def _unmet(self, state: State) -> bool:
        """Say whether a key was refused that nobody has used yet."""
        return any(
            not any(
                isinstance(each, Appended) and each.key == key and each.said != said
                for each in state.used
            )
            for key, said, _ in self._evidence.demands
        )

    def _hole(self, way: Way) -> Contradicted:
        """Say what is told of a commit that nobody can have made."""
        evidence, state = self._evidence, way.state
        said = evidence.said.get(state.seq + 1)
        if said is not None and state.seq + 1 not in evidence.appended:
            content = said[0][1]
            told = f"message {state.seq + 1} is {content!r}, which nobody can have appended there"
            like = [each.attempts[0] for each in evidence.appended.values() if each.said == said[0]]
            return Contradicted(told, said[1], *like[:1])
        if state.seq < evidence.needed_seq and state.seq + 1 not in evidence.appended:
            later = [seq for seq in sorted(evidence.appended) if seq > state.seq]
            witnesses = [evidence.appended[seq].attempts[0] for seq in later[:1]]
            told = f"nobody can have appended message {state.seq + 1}"
            return Contradicted(told, *witnesses, *_of(way))
        after = [evidence.seen[each] for each in evidence.anchors if each > state.version]
        known = evidence.appended.get(state.seq + 1)
        if after and known is not None:
            witness, made = after[-1].operation, known.attempts[0]
            told = f"{describe(made)} has no place before {describe(witness)}, nor after it"
            return Contradicted(told, made, witness)
        if after:
            told = (
                f"version {state.version} had {state.seq} messages; for what was told next some"
                " commits are missing, or too many"
            )
            return Contradicted(told, after[0].operation, *_of(way))
        told = f"what was told cannot follow version {state.version} with {state.seq} messages"
        left = [each for each in self._mandatory if each not in state.used]
        return Contradicted(told, *left[:1], *_of(way))


def _deadlines(evidence: Evidence) -> list[float]:
    """Return for each version that was seen by when it, or a later one, was there."""
    deadlines = [NEVER]
    for version in reversed(evidence.anchors):
        seen = evidence.entered_version.get(version)
        deadlines.append(min(deadlines[-1], NEVER if seen is None else seen.at))
    return deadlines[::-1]


def _of(way: Way) -> tuple[Operation, ...]:
    return () if way.made_by is None else (way.made_by,)


def _too_late(late: Bound, early: Bound) -> Contradicted:
    """Say how one operation comes first that began when another one was over."""
    assert late.operation is not None
    assert early.operation is not None
    began, over = describe(late.operation), describe(early.operation)
    if late.has_made and early.has_made:
        told = f"{began} began when {over} was over, and yet it came first"
    elif late.has_made:
        told = f"{over} was over before {began} began, and yet it saw what that did"
    elif early.has_made:
        told = f"{began} began when {over} was over, and yet it saw nothing of it"
    else:
        told = f"{began} began when {over} was over, and yet it saw what was before that"
    return Contradicted(told, late.operation, early.operation)


def _differs(state: State, commit: Commit, witness: Operation, way: Way) -> Contradicted:
    """Say how a snapshot differs from what must have been."""
    told = (
        f"{describe(witness)} does not follow: version {state.version} should be"
        f" {state.stage.name.lower()} with {state.seq} messages"
    )
    if state.fields is not None:
        told += f" and {dict(state.fields[0])}"
    made_by = commit.began.operation
    others = () if made_by is None or made_by is witness else (made_by,)
    return Contradicted(told, witness, *(others or _of(way)))
