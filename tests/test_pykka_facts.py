"""What pykka 4.5 does that we rely on, one test a fact. An upgrade breaks here first."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar

import pykka
import pytest
from pykka import _actor, _future, _introspection, _proxy, _ref, _registry, messages

from callboard.supervision import ActorDeadError, ActorRef, Future, Timeout
from callboard.supervision.runtime import seam

WITHIN_S = 10.0


class Echo(pykka.ThreadingActor):
    """pykka's own actor, that answers what it is sent."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message


class Recording(pykka.Actor):
    """An actor on an engine that runs nothing, and notes what it was asked to do."""

    kept: ClassVar[list[Recording]] = []

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.kept.append(self)  # a ref of pykka's keeps its actor weakly

    @staticmethod
    def _create_actor_inbox() -> Any:
        return None

    @staticmethod
    def _create_future() -> Any:
        return Future[Any]()

    def _start_actor_loop(self) -> None:
        self.asked.append("_start_actor_loop")
        if self.actor_ref in pykka.ActorRegistry.get_all():
            self.asked.append("registered before")

    def on_stop(self) -> None:
        self.asked.append("on_stop")

    def on_receive(self, message: Any) -> Any:
        self.asked.append("on_receive")
        return message


def parameters(owner: Any, name: str) -> list[str]:
    return list(inspect.signature(getattr(owner, name)).parameters)


def overrides(ours: type[Any], theirs: type[Any]) -> set[str]:
    """The names of pykka's class, private ones included, that a class of ours defines itself."""
    return {
        name
        for base in ours.__mro__
        if base.__module__.startswith("callboard.")
        for name in vars(base)
        if name in vars(theirs) and not name.startswith("__")
    }


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    for actor in Recording.kept:
        pykka.ActorRegistry.unregister(actor.actor_ref)
    Recording.kept.clear()
    pykka.ActorRegistry.stop_all(timeout=WITHIN_S)


def test_the_version_is_one_these_facts_were_checked_with() -> None:
    assert version("pykka").split(".")[:2] == ["4", "5"]


class TestTheSeam:
    def test_finds_every_private_name_it_imports(self) -> None:
        assert seam.ActorStop is messages._ActorStop
        assert seam.AttrInfo is _introspection.AttrInfo

    def test_exports_nothing_that_is_not_there(self) -> None:
        assert [name for name in seam.__all__ if not hasattr(seam, name)] == []

    def test_knows_the_messages_that_a_proxy_sends(self) -> None:
        theirs = {
            member
            for name, member in vars(messages).items()
            if isinstance(member, type) and name.startswith("Proxy")
        }

        assert theirs == seam.PROXY_MESSAGES

    def test_logs_to_pykkas_logger(self) -> None:
        assert seam.pykka_logger is logging.getLogger("pykka")


