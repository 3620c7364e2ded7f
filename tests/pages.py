"""What stands in the fenced blocks of README.md and the pages of docs/, and where it comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.house import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

BLOCK = re.compile(r"^```(?P<info>[^`\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page that says where it comes from, or does not."""

    page: Path
    language: str
    source: str
    """The file it shows, perhaps with a part of it: `guide.py#ask`."""
    name: str
    """What the reader is to call that file: `python docs/examples/at_first.py as guide.py`."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.source}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found: list[Block] = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, _, rest = block["info"].strip().partition(" ")
        source, _, name = rest.strip().partition(" as ")
        found.append(Block(page, language, source, name, block["text"]))
    return found


def shown(language: str) -> list[Block]:
    """Return every block in a language, of all pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language == language]


def part_of(source: str) -> str:
    """Return the text of a file, or of its part: `guide.py#ask` is between `begin ask`, `end ask`.

    A part is shown without the indentation of its marks.
    """
    name, _, part = source.partition("#")
    text = (ROOT / name).read_text(encoding="utf-8")
    if not part:
        return text
    found = re.search(
        rf"^(?P<indent> *)# begin {part}\n(?P<text>.*?)^ *# end {part}$",
        text,
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"{name} has no part {part!r}"
    lines = (line.removeprefix(found["indent"]) for line in found["text"].splitlines())
    return "\n".join(lines).strip("\n") + "\n"


def is_shown_as(shown: str, printed: str) -> bool:
    """Say whether a page shows what was printed.

    `…` stands for what differs each time; on a line of its own, for lines that are left out.
    """
    lines = re.escape(shown).replace("\n…\\\n", "\n(?s:.*\n)?")
    return re.fullmatch(lines.replace("…", ".*"), printed) is not None
