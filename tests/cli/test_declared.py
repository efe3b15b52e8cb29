"""An option is one field: the commands, their help, their choices and TOML follow from its declaration."""

import os
import re
import subprocess
import sys
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from vitbench.cli.app import app
from vitbench.cli.declared import CommandOptions
from vitbench.errors import UsageError
from vitbench.options import EVERY, Command, Declared, kinds
from vitbench.settings import ARM_FIELDS, Settings

FIELDS = [(model, name) for model in (Settings, CommandOptions) for name in model.model_fields]


def options_of(command: str) -> dict[str, Any]:
    """Flag → option, as typer has them."""
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {flag: param for param in found.params for flag in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("command", EVERY)
def test_a_command_has_the_options_that_name_it_and_no_others(command: Command) -> None:
    """What a field's declaration says, neither more nor less."""
    declared = {
        flag
        for model, name in FIELDS
        if command in model.option(name).commands
        for flag in model.flags(name)
        if flag.startswith("-")
    }
    assert declared | {"--help-all"} == {flag for flag in options_of(command) if flag.startswith("-")}


@pytest.mark.parametrize("command", EVERY)
def test_help_names_every_choice_and_every_default(command: Command) -> None:
    """Each word that an option takes stands in its help; so does its default, where it has one."""
    options = options_of(command)
    for model, name in FIELDS:
        declared = model.option(name)
        if command not in declared.commands or (flag := model.flags(name)[0]) not in options:
            continue
        taken = declared.types.get(command, model.model_fields[name].annotation)
        told = re.split(r"[^\w]+", options[flag].help)
        assert not {kind for kind in kinds(taken) if isinstance(kind, str)} - set(told), (command, name)
        default = model.model_fields[name].default
        if default is True or (isinstance(default, str | int | float) and default is not False):
            assert "[default: " in options[flag].help, (command, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "choices"),
    [
        ("--augment ", "geometry masked"),
        ("--track ", "wandb trackio"),
        ("--without tf32,c", "tf32,cuda_graphs tf32,channels_last"),
    ],
)
def test_choices_are_completed_by_the_shell(flag: str, choices: str) -> None:
    """`vitbench train --augment <TAB>` lists what there is."""
    words = {
        "COMP_WORDS": f"vitbench train {flag}",
        "COMP_CWORD": "3",
        "_VITBENCH_COMPLETE": "complete_bash",
    }
    code = "import sys; sys.argv = ['vitbench']; from vitbench.cli.app import app; app(prog_name='vitbench')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert set(choices.split()) <= set(done.stdout.split()), done


@pytest.mark.parametrize("word", ["more", "Light", ""])
def test_a_word_that_is_no_choice_is_refused_with_those_there_are(word: str) -> None:
    """Status 2, every choice named."""
    done = CliRunner().invoke(app, ["train", "--augment", word])
    assert isinstance(done.exception, UsageError)
    assert set(get_args(Settings.model_fields["augment"].annotation)[0].__args__) <= set(
        re.findall(r"\w+", str(done.exception))
    )


def test_what_is_declared_is_enough() -> None:
    """A model of one's own with one field makes an option with name, help, default and meaning."""
    from typing import Annotated

    from vitbench.cli.declared import parameters_of
    from vitbench.options import LEARNING, TRAIN, On, Real

    class Own(Declared):
        """Options of a test."""

        max_noise: Annotated[Real | None, On(TRAIN, LEARNING, arm=True, default="none")] = None
        """Noise at most."""

    (made,) = parameters_of(Own, "train")
    info = made.annotation.__metadata__[0]
    assert (info.default, info.help, info.rich_help_panel) == (
        "--max-noise",
        "Noise at most. [default: none]",
        LEARNING,
    )
    assert list(parameters_of(Own, "probe")) == []
    assert Own.fields_where(lambda option: option.arm) == {"max_noise"}


def test_what_the_house_knows_of_options_is_as_it_was() -> None:
    """Of the lists that were kept by hand, those that nothing else would notice."""
    assert Settings.fields_where(lambda option: option.between_calls == "runs") == {
        "models", "seeds", "arms", "teacher", "pretrain", "with_probe"
    }  # fmt: skip
    assert Settings.fields_where(lambda option: option.splits) == {
        "layout", "group", "burst_seconds", "split_seed", "skip_bad", "near_duplicates"
    }  # fmt: skip
    assert {"lr", "weights", "tau", "pretrain"} <= ARM_FIELDS
    assert not {"models", "seeds", "plain", "device", "folds", "strict"} & ARM_FIELDS
    assert Settings.flags("with_probe") == ("--with-probe", "--no-probe")
    assert Settings.flags("quick") == ("--quick", "")
