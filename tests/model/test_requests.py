"""Which method handles which message: the mark, and what a class makes of its marks."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.requests import handlers_of, handles


class Ping:
    pass


class Pong:
    pass


class Stop:
    pass


class Player:
    @handles(Ping, Pong)
    def play(self, message: object) -> None:
        del message

    @handles(Stop)
    def stop(self, message: object) -> None:
        del message

    def rest(self) -> None:
        """Handle nothing."""


class TestTheHandlers:
    def test_are_methods_by_the_types_they_are_marked_with(self) -> None:
        assert handlers_of(Player) == {Ping: "play", Pong: "play", Stop: "stop"}

    def test_of_a_class_without_marks_are_none(self) -> None:
        assert handlers_of(object) == {}

    def test_may_be_marked_twice(self) -> None:
        class Twice:
            @handles(Ping)
            @handles(Pong)
            def play(self, message: object) -> None:
                del message

        assert handlers_of(Twice) == {Pong: "play", Ping: "play"}

    def test_are_inherited_and_replaced_by_name_or_by_type(self) -> None:
        class Loud(Player):
            def play(self, message: object) -> None:
                del message

            @handles(Stop)
            def leave(self, message: object) -> None:
                del message

        assert handlers_of(Loud) == {Ping: "play", Pong: "play", Stop: "leave"}

    def test_that_have_two_names_are_one(self) -> None:
        class Named:
            @handles(Ping)
            def play(self, message: object) -> None:
                del message

            again = play

        assert handlers_of(Named) == {Ping: "again"}

    def test_are_refused_where_one_class_has_two_of_a_type(self) -> None:
        class Torn:
            @handles(Ping)
            def play(self, message: object) -> None:
                del message

            @handles(Ping)
            def rest(self, message: object) -> None:
                del message

        with pytest.raises(InvalidSpec) as refused:
            handlers_of(Torn)

        assert refused.value.field == "handles"
        assert refused.value.value == f"{Torn.__qualname__}.rest"
        assert refused.value.remedy == "Mark one method for Ping: play is its handler already."


@pytest.mark.parametrize("types", [(), ("Ping",), (Ping, 5)])
def test_a_mark_without_types_is_refused(types: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError) as refused:
        handles(*types)

    assert str(refused.value) == (
        f"@handles takes message classes, as in @handles(Add), not {types!r}"
    )


def test_a_mark_leaves_the_method_as_it_is() -> None:
    def play(self: object, message: object) -> None:
        del self, message

    assert handles(Ping)(play) is play
