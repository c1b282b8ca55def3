"""The console script: which command it calls, and what it says instead of a traceback."""

import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from reference import ROOT

from das_ag import cli
from das_ag.errors import _NO_MEMORY, UserError


@pytest.fixture
def failing(monkeypatch):
    """Makes das-ag table raise an error."""

    def fail_with(error):
        def main(argv):
            raise error

        monkeypatch.setattr("das_ag.commands.table.main", main)

    return fail_with


def test_help_lists_every_command_with_its_purpose(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    for name, purpose in cli.COMMANDS.items():
        assert f"  {name} " in out
        assert purpose in out


def test_every_command_has_help_of_its_own(capsys):
    for name in set(cli.COMMANDS) - {"run", "demo"}:
        with pytest.raises(SystemExit) as end:
            cli.main([name, "--help"])
        assert end.value.code == 0
        assert f"usage: das-ag {name} " in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    for arguments in (["--version"], ["run", "--version"]):
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == f"das-ag {metadata.version('das-ag')}\n"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("evaluate", "Its name is das-ag score."),
        ("list_words", "Its name is das-ag list words."),
        ("galery", "Did you mean 'gallery'?"),
        ("--verison", "Did you mean '--version'?"),
        ("generate", "Its name is das-ag run."),
        ("method=das", "Did you mean das-ag run …?"),
        ("xyzzy", f"Choose one of {', '.join(cli.COMMANDS)}."),
    ],
)
def test_an_unknown_command_is_told_with_advice(capsys, name, advice):
    assert cli.main([name]) == 2
    assert capsys.readouterr().err == f"Error: unknown command {name!r}. {advice}\n"


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UserError("steps: expected 1, got 0."), 1, "Error: steps: expected 1, got 0.\n"),
        (MemoryError(), 1, f"Error: {_NO_MEMORY}.\n"),
        (
            ImportError("libx.so: failed to map segment from shared object"),
            1,
            f"Error: {_NO_MEMORY} (libx.so: failed to map segment from shared object).\n",
        ),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_an_error_for_a_person_is_one_sentence(capsys, failing, error, status, sentence):
    failing(error)
    assert cli.main(["table", "x"]) == status
    assert capsys.readouterr().err == sentence


def test_a_bug_keeps_its_traceback(failing):
    failing(ImportError("cannot import name 'x'"))
    with pytest.raises(ImportError):
        cli.main(["table", "x"])


def test_a_reader_that_has_gone_ends_quietly():
    program = f"{sys.executable} -m das_ag.cli list words | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "135 groups of classes\n")


def test_the_lists_name_every_choice(capsys):
    for kind, group in {"models": "models", "prompts": "prompts", "evaluators": "evaluator"}.items():
        assert cli.main(["list", kind]) == 0
        out = capsys.readouterr().out
        files = sorted((ROOT / "conf" / group).glob("*.yaml"))
        assert files
        for file in files:
            (line,) = [line for line in out.splitlines() if line.startswith(f"{file.stem} ")]
            assert len(line.split()) > 2


def test_the_list_of_prompts_gives_their_texts(capsys):
    assert cli.main(["list", "prompts", "wonders"]) == 0
    assert capsys.readouterr().out == "a volcano\na seashore\na pirate ship\na coral reef\n"


_KINDS = "list: expected one of methods, prompts, models, evaluators, experiments, words, got"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list"], f"{_KINDS} none."),
        (["list", "model"], f"{_KINDS} 'model'. Did you mean 'models'?"),
        (["list", "word", "shark"], f"{_KINDS} 'word'. Did you mean 'words'?"),
        (["list", "methods", "das"], "list: expected nothing more, got 'das'; leave it out."),
        (["list", "prompts", "own"], "prompts=own contains no texts; das-ag list prompts says how to give yours."),
        (["list", "prompts", "file"], "prompts=file contains no texts; das-ag list prompts says how to give yours."),
        (["score"], "expected the name of a picture or folder, got none; write a name, or . for this folder."),
    ],
)
def test_what_an_argument_lacks_is_told(capsys, arguments, sentence):
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err == f"Error: {sentence}\n"


def test_each_script_calls_its_command():
    for script, command in cli._SCRIPTS.items() | {"verify": "verify", "regenerate": "regenerate"}.items():
        words = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--help"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.stdout.startswith(f"usage: das-ag {command.split()[0]} "), done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("das-ag run met", {"method=", "method."}),
        ("das-ag run -m prompts=animals method=das_r", {"method=das_rag"}),
        ("das-ag run views.cou", {"views.count="}),
        ("das-ag ru", {"run"}),
        ("das-ag ", set(cli.COMMANDS)),
        ("das-ag score pict", set()),  # bash then offers files
    ],
)
def test_the_tab_key_completes_commands_and_settings(line, offered):
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(das-ag run --shell-completion install=bash)"
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_CWORD={len(line.split(" ")) - 1}
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == offered
    assert "Error" not in done.stderr


def test_help_is_a_command_too(capsys):
    assert cli.main(["help"]) == 0
    assert capsys.readouterr().out.startswith("usage: das-ag COMMAND")
    with pytest.raises(SystemExit):
        cli.main(["help", "list"])
    assert capsys.readouterr().out.startswith("usage: das-ag list ")
