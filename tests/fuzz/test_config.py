"""Whatever a file or `--set` says: a daemon that could be, or an error that says what to write."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from callboard.actors.daemon.config import Config, as_given, read_config
from callboard.actors.daemon.doors import loopback
from callboard.actors.daemon.errors import NotLoopback, UnknownBehaviour, WrongConfig
from callboard.actors.daemon.options import BOUNDS, Bounds, load_behaviour, read_bounds
from callboard.actors.wording import in_words
from callboard.supervision import InvalidSpec
from tests.fuzz.campaign import fuzz
from tests.fuzz.values import ODD_TEXTS, UNWRITABLE_BITS

SHORT = 5_000
"""Characters that no error has: it would repeat the file."""


def scalars() -> st.SearchStrategy[str]:
    """Return values as TOML writes them, and as it does not."""
    texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=10), st.just("x" * 3_000))
    return st.one_of(
        texts.map(lambda text: json.dumps(text, ensure_ascii=False)),
        texts.map(json.dumps),
        st.integers(-2, 70_000).map(str),
        st.integers().map(str),
        st.floats().map(str),
        st.sampled_from(
            (
                "inf",
                "-inf",
                "nan",
                "true",
                "false",
                "1e400",
                "9" * 5_000,
                hex(1 << UNWRITABLE_BITS),
                "1979-05-27",
                "07:32:00",
                "[]",
                "{}",
                "[1, [2]]",
                "{a = {b = 1}}",
                "[" * 3_000,
                "",
                "'''",
            )
        ),
    )


def files() -> st.SearchStrategy[str]:
    """Return files: of the right names with any value, of any names, of anything."""
    options = st.sampled_from([each for each in Config.__struct_fields__ if each != "set"])
    names = st.one_of(options, options, options, st.text(max_size=5).map(json.dumps))
    bounds = st.one_of(*[st.sampled_from(BOUNDS)] * 5, st.text(max_size=5).map(json.dumps))
    told = st.dictionaries(names, scalars(), max_size=2)
    under_set = st.dictionaries(bounds, scalars(), max_size=2)
    sound = st.builds(_file, told, under_set)
    return st.one_of(sound, sound, sound, st.text(max_size=40))


def _file(told: dict[str, str], under_set: dict[str, str]) -> str:
    return "\n".join([*_lines(told), "[set]", *_lines(under_set)])


def _lines(pairs: dict[str, str]) -> list[str]:
    return [f"{name} = {value}" for name, value in pairs.items()]


def check_bounds(bounds: Bounds) -> None:
    """Say that every bound is a number that bounds."""
    for shape in bounds:
        for name in shape.__struct_fields__:
            bound: Any = getattr(shape, name)
            is_number = type(bound) in (int, float) and bound >= 0
            assert bound is None or type(bound) is bool or is_number, name
            assert not math.isnan(bound or 0), name
    assert bounds.daemon.backlog < 2**31


def check_error(error: Exception, remedy: str) -> None:
    assert remedy
    assert len(str(error)) + len(remedy) < SHORT


def test_a_file_is_a_daemon_or_an_error_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "callboard.toml"

    def read(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            config = read_config(path)
            check_bounds(read_bounds(as_given(config.set)))
        except (WrongConfig, InvalidSpec) as error:
            check_error(error, error.remedy)
            return
        assert "\0" not in "".join(filter(_is_text, msgspec.structs.astuple(config)))

    fuzz(read, files(), examples=150)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def test_set_is_a_bound_or_an_error_with_a_remedy() -> None:
    pairs = st.builds("{}={}".format, st.sampled_from(BOUNDS), _values())

    def read(given: list[str]) -> None:
        try:
            check_bounds(read_bounds(given))
        except InvalidSpec as error:
            check_error(error, error.remedy)

    fuzz(read, st.lists(st.one_of(pairs, pairs, st.text(max_size=9)), max_size=3), examples=60)


def _values() -> st.SearchStrategy[str]:
    odd = st.sampled_from((*ODD_TEXTS, "9" * 5_000, "inf", "nan", "1_0", "0x1", "²", "null", "1.5"))
    anything = st.text(st.characters(categories=None), max_size=4)
    return st.one_of(st.integers(-1, 10**6).map(str), st.floats().map(str), odd, anything)


def test_a_host_is_this_machine_or_refused() -> None:
    hosts = st.one_of(
        st.sampled_from((*ODD_TEXTS, "::1", "[::1]", "::1%lo", "127.1.2.3", "0.0.0.0", "::")),  # noqa: S104 -- refused
        st.ip_addresses().map(str),
        st.text(max_size=20),
    )

    def read(host: str) -> None:
        try:
            address = loopback(host)
        except NotLoopback as error:
            check_error(error, error.remedy)
        else:
            assert address.is_loopback
            assert "%" not in str(address)

    fuzz(read, hosts, examples=60)


def test_a_behaviour_is_a_class_of_sessions_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    (tmp_path / "broken.py").write_text("def")
    modules = ("sys", "os", "ends", "broken", ".a", "..", "a.b.c", "callboard.actors", "nowhere")
    odd = st.sampled_from(modules + ODD_TEXTS)
    names = st.builds("{}:{}".format, odd, st.sampled_from(("path", *ODD_TEXTS)))

    def load(name: str) -> None:
        with pytest.raises(UnknownBehaviour) as refused:
            load_behaviour(name, tmp_path)
        check_error(refused.value, refused.value.remedy)

    fuzz(load, names, examples=60)


def test_what_a_decoder_says_is_told_in_a_bounded_sentence() -> None:
    def tell(what: str) -> None:
        said = in_words(what)

        assert said.isprintable()
        assert len(said) < 300

    fuzz(tell, st.text(min_size=1).map(lambda text: text * 50), examples=30)
