"""What no recording at hand does with processes, but the rules say: S87 to S106 of OTP's rules.

The same words as in the recordings, so that what they may still say is understood.
"""

from __future__ import annotations

from typing import Any

import pytest

from scripts.tracing.processes import run
from scripts.tracing.vocabulary import UnknownWord


def do(action: str, in_: str | None = None, as_: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an action as a recording writes it."""
    words = {"do": action, "in": in_, "as": as_, **more}
    return {key: value for key, value in words.items() if value is not None or key == "value"}


def spawn(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [do("spawn", proc=name, **more) for name in names]


def play(*actions: dict[str, Any]) -> list[Any]:
    """Return the results, in order, without those that are `ok`."""
    steps = run({"name": "here", "actions": list(actions)})["steps"]
    return [each["result"] for each in steps if each["result"] != "ok"]


class TestMonitors:
    def test_a_down_that_was_delivered_can_be_flushed(self) -> None:
        assert play(
            *spawn("p", "q"),
            do("monitor", in_="p", target="q", as_="m1"),
            do("exit", proc="q", reason="shutdown"),
            do("demonitor", in_="p", ref="m1", options=["flush", "info"]),
            do("inbox", proc="p"),
        ) == [False, []]

    def test_nobody_monitors_himself(self) -> None:
        assert play(
            *spawn("p"),
            do("monitor", in_="p", target="p", as_="m1"),
            do("demonitor", in_="p", ref="m1", options=["info"]),
            do("inbox", proc="p"),
        ) == [False, []]

    def test_a_free_name_is_no_actor_and_a_name_is_what_a_down_carries(self) -> None:
        assert play(
            *spawn("p", "q"),
            do("monitor_name", in_="p", name="n", as_="m1"),
            do("register_name", proc="q", name="n"),
            do("monitor_name", in_="p", name="n", as_="m2"),
            do("kill", proc="q"),
            do("inbox", proc="p"),
        ) == [
            True,
            [
                {"DOWN": {"ref": "m1", "who": "n", "reason": "noproc"}},
                {"DOWN": {"ref": "m2", "who": "n", "reason": "killed"}},
            ],
        ]


class TestNames:
    def test_are_one_for_one_and_free_at_the_end(self) -> None:
        assert play(
            *spawn("p", "q"),
            do("register_name", in_="p", name="n"),
            do("register_name", in_="p", name="other"),
            do("register_name", in_="q", name="n"),
            do("whereis_name", name="n"),
            do("exit", proc="p", reason="normal"),
            do("whereis_name", name="n"),
            do("register_name", in_="q", name="n"),
            do("unregister_name", name="n"),
            do("unregister_name", name="n"),
        ) == [
            True,
            {"raise": "ArgumentError"},
            {"raise": "ArgumentError"},
            "p",
            None,
            True,
            True,
            {"raise": "ArgumentError"},
        ]


class TestLinksAndSignals:
    def test_an_unlinked_end_is_nobodys_business(self) -> None:
        assert play(
            *spawn("p", "q"),
            do("link", in_="p", to="q"),
            do("link", in_="p", to="q"),
            do("unlink", in_="p", to="q"),
            do("exit", proc="q", reason={"error": "x"}),
            do("alive", proc="p"),
        ) == [True, True, True, True]

    def test_a_normal_end_leaves_the_other_alone(self) -> None:
        assert play(
            *spawn("p", "q"),
            do("link", in_="p", to="q"),
            do("exit", proc="q", reason="normal"),
            do("alive", proc="p"),
        ) == [True, True]

    def test_a_signal_to_oneself_ends_one_unless_it_is_trapped(self) -> None:
        assert play(
            *spawn("p"),
            *spawn("t", trap_exit=True),
            do("signal", in_="p", proc="p", reason="shutdown"),
            do("signal", in_="t", proc="t", reason="normal"),
            do("inbox", proc="t"),
            do("signal", in_="t", proc="t", reason="kill"),
            do("inbox", proc="t"),
        ) == [
            {"exit": "shutdown"},
            [{"EXIT": {"from": "t", "reason": "normal"}}],
            {"exit": "killed"},
            {"error": "not_alive"},
        ]


class TestRegistries:
    def test_unique_keys(self) -> None:
        assert play(
            do("registry_start", reg="R", keys="unique"),
            *spawn("p", "q"),
            do("register", in_="p", reg="R", key="k", value=1),
            do("register", in_="p", reg="R", key="k", value=2),
            do("register", in_="q", reg="R", key="k", value=2),
            do("update_value", in_="p", reg="R", key="k", add=4),
            do("update_value", in_="q", reg="R", key="k", add=4),
            do("unregister", in_="q", reg="R", key="k"),
            do("values", reg="R", key="k", proc="p"),
            do("unregister", in_="p", reg="R", key="k"),
            do("count", reg="R"),
        ) == [
            {"error": {"already_registered": "p"}},
            {"error": {"already_registered": "p"}},
            [5, 1],
            "error",
            [5],
            0,
        ]

    def test_duplicate_keys(self) -> None:
        assert play(
            do("registry_start", reg="R", keys="duplicate"),
            *spawn("p", "q"),
            do("register", in_="p", reg="R", key=["a", 1], value=1),
            do("register", in_="p", reg="R", key=["a", 1], value=[1, 2]),
            do("register", in_="q", reg="R", key=["a", 1], value={"n": 1, "m": 2}),
            do("keys", reg="R", proc="p"),
            do("dispatch", reg="R", key=["a", 1]),
            do("dispatch", reg="R", key="none"),
            do("match", reg="R", key=["a", 1], pattern=["_", 2]),
            do("match", reg="R", key=["a", 1], pattern={"n": 1}),
            do("count_match", reg="R", key=["a", 1], pattern="_"),
            do("unregister_match", in_="p", reg="R", key=["a", 1], pattern=1),
            do("lookup", reg="R", key=["a", 1]),
        ) == [
            [["a", 1], ["a", 1]],
            [["p", 1], ["p", [1, 2]], ["q", {"n": 1, "m": 2}]],
            [],
            [["p", [1, 2]]],
            [["q", {"n": 1, "m": 2}]],
            3,
            [["p", [1, 2]], ["q", {"n": 1, "m": 2}]],
        ]

    def test_listeners(self) -> None:
        assert play(
            *spawn("l", "p"),
            do("registry_start", reg="R", keys="unique", listeners=["l"]),
            do("register", in_="p", reg="R", key="k", value=1),
            do("unregister", in_="p", reg="R", key="k"),
            do("unregister", in_="p", reg="R", key="k"),
            do("register", in_="p", reg="R", key="k", value=2),
            do("crash", proc="p", reason="x"),
            do("alive", proc="R"),
            do("inbox", proc="l"),
        ) == [
            True,
            [
                {"registered": {"reg": "R", "key": "k", "who": "p", "value": 1}},
                {"unregistered": {"reg": "R", "key": "k", "who": "p"}},
                {"unregistered": {"reg": "R", "key": "k", "who": "p"}},
                {"registered": {"reg": "R", "key": "k", "who": "p", "value": 2}},
            ],
        ]


class TestDynamicSupervisors:
    def test_forget_who_has_ended_and_know_no_strangers(self) -> None:
        assert play(
            do("dynsup_start", sup="D"),
            *spawn("s"),
            do("dyn_start_child", sup="D", child={"name": "a", "restart": "transient"}),
            do("dyn_start_child", sup="D", child={"name": "b", "restart": "temporary"}),
            do("exit", proc="a", reason="normal"),
            do("crash", proc="b", reason="x"),
            do("dyn_count", sup="D"),
            do("dyn_terminate_child", sup="D", child="s"),
            do("dyn_terminate_child", sup="D", child="a"),
            do("dyn_start_child", sup="D", child={"name": "c", "restart": "wrong"}),
            do("dyn_stop", sup="D"),
            do("dyn_which", sup="D"),
        ) == [
            {"ok": "a#1"},
            {"ok": "b#1"},
            {"specs": 0, "active": 0, "supervisors": 0, "workers": 0},
            {"error": "not_found"},
            {"error": "not_found"},
            {"error": {"invalid_restart_type": "wrong"}},
            {"exit": "noproc"},
        ]

    def test_have_no_process_of_a_child_that_never_came_up(self) -> None:
        assert play(
            do("dynsup_start", sup="D", max_children=0),
            do("dyn_start_child", sup="D", child={"name": "a"}),
            *(do("crash", proc="a", reason="x"), do("kill", proc="a"), do("alive", proc="a")),
        ) == [
            {"error": "max_children"},
            {"error": "not_alive"},
            {"error": "not_alive"},
            False,
        ]

    def test_refuse_a_shutdown_time_that_is_none(self) -> None:
        assert play(
            do("dynsup_start", sup="D"),
            do("dyn_start_child", sup="D", child={"name": "a", "shutdown": "sometimes"}),
        ) == [{"error": {"invalid_shutdown": "sometimes"}}]


class TestPartitionSupervisors:
    def test_route_by_the_key_and_keep_their_places(self) -> None:
        assert play(
            do("part_start", sup="P", partitions=3, child="k"),
            do("part_count", sup="P"),
            do("part_route", sup="P", key=-4),
            do("part_same", sup="P", key="abc"),
            do("crash", proc="k1", reason="x"),
            do("part_which", sup="P"),
            do("part_count_children", sup="P"),
        ) == [
            3,
            "k1#1",
            True,
            [
                {"child": "k2#1", "id": 2, "type": "worker"},
                {"child": "k1#2", "id": 1, "type": "worker"},
                {"child": "k0#1", "id": 0, "type": "worker"},
            ],
            {"specs": 3, "active": 3, "supervisors": 0, "workers": 3},
        ]


class TestWhatIsNotUnderstood:
    @pytest.mark.parametrize(
        "action", [do("dance"), do("alive", proc="nobody")], ids=["action", "process"]
    )
    def test_is_said(self, action: dict[str, Any]) -> None:
        with pytest.raises(UnknownWord):
            play(action)
