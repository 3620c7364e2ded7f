"""What the log says of events."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from callboard.supervision import (
    ActorCrashed,
    ActorSystem,
    ChildSpec,
    Crashed,
    DeadLetter,
    Killed,
    Normal,
    SupervisedActor,
    Supervisor,
)
from callboard.supervision.model.events import (
    ChildCrashed,
    ChildGivenUp,
    ChildWasStarted,
    SupervisorGaveUp,
)
from callboard.supervision.observe.logs import FIELDS, EventLog, SafeFormatter
from callboard.supervision.observe.text import escaped


class Lines(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def said(self) -> list[str]:
        """What the lines say."""
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def logger(lines: Lines) -> logging.Logger:
    logger = logging.getLogger("tests.daemon.logs")
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(lines)
    return logger


def crashed(child_id: str = "b", message: str = "boom") -> ChildCrashed:
    return ChildCrashed(
        supervisor="root",
        child_id=child_id,
        incarnation=3,
        reason=Crashed("ValueError", message),
        restarts=2,
        intensity=10,
    )


class TestALine:
    def test_carries_the_four_fields(self, logger: logging.Logger, lines: Lines) -> None:
        EventLog(logger)(crashed())

        record = lines.records[0]
        assert [getattr(record, field) for field in FIELDS] == [
            "root",
            "b",
            3,
            "crashed: ValueError: boom",
        ]
        assert record.getMessage() == (
            "child.crashed supervisor=root child_id=b incarnation=3"
            " reason=crashed: ValueError: boom restarts=2 intensity=10"
        )

    @pytest.mark.parametrize(
        ("event", "level"),
        [
            (ChildWasStarted(supervisor="root", child_id="b", incarnation=1), logging.DEBUG),
            (crashed(), logging.WARNING),
            (
                ChildGivenUp(
                    supervisor="root",
                    child_id="b",
                    incarnation=1,
                    reason=Killed(),
                    restarts=4,
                    intensity=3,
                ),
                logging.ERROR,
            ),
            (
                SupervisorGaveUp(
                    supervisor="root",
                    child_id="b",
                    incarnation=1,
                    reason=Killed(),
                    restarts=11,
                    intensity=10,
                ),
                logging.ERROR,
            ),
            (ActorCrashed("x", 1, Killed(), is_supervised=True), logging.DEBUG),
            (ActorCrashed("x", 1, Killed(), is_supervised=False), logging.ERROR),
            (DeadLetter("x", "b", "dead"), logging.WARNING),
            (object(), logging.INFO),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_has_the_level_of_its_kind(
        self, logger: logging.Logger, lines: Lines, event: object, level: int
    ) -> None:
        EventLog(logger)(event)

        assert [record.levelno for record in lines.records] == [level]

    def test_never_holds_a_message(self, logger: logging.Logger, lines: Lines) -> None:
        EventLog(logger)(DeadLetter("swordfish", "b", "dead"))

        assert "swordfish" not in lines.said[0]
        assert "swordfish" not in str(vars(lines.records[0]))

    def test_is_not_steered_by_what_others_wrote(
        self, logger: logging.Logger, lines: Lines
    ) -> None:
        EventLog(logger)(crashed("a\n2026 ERROR forged\x1b[2J", "\u202e" + "x" * 10_000))

        assert "\\n2026 ERROR forged\\x1b[2J" in lines.said[0]
        assert lines.said[0].isprintable()
        assert len(lines.said[0]) < 500

    def test_of_other_loggers_is_escaped_by_the_formatter(self) -> None:
        record = logging.LogRecord("x", 30, __file__, 1, "said %s", ("a\nb\x1b",), None)

        assert SafeFormatter("%(levelname)s %(message)s").format(record) == (
            "WARNING said a\\nb\\x1b"
        )

    def test_of_a_whole_trees_start_is_info(self, logger: logging.Logger, lines: Lines) -> None:
        children = [
            ChildSpec(id="line", start=Supervisor, args=((),)),
            ChildSpec(id="worker", start=SupervisedActor),
        ]
        with ActorSystem(on_event=EventLog(logger)) as system:
            system.spawn_named("root", Supervisor, children).wait_started()

        levels = {
            record.__dict__["child_id"]: record.levelname
            for record in lines.records
            if record.__dict__["event"] == "child.start.complete"
        }
        assert levels == {"line": "INFO", "worker": "DEBUG"}


class Divider(SupervisedActor):
    def on_receive(self, message: Any) -> float:
        return 1 / message  # type: ignore[no-any-return]  # whatever a number makes of it


class TestACrash:
    def test_that_nobody_heals_is_an_error_and_one_that_is_healed_a_warning(
        self, logger: logging.Logger, lines: Lines
    ) -> None:
        logger.setLevel(logging.INFO)
        spec = ChildSpec(id="healed", start=Divider, name="healed")
        with ActorSystem(on_event=EventLog(logger)) as system:
            system.spawn_named("root", Supervisor, [spec]).wait_started()
            system.spawn_named("alone", Divider).wait_started()
            for name in ("healed", "alone"):
                address = system.lookup(name)
                assert address is not None
                with pytest.raises(ZeroDivisionError):
                    address.ask(0)
            assert system.stop().is_clean

        told = {record.levelname: record.getMessage() for record in lines.records}
        assert told["ERROR"].startswith("actor.crashed incarnation=1 reason=crashed: ZeroDivision")
        assert told["ERROR"].endswith(" actor=alone")
        assert told["WARNING"].startswith("child.crashed supervisor=root child_id=healed ")


class TestTheWordsOfALine:
    def test_of_a_dead_letter_names_the_type_of_the_message_alone(
        self, logger: logging.Logger, lines: Lines
    ) -> None:
        EventLog(logger)(DeadLetter("a secret", "ada", "dead"))

        assert lines.said == ["message.undelivered message_type=str address=ada why=dead"]

    def test_of_a_permanent_child_that_ended_in_order_does_not_call_it_a_crash(
        self, logger: logging.Logger, lines: Lines
    ) -> None:
        EventLog(logger)(
            ChildCrashed(supervisor="root", child_id="a", incarnation=1, reason=Normal())
        )

        assert lines.said[0].startswith("child.ended supervisor=root child_id=a")


class TestAStorm:
    def test_is_summed_up(self, logger: logging.Logger, lines: Lines) -> None:
        now_s = 0.0
        log = EventLog(logger, lines_max=3, window_s=5.0, now_s=lambda: now_s)
        for _ in range(10):
            log(crashed())

        now_s = 5.0
        log(crashed())

        assert len(lines.said) == 5
        assert lines.said[3] == "child.crashed and 7 more within 5 s"

    def test_hides_no_other_kind(self, logger: logging.Logger, lines: Lines) -> None:
        log = EventLog(logger, lines_max=1, now_s=lambda: 0.0)
        for _ in range(10):
            log(crashed())

        log(DeadLetter("x", "b", "dead"))

        assert [each.split()[0] for each in lines.said] == ["child.crashed", "message.undelivered"]

    def test_is_summed_up_at_the_end_too(self, logger: logging.Logger, lines: Lines) -> None:
        log = EventLog(logger, lines_max=1, now_s=lambda: 0.0)
        for _ in range(3):
            log(crashed())

        log.flush()
        log.flush()

        assert lines.said[1:] == ["child.crashed and 2 more within 5 s"]

    def test_from_many_threads_is_counted_exactly(
        self, logger: logging.Logger, lines: Lines
    ) -> None:
        log = EventLog(logger, lines_max=5, now_s=lambda: 0.0)

        def rage() -> None:
            for _ in range(500):
                log(crashed())

        threads = [threading.Thread(target=rage) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

        log.flush()

        assert len(lines.said) == 6
        assert lines.said[-1] == "child.crashed and 1995 more within 5 s"


class TestEscapedText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain \\ text", "plain \\ text"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\x1b[31m\x9b1m\x7f\0", "\\x1b[31m\\x9b1m\\x7f\\x00"),
            ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
            ("\u200b\ufeff\u2028", "\\u200b\\ufeff\\u2028"),
            ("\ud800", "\\ud800"),
            ("नमस्ते می‌خواهم 👩‍🚀", "नमस्ते می‌خواهم 👩‍🚀"),
        ],
    )
    def test_is_harmless_and_readable(self, text: str, shown: str) -> None:
        assert escaped(text) == shown
        assert escaped(escaped(text)) == shown

    def test_keeps_lines_where_they_are_wanted(self) -> None:
        assert escaped("a\nb\r\tc", keeps_lines=True) == "a\nb\\r\tc"

    def test_is_shortened(self) -> None:
        assert escaped("x" * 100, chars_max=10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("level", "hears"), [(logging.DEBUG, True), (logging.INFO, True), (logging.WARNING, False)]
)
def test_it_wants_to_hear_of_what_goes_as_it_should_where_that_is_logged(
    logger: logging.Logger, level: int, *, hears: bool
) -> None:
    logger.setLevel(level)

    assert EventLog(logger).hears_routine is hears
