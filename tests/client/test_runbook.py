"""The runbook's commands are real: every one, with every option, is one that the programs and the Makefile know."""

from __future__ import annotations

import re
import shlex

import click
import pytest
import typer.main

from places import CHECKOUT
from reelscope.cli import app as client
from reelscope_export.cli import app as exporter

TEXT = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
PROGRAMS = {"reelscope": client, "reelscope-export": exporter}


def commands():
    """Lines of code blocks, and code in sentences and tables that begins with a program of ours."""
    blocks = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    spoken = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```\n.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    short = [f"reelscope {code}" for code in spoken if code.split()[0] in ("models", "server") and " " in code]
    return sorted(
        {each for each in (*lines, *spoken, *short) if each.split()[:1] and each.split()[0] in (*PROGRAMS, "make")}
    )


def refused(words):
    """What of a command is not known; None when all of it is."""
    program, *rest = words
    if program == "make":
        targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        return next((word for word in rest if "=" not in word and word not in targets), None)
    command = typer.main.get_command(PROGRAMS[program])
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        if not rest:
            return "no command"
        name = rest.pop(0)
        if name not in command.commands:
            return name
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return next((word for word in rest if word.startswith("-") and word not in {*known, "--help"}), None)


def test_there_are_commands_of_every_kind():
    begun = {" ".join(command.split()[:2]) for command in commands()}
    assert {"reelscope server", "reelscope models", "reelscope serve", "make acceptance", "make setup"} <= begun
    assert len(commands()) > 25


@pytest.mark.parametrize("command", commands())
def test_a_command_is_known(command):
    assert refused(shlex.split(command)) is None


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("reelscope server upp", "upp"),
        ("reelscope models roll x --configs", "--configs"),
        ("make acceptances", "acceptances"),
        ("reelscope-export x --candidates", "--candidates"),
    ],
)
def test_what_is_not_known_is_found(command, unknown):
    assert refused(shlex.split(command)) == unknown


def test_files_and_links_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (CHECKOUT / "docs" / link).exists(), link
    for path in ("server/profiles.toml", "client/reelscope/analyzers/__init__.py"):
        assert path in TEXT
        assert (CHECKOUT / path).is_file()
