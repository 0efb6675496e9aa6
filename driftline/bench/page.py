"""The page on performance: targets, figures, commands and versions, made from results.

What people write between `<!-- why:NAME -->` and `<!-- end -->` stays when the page is made anew.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from driftline.bench.alarms.report import markdown
from driftline.bench.plots import draw
from driftline.bench.results import Result
from driftline.bench.tables import number, tables_of
from driftline.bench.targets import targets_table

__all__ = ["in_short", "prose_of", "write_page"]

_PROSE = re.compile(r"<!-- why:(\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
_SHORT = {
    "throughput": {
        "hot path / naive": "the events of a naive Faust and river worker",
        "share of the limit without Faust": "what its own code does without Faust",
        "zstd / uncompressed": "as many when they come compressed with zstd",
        "Arrow / JSON, hot path": "as many as Arrow messages",
    },
    "peers": {
        "hot path / Kafka Streams, warm": "those of a hand-tuned Kafka Streams processor",
        "hot path / Flink, warm": "those of Flink",
        "hot path / hand loop": "those of a hand-written loop with orjson and numpy",
    },
}
_HOW = """\
Absolute rates of a shared machine swing by a factor of two within minutes. So every comparison
runs its contenders by turns, and a ratio is taken between two rates of the same round; the table
holds the best round, the sections below also the median and every round.
"""


def write_page(path: Path, results: Sequence[Result]) -> None:
    """Write the page, and its figures beside it; keep the prose that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prose = prose_of(path.read_text(encoding="utf-8")) if path.exists() else {}
    figures = draw(results, path.parent, path.stem)
    parts = [
        "# How fast: measured\n",
        in_short(results),
        _HOW,
        markdown(targets_table(results)),
        _why("top", prose),
    ]
    parts += [_section(result, figures.get(result.bench, ()), prose) for result in results]
    path.write_text("\n".join(parts), encoding="utf-8")


def in_short(results: Sequence[Result]) -> str:
    """Say the main ratios in a paragraph, with the commands that print them: medians.

    >>> in_short([])
    ''
    """
    said = []
    for result in results:
        known = {
            ratio.name: spread.median
            for ratio in result.ratios
            if (spread := result.ratio(ratio.name))
        }
        parts = [
            f"{number(known[name])} times {words}"
            for name, words in _SHORT.get(result.bench, {}).items()
            if name in known
        ]
        if parts:
            said.append(f"{_joined(parts)} (`driftline bench {result.bench}`)")
    if not said:
        return ""
    return (
        "One worker on one core, observe and judge together, does, in the median of the rounds, "
        f"{'; '.join(said)}.\n"
    )


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def prose_of(page: str) -> dict[str, str]:
    r"""Find what people wrote, by section.

    >>> prose_of("<!-- why:scale -->\nIt is the broker.\n<!-- end -->")
    {'scale': 'It is the broker.\n'}
    """
    return dict(_PROSE.findall(page))


def _why(name: str, prose: Mapping[str, str]) -> str:
    return f"<!-- why:{name} -->\n{prose.get(name, '')}<!-- end -->\n"


def _section(result: Result, figures: Sequence[str], prose: Mapping[str, str]) -> str:
    """Write one bench: what it asked, how, on what, and what it found."""
    machine = "\n".join(f"  {line}" for line in result.machine)
    parts = [
        f"## {result.bench}\n",
        f"{_paragraphs(result.says)}\n",
        f"```\n{result.command}    # {result.taken}\n{machine}\n```\n",
        *(f"![{name}]({name})\n" for name in figures),
        *(markdown(table) for table in tables_of(result)),
        _why(result.bench, prose),
    ]
    return "\n".join(parts)


def _paragraphs(says: str) -> str:
    """Keep indented lines of a docstring as they are, as code."""
    blocks = says.split("\n\n")
    return "\n\n".join(
        f"```\n{block}\n```" if block.startswith("    ") else block for block in blocks
    )
