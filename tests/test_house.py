"""The house rules as a test: what imports what, how long things are, what is never written."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("detectors", "stream", "driftline")
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60

# The core does no I/O, reads no clock and draws no number of its own.
PURE = {"abc", "binascii", "bisect", "collections", "dataclasses", "datetime", "decimal"}
PURE |= {"difflib", "enum", "functools", "hashlib", "heapq", "importlib", "inspect", "itertools"}
PURE |= {"json", "math", "operator", "re", "statistics", "struct", "types", "typing", "zlib"}
PURE |= {"numpy", "numba", "msgspec", "detectors"}
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "default_rng"}
ABOVE = {"detectors": {"stream", "driftline"}, "stream": {"driftline"}, "driftline": set()}
# Who alone may know a third party.  The bench measures a worker written naively for Faust.
ONLY_IN = {
    "faust": {
        "stream/transport.py",
        "stream/consumer_thread.py",
        "stream/app.py",
        "stream/credentials.py",
        "driftline/bench/naive.py",
    },
    "mode": {"stream/consumer_thread.py", "stream/app.py"},
    "prometheus_client": {"stream/metrics.py"},
    "river": {
        "detectors/drift/river_plugin.py",
        "driftline/bench/naive.py",
        "driftline/bench/detectors.py",
    },
}
# What runs code that stands in its input.
UNSAFE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "allow_pickle"}
EMITTER = {"driftline/emitter.py", "driftline/__init__.py"}

SAYS_NOTHING = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
LEFTOVER = re.compile(r"\b([T]ODO|[F]IXME|[X]XX|[N]otImplementedError)\b")
REGISTRY = re.compile(
    r"https?://(?:[\w.-]*(?:registry|repo\d?|pypi|files|proxy|mirror)[\w.-]*[/\"']"
    r"|[\w.-]+/(?:simple|maven2|packages)\b)"
)
OF_THIS_MACHINE = re.compile(r"(?<![\w.])/(work|farm|root|home)/[a-z]")
BINARY = {".png", ".gz", ".parquet", ".jar", ".svg"}


@cache
def every_file() -> tuple[str, ...]:
    """List what git tracks or would track; without git, what lies there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        names = done.stdout.splitlines()
    else:
        names = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file()]
        hidden = re.compile(r"(^|/)(\.(?!ci/|gitignore)|__pycache__/)")
        names = [name for name in names if not hidden.search(name)]
    return tuple(name for name in names if (ROOT / name).is_file())


@cache
def modules() -> dict[str, ast.Module]:
    names = [name for name in every_file() if name.endswith(".py")]
    return {name: ast.parse((ROOT / name).read_text()) for name in names}


def of_packages() -> Iterator[tuple[str, str, ast.Module]]:
    for name, tree in modules().items():
        if (package := name.split("/")[0]) in PACKAGES:
            yield name, package, tree


def imports(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_imports_point_one_way() -> None:
    wrong = {
        name: sorted(imports(tree) & ABOVE[package])
        for name, package, tree in of_packages()
        if imports(tree) & ABOVE[package]
    }
    assert wrong == {}


def test_the_core_imports_nothing_impure() -> None:
    wrong = {
        name: sorted(extra)
        for name, package, tree in of_packages()
        if package == "detectors" and (extra := imports(tree) - PURE - exempt(name))
    }
    assert wrong == {}


def test_a_third_party_is_known_only_where_it_may_be() -> None:
    wrong = {
        name: sorted(extra)
        for name, _, tree in of_packages()
        if (extra := (imports(tree) & ONLY_IN.keys()) - exempt(name))
    }
    assert wrong == {}


def exempt(name: str) -> set[str]:
    return {party for party, places in ONLY_IN.items() if name in places}


def test_nothing_that_is_read_can_run_code() -> None:
    wrong = {name: found for name, _, tree in of_packages() if (found := unsafe(tree))}
    assert wrong == {}
    assert unsafe(ast.parse("from pickle import loads")) == {"pickle"}
    assert unsafe(ast.parse("np.load(path, allow_pickle=True)")) == {"allow_pickle"}
    assert unsafe(ast.parse("eval(text)")) == {"eval"}


def unsafe(tree: ast.Module) -> set[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {ast.unparse(call.func) for call in calls}
    named |= {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}
    return imports(tree) & UNSAFE | named & UNSAFE_CALLS


def test_the_emitter_imports_nothing_of_the_rest() -> None:
    for name in EMITTER & modules().keys():
        # From driftline itself, __init__ may take the emitter.
        assert not imports(modules()[name]) & {"detectors", "stream"}, name
    # And what Python really loads, other modules' imports included.
    code = "import driftline, sys; print(*{m.split('.')[0] for m in sys.modules})"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.split()) & {"detectors", "stream", "numpy", "faust"}


def test_files_and_functions_are_short() -> None:
    long = [
        f"{name}: {count} lines"
        for name in modules()
        if (count := len((ROOT / name).read_text().splitlines())) > FILE_LINES_MAX
    ]
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or 0) - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    long.append(f"{name}:{node.lineno} {node.name}: {count} lines")
    assert long == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [n for n in every_file() if SAYS_NOTHING & set(Path(n).with_suffix("").parts)] == []


def test_all_lists_what_is_public_and_lists_nothing_that_is_not_there() -> None:
    wrong = {}
    for name, _, tree in of_packages():
        if name.endswith("__main__.py"):
            continue
        public = {node.name for node in tree.body if is_public(node)}
        listed = next((node.value for node in tree.body if assigns_all(node)), None)
        names = set(ast.literal_eval(listed)) if listed else set()
        if left_out := public - names:
            wrong[name] = f"__all__ leaves out {sorted(left_out)}"
        elif more := names - public:
            module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
            if missing := [one for one in more if not hasattr(module, one)]:
                wrong[name] = f"__all__ lists {missing}, which are not there"
    assert wrong == {}


def is_public(node: ast.stmt) -> bool:
    """Tell whether others may call it; a command of the command line is called by typer."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    decorators = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
    attributes = {one.attr for one in decorators if isinstance(one, ast.Attribute)}
    return not node.name.startswith("_") and not attributes & {"command", "callback"}


def assigns_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def test_the_core_reads_no_clock_and_prints_nothing() -> None:
    wrong = [
        f"{name}:{node.lineno}: {called}"
        for name, package, tree in of_packages()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (called := ast.unparse(node.func).split(".")[-1]) in IMPURE_CALLS
        and (package == "detectors" or (package == "stream" and called == "print"))
    ]
    assert wrong == []


@pytest.mark.parametrize("never", [LEFTOVER, REGISTRY, OF_THIS_MACHINE])
def test_no_file_holds(never: re.Pattern[str]) -> None:
    found = []
    for name in every_file():
        path = ROOT / name
        if path.suffix in BINARY or path.stat().st_size > 2_000_000:
            continue
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), start=1):
            if hit := never.search(line):
                found.append(f"{name}:{number}: {hit[0]}")
    assert found == []