class TestAnActor:
    def test_starts_by_init_then_register_then_its_loop(self) -> None:
        ref = Recording.start()
        actor = ref._actor_weakref()

        assert isinstance(actor, Recording)
        assert actor.asked == ["_start_actor_loop", "registered before"]

    def test_makes_its_ref_inbox_urn_and_flag_in_init(self) -> None:
        source = inspect.getsource(pykka.Actor.__init__)

        for name in ("actor_urn", "actor_inbox", "actor_stopped", "_actor_ref"):
            assert f"self.{name} = " in source

    def test_gives_its_ref_by_a_property_of_a_private_attribute(self) -> None:
        actor = Recording()

        assert isinstance(pykka.Actor.actor_ref, property)
        assert actor.actor_ref is actor._actor_ref

    def test_stops_itself_by_a_message_to_itself(self) -> None:
        sent: list[Any] = []
        actor = Recording()
        actor._actor_ref = _Sink(sent)  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

        actor.stop()

        assert [type(each) for each in sent] == [messages._ActorStop]

    def test_handles_the_stop_message_by_stop(self) -> None:
        actor = Recording()

        actor._handle_receive(messages._ActorStop())

        assert actor.asked == ["on_stop"]
        assert actor.actor_stopped.is_set()

    def test_handles_a_proxys_messages_by_its_attributes(self) -> None:
        actor: Any = Recording()
        actor.field = 1

        actor._handle_receive(messages.ProxySetAttr(attr_path=("field",), value=2))

        assert actor._handle_receive(messages.ProxyGetAttr(attr_path=("field",))) == 2
        call = messages.ProxyCall(attr_path=("on_receive",), args=("x",), kwargs={})
        assert actor._handle_receive(call) == "x"

    def test_handles_all_else_by_on_receive(self) -> None:
        actor = Recording()

        assert actor._handle_receive("x") == "x"

    def test_on_stop_that_raises_an_exception_is_logged_not_passed_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Failing(Recording):
            def on_stop(self) -> None:
                raise ValueError

        Failing()._stop()

        assert [each.levelname for each in caplog.records] == ["ERROR"]

    def test_on_stop_that_raises_a_base_exception_is_passed_on(self) -> None:
        class Failing(Recording):
            def on_stop(self) -> None:
                raise SystemExit

        with pytest.raises(SystemExit):
            Failing()._stop()

    def test_leaves_the_registry_and_sets_its_flag_when_it_fails(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        ref = Recording.start()
        actor = ref._actor_weakref()
        assert actor is not None

        actor._handle_failure(ValueError, ValueError("x"), None)

        assert ref not in pykka.ActorRegistry.get_all()
        assert actor.actor_stopped.is_set()
        assert caplog.records[0].getMessage() == f"Unhandled exception in {actor}:"

    def test_of_the_default_kind_logs_a_message_it_does_not_know(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        pykka.Actor.on_receive(Recording(), "x")

        assert caplog.records[0].levelname == "WARNING"

    def test_hooks_have_the_signatures_we_call_them_with(self) -> None:
        assert parameters(pykka.Actor, "on_start") == ["self"]
        assert parameters(pykka.Actor, "on_stop") == ["self"]
        assert parameters(pykka.Actor, "on_failure") == [
            "self",
            "exception_type",
            "exception_value",
            "traceback",
        ]

    def test_has_the_private_methods_that_we_replace_or_call(self) -> None:
        for name in (
            "_create_actor_inbox",
            "_create_future",
            "_handle_failure",
            "_handle_receive",
            "_start_actor_loop",
            "_stop",
        ):
            assert callable(getattr(pykka.Actor, name)), name


class _Sink:
    """A ref that notes what it is told."""

    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    def tell(self, message: Any) -> None:
        self.sent.append(message)


class TestARef:
    def test_has_the_methods_that_ours_replaces_with_these_parameters(self) -> None:
        assert parameters(pykka.ActorRef, "tell") == ["self", "message"]
        assert parameters(pykka.ActorRef, "ask") == ["self", "message", "block", "timeout"]
        assert parameters(pykka.ActorRef, "stop") == ["self", "block", "timeout"]
        assert parameters(pykka.ActorRef, "is_alive") == ["self"]
        assert parameters(pykka.ActorRef, "proxy") == ["self"]

    def test_of_ours_replaces_every_public_method_of_theirs(self) -> None:
        public = {
            name
            for name, member in vars(pykka.ActorRef).items()
            if callable(member) and not name.startswith("_")
        }

        assert public <= overrides(ActorRef, pykka.ActorRef)

    def test_has_the_attributes_that_ours_gives_in_its_own_way(self) -> None:
        theirs = set(vars(Echo.start()))

        assert theirs == {
            "_actor_weakref",
            "actor_class",
            "actor_inbox",
            "actor_stopped",
            "actor_urn",
        }
        assert all(hasattr(ActorRef, name) for name in theirs)

    def test_is_equal_to_itself_alone(self) -> None:
        one, two = Echo.start(), Echo.start()

        assert one == one  # noqa: PLR0124 -- the fact
        assert one != two
        assert "__eq__" not in vars(pykka.ActorRef)

    def test_keeps_the_actor_weakly(self) -> None:
        ref = Echo.start()

        assert isinstance(ref._actor_weakref(), Echo)
        assert "_actor_weakref" in inspect.getsource(_ref)


class TestAFuture:
    def test_is_told_to_set_get_and_hook_by_these_methods(self) -> None:
        assert parameters(pykka.Future, "get") == ["self", "timeout"]
        assert parameters(pykka.Future, "set") == ["self", "value"]
        assert parameters(pykka.Future, "set_exception") == ["self", "exc_info"]
        assert parameters(pykka.Future, "set_get_hook") == ["self", "func"]

    def test_keeps_a_hook_where_ours_looks_for_it(self) -> None:
        future: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
        future.set_get_hook(lambda _timeout: 1)

        assert future._get_hook is not None
        assert future.get() == 1

    def test_makes_mapped_ones_of_its_own_class_by_a_hook(self) -> None:
        future: Future[int] = Future()
        future.set(1)

        mapped = future.map(lambda value: value + 1)

        assert type(mapped) is Future
        assert mapped._get_hook is not None
        assert mapped.get() == 2

    def test_passes_the_timeout_on_to_what_it_was_made_of(self) -> None:
        future: Future[int] = Future()

        with pytest.raises(Timeout):
            future.map(str).get(timeout=0.001)

    def test_has_an_instance_dictionary_where_ours_may_keep_what_is_rare(self) -> None:
        assert "__slots__" not in vars(_future.Future)

    def test_errors_of_ours_are_errors_of_theirs(self) -> None:
        assert issubclass(Timeout, pykka.Timeout)
        assert issubclass(ActorDeadError, pykka.ActorDeadError)


class TestAProxy:
    def test_keeps_what_it_knows_in_these_attributes(self) -> None:
        proxy: Any = Echo.start().proxy()

        for name in ("_actor", "_attr_path", "_known_attrs", "_actor_proxies", "_callable_proxies"):
            assert hasattr(proxy, name), name

    def test_records_an_attribute_as_callable_or_traversable(self) -> None:
        assert _introspection.AttrInfo._fields == ("callable", "traversable")

    def test_takes_these_arguments(self) -> None:
        assert parameters(pykka.ActorProxy, "__init__") == ["self", "actor_ref", "attr_path"]
        assert parameters(_proxy.CallableProxy, "__init__") == ["self", "actor_ref", "attr_path"]

    def test_marks_what_is_traversable_by_an_attribute(self) -> None:
        class Holder:
            """Something below an actor."""

        marked: Any = pykka.traversable(Holder())

        assert marked._pykka_traversable is True

    def test_refuses_a_dead_actor(self) -> None:
        ref = Echo.start()
        ref.stop()

        with pytest.raises(pykka.ActorDeadError):
            pykka.ActorProxy(actor_ref=ref)


class TestTheRegistry:
    def test_keeps_its_refs_and_its_lock_in_these_attributes(self) -> None:
        assert isinstance(_registry.ActorRegistry._actor_refs, list)
        assert isinstance(_registry.ActorRegistry._actor_refs_lock, type(threading.RLock()))

    def test_stops_all_by_their_stop_without_waiting_when_told_so(self) -> None:
        assert parameters(pykka.ActorRegistry, "stop_all") == ["block", "timeout"]
        ref = Echo.start()

        (stopping,) = pykka.ActorRegistry.stop_all(block=False)

        assert isinstance(stopping, pykka.Future)
        assert ref.actor_stopped.wait(WITHIN_S)

    def test_forgets_one_as_often_as_it_is_told(self) -> None:
        ref = Echo.start()

        for _ in range(2):
            pykka.ActorRegistry.unregister(ref)

        assert ref not in pykka.ActorRegistry.get_all()
        ref.stop()


class TestAThreadingActor:
    def test_has_a_thread_named_after_its_class(self) -> None:
        class Named(Echo):
            def on_receive(self, message: Any) -> Any:
                del message
                return threading.current_thread().name

        name: Any = Named.start().ask("x", timeout=WITHIN_S)

        assert name.startswith("Named-")

    def test_is_dead_before_its_on_stop_has_run(self) -> None:
        over, began = threading.Event(), threading.Event()

        class Slow(Echo):
            def on_stop(self) -> None:
                began.set()
                over.wait(WITHIN_S)

        ref = Slow.start()
        stopping = ref.stop(block=False)
        assert began.wait(WITHIN_S)

        assert not ref.is_alive()
        over.set()
        stopping.get(timeout=WITHIN_S)

    def test_lives_on_after_an_exception_under_ask(self) -> None:
        class Failing(Echo):
            def on_receive(self, message: Any) -> Any:
                del message
                raise ValueError

        ref = Failing.start()

        with pytest.raises(ValueError):  # noqa: PT011 -- the fact is that it comes at all
            ref.ask("x", timeout=WITHIN_S)

        assert ref.is_alive()


def test_the_modules_we_looked_into_are_where_they_were() -> None:
    assert _actor.Actor is pykka.Actor
    assert _ref.ActorRef is pykka.ActorRef
    assert _future.Future is pykka.Future
    assert _proxy.ActorProxy is pykka.ActorProxy
    assert _registry.ActorRegistry is pykka.ActorRegistry
