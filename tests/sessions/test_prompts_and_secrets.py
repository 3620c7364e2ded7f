"""Prompts are put together from three, and secrets go no further than where they are needed."""

from __future__ import annotations

import traceback

import pytest

from callboard.actors import (
    AgentDied,
    ComposedPrompts,
    EnvironmentSecrets,
    InvalidField,
    McpToolError,
    PromptError,
    PromptFailed,
    SecretError,
    SecretRef,
    SessionError,
)
from callboard.actors.secrets import Vault
from callboard.actors.testing import FakeSecrets

PROMPTS = ComposedPrompts(
    "You help $name.", orgs={"acme": "Acme sells anvils."}, users={"ada": "Ada likes $$ signs."}
)


class TestComposedPrompts:
    @pytest.mark.seed("2.17", "2.18")
    @pytest.mark.parametrize(
        ("user_id", "org_id", "expected"),
        [
            (None, None, "You help Bo."),
            ("eve", "acme", "You help Bo.\n\nAcme sells anvils."),
            ("ada", None, "You help Bo.\n\nAda likes $ signs."),
            ("ada", "acme", "You help Bo.\n\nAcme sells anvils.\n\nAda likes $ signs."),
        ],
    )
    def test_there_is_one_of_those_that_there_are(
        self, user_id: str | None, org_id: str | None, expected: str
    ) -> None:
        assert PROMPTS.compose(user_id, org_id, {"name": "Bo"}) == expected

    def test_what_a_variable_holds_is_not_looked_into(self) -> None:
        assert PROMPTS.compose(None, None, {"name": "$name ${x}"}) == "You help $name ${x}."

    def test_a_variable_that_is_missing_is_named(self) -> None:
        with pytest.raises(PromptError, match="'name'"):
            PROMPTS.compose(None, None, {})

    def test_a_lone_dollar_is_refused(self) -> None:
        with pytest.raises(PromptError, match="filled in"):
            ComposedPrompts("100 $ or more").compose(None, None, {})


class TestSecrets:
    def test_the_environment_knows_them_when_it_is_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secrets = EnvironmentSecrets()
        monkeypatch.setenv("CALLBOARD_TEST_KEY", "hush")

        assert secrets.resolve(SecretRef("CALLBOARD_TEST_KEY")) == "hush"

    def test_one_that_is_not_known_is_named(self) -> None:
        with pytest.raises(SecretError, match="'KEY'") as unknown:
            Vault(EnvironmentSecrets({})).resolve(SecretRef("KEY"))
        assert unknown.value.name == "KEY"

    def test_what_a_port_says_when_it_fails_goes_nowhere(self) -> None:
        secrets = FakeSecrets({})
        secrets.failures["resolve"] = RuntimeError("wrong password hush")

        with pytest.raises(SecretError) as failed:
            Vault(secrets).resolve(SecretRef("KEY"))

        assert "hush" not in str(failed.value)
        assert failed.value.__context__ is None

    def test_what_led_a_port_to_its_own_error_goes_nowhere(self) -> None:
        failed = SecretError("KEY")
        failed.__cause__ = RuntimeError("wrong password hush")
        secrets = FakeSecrets({})
        secrets.failures["resolve"] = failed

        with pytest.raises(SecretError) as raised:
            Vault(secrets).resolve(SecretRef("KEY"))

        assert raised.value is failed
        assert "hush" not in "".join(traceback.format_exception(failed))


class TestAVault:
    def test_fills_a_structure_and_takes_the_secrets_out_of_a_text(self) -> None:
        vault = Vault(FakeSecrets({"A": "one", "B": "one-two"}))

        filled = vault.fill({"env": {"X": SecretRef("A")}, "args": ["-k", SecretRef("B"), 3]})

        assert filled == {"env": {"X": "one"}, "args": ("-k", "one-two", 3)}
        assert vault.scrub("one-two and one") == "[secret] and [secret]"

    @pytest.mark.parametrize(
        "refused",
        [
            PromptFailed("401 for hush"),
            McpToolError("call", "401 for hush"),
            AgentDied(1, "token hush"),
            InvalidField("token", "hush", "Give another."),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_passes_no_refusal_on_that_holds_a_secret(self, refused: SessionError) -> None:
        vault = Vault(FakeSecrets({"KEY": "hush"}))
        vault.resolve(SecretRef("KEY"))

        assert vault.refusal(refused) is None

    def test_passes_a_clean_one_on_without_what_led_to_it(self) -> None:
        refused = PromptFailed("it is too late")
        refused.add_note("with token hush")
        try:
            raise refused from RuntimeError("401 for hush")
        except PromptFailed:
            vault = Vault(FakeSecrets({"KEY": "hush"}))
            vault.resolve(SecretRef("KEY"))

        assert vault.refusal(refused) is refused
        assert "hush" not in "".join(traceback.format_exception(refused))
        assert refused.__traceback__ is None

    def test_takes_what_cannot_be_said_for_its_type(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert Vault(FakeSecrets({})).said(Mute()) == "Mute"

    def test_shows_nothing(self) -> None:
        vault = Vault(FakeSecrets({"A": "hush"}))
        vault.resolve(SecretRef("A"))

        assert "hush" not in repr(vault)

    def test_a_name_may_be_shown(self) -> None:
        assert repr(SecretRef("KEY")) == "SecretRef(name='KEY')"
