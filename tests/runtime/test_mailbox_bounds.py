"""A full mailbox refuses; it never blocks a sender."""

from __future__ import annotations

import pytest

from callboard.supervision import ActorRef, ActorSystem, MailboxFull, Settings
from tests.runtime.kit import Box, Do, Gate, Puppet, Small, idle, reason_of


@pytest.fixture
def full(system: ActorSystem, gate: Gate, box: Box) -> ActorRef[Small]:
    """Return an actor with one message in hand and as many waiting as may."""
    ref = system.spawn(Small, hears=box.put)
    ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
    assert box.take() == "in hand"
    ref.tell(1)
    ref.tell(2)
    return ref


class TestAFullMailbox:
    def test_refuses_a_tell_and_gives_the_message_back(
        self, full: ActorRef[Small], gate: Gate
    ) -> None:
        with pytest.raises(MailboxFull) as caught:
            full.tell("one too many")

        assert (caught.value.mailbox_max, caught.value.unsent) == (2, "one too many")
        assert caught.value.is_retryable
        assert caught.value.is_outcome_known
        gate.open()

    def test_refuses_an_ask(self, full: ActorRef[Small], gate: Gate) -> None:
        with pytest.raises(MailboxFull):
            full.ask("one too many")
        with pytest.raises(MailboxFull):
            full.ask("one too many", block=False).get()
        gate.open()

    def test_lets_signals_in(self, full: ActorRef[Small], gate: Gate) -> None:
        full.exit()
        gate.open()

        reason_of(full)

    def test_lets_notices_in(self, full: ActorRef[Small], gate: Gate, box: Box) -> None:
        assert full.notify("a notice")
        gate.open()

        assert box.take_many(3) == [1, 2, "a notice"]

    def test_takes_messages_again_when_there_is_room(
        self, full: ActorRef[Small], gate: Gate, box: Box
    ) -> None:
        gate.open()
        assert box.take_many(2) == [1, 2]

        full.tell(3)

        assert box.take() == 3

    def test_loses_nothing_that_was_taken(
        self, full: ActorRef[Small], gate: Gate, box: Box
    ) -> None:
        with pytest.raises(MailboxFull):
            full.tell(3)

        gate.open()

        assert box.take_many(2) == [1, 2]
        idle(full)
        assert box.waiting == []


def test_the_bound_is_the_systems_unless_the_class_has_one() -> None:
    with ActorSystem("small", settings=Settings(mailbox_max=7)) as system:
        assert system.spawn(Puppet).mailbox_max == 7
        assert system.spawn(Small).mailbox_max == 2


def test_a_mailbox_that_is_full_of_a_senders_own_messages_does_not_deadlock_it(
    system: ActorSystem, box: Box
) -> None:
    ref = system.spawn(Small, hears=box.put)

    def act(actor: Small) -> str:
        actor.actor_ref.tell(1)
        actor.actor_ref.tell(2)
        with pytest.raises(MailboxFull):
            actor.actor_ref.tell(3)
        return "not blocked"

    assert ref.ask(Do(act)) == "not blocked"
    assert box.take_many(2) == [1, 2]
