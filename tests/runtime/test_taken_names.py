"""A class that gives callboard's own private names to something else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import SessionActor
from callboard.supervision import (
    InvalidSpec,
    PinnedActor,
    PooledActor,
    SupervisedActor,
    Supervisor,
)

Members = dict[str, Any]


def method(_self: object) -> None:
    """Do something of the user's own."""


def made(*bases: type[Any], **members: Any) -> type[Any]:
    return type("Agent", bases, {"__module__": "my_agent", **members})


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (SessionActor, "_keep"),
        (SessionActor, "_kept"),
        (SessionActor, "_draft"),
        (SessionActor, "_row"),  # set by `__init__`, and nowhere in the class
        (SessionActor, "_timers"),  # of a base of the base
        (SupervisedActor, "_find"),
        (PinnedActor, "_find"),
        (Supervisor, "_tree"),
        (Supervisor, "_flags"),
    ],
)
class TestAPrivateNameOfCallboards:
    def test_is_refused_with_class_name_and_remedy(self, base: type[Any], name: str) -> None:
        with pytest.raises(InvalidSpec, match=rf"'Agent\.{name}'.* {base.__name__} .*rename"):
            made(base, **{name: method})

    def test_is_refused_of_what_is_mixed_in(self, base: type[Any], name: str) -> None:
        mixed_in = type("Mixin", (), {name: method})

        for bases in ((mixed_in, base), (base, mixed_in)):
            with pytest.raises(InvalidSpec, match=rf"Mixin\.{name}"):
                made(*bases)

    def test_is_refused_of_an_attribute_that_is_only_annotated(
        self, base: type[Any], name: str
    ) -> None:
        with pytest.raises(InvalidSpec, match=rf"Agent\.{name}"):
            made(base, __annotations__={name: int})

    def test_is_refused_of_a_subclass_of_a_subclass(self, base: type[Any], name: str) -> None:
        with pytest.raises(InvalidSpec, match=rf"Agent\.{name}"):
            made(made(base), **{name: method})


@pytest.mark.parametrize("base", [SessionActor, SupervisedActor, Supervisor])
class TestAnyOtherName:
    @pytest.mark.parametrize("name", ["_mine", "_Agent__keep", "keep"])
    def test_is_the_users(self, base: type[Any], name: str) -> None:
        again = made(made(base, **{name: method}), **{name: method})

        assert vars(again)[name] is method

    def test_is_overridden_as_in_pykka_if_it_is_pykkas(self, base: type[Any]) -> None:
        assert made(base, _handle_receive=method)._handle_receive is method


def test_an_actor_that_is_as_in_pykka_may_name_its_own_as_it_likes() -> None:
    assert made(PooledActor, _fail=method)._fail is method
