"""What a study says as LaTeX: a document that compiles, whose tables can be taken out of it one by one.

Names, settings and reasons come from outside and may hold anything; all of it is escaped. Needs the packages booktabs
and graphicx.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.report.text_tables import Part, Table

_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\setlength{\parindent}{0pt}
\setlength{\emergencystretch}{3em}
\begin{document}
"""
_FOOT = "\\end{document}\n"

_SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "−": "$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "’": "'",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "σ": r"$\sigma$",
    "²": r"$^2$",
    "ⁿ": r"$^n$",
}
"""{sign: how LaTeX prints it}."""

_JOINED = re.compile(r"([-,])(?=\1)")
"""Hyphens that would become a dash with the next one, and commas a quotation mark."""

_MINUS = re.compile(r"(?<![\w-])-(?=\d)")


def as_latex(parts: Sequence[Part], *, title: str) -> str:
    """Return tables and text as a document."""
    body = "\n\n".join(table_as_latex(part) if isinstance(part, Table) else text_as_latex(part) for part in parts)
    return f"{_HEAD}\n\\section*{{{escaped(title)}}}\n\n{body}\n\n{_FOOT}"


def text_as_latex(text: str) -> str:
    """Return lines of text, each a paragraph."""
    return "\n\n".join(escaped(line.strip()) for line in text.splitlines() if line.strip())


def table_as_latex(table: Table) -> str:
    """Return a table: no wider than the text, its title above it and its caption below."""
    sides = table.align.ljust(len(table.columns), "l")[: len(table.columns)]
    lines = [
        r"\begin{center}",
        *([rf"{{\small {escaped(table.title)}}}\\[2pt]"] if table.title else []),
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        _row(table.columns, "l" * len(sides)),
        r"\midrule",
        *(_row(row, sides) if row else r"\midrule" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *([rf"\\[2pt]{{\footnotesize {escaped(table.caption)}}}"] if table.caption else []),
        r"\end{center}",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str], sides: str) -> str:
    """Return a row; the {} before it keeps "[" or "*" from being taken for an argument of the line's end before it."""
    filled = [*cells, *[""] * (len(sides) - len(cells))]
    shown = [_MINUS.sub("−", cell) if side == "r" else cell for cell, side in zip(filled, sides, strict=True)]
    return "{}" + " & ".join(escaped(cell.replace("\n", " ")) for cell in shown) + r" \\"


def escaped(text: str) -> str:
    """Return text so that LaTeX prints it as it is; signs that its usual fonts lack by their number."""
    return _JOINED.sub(r"\1{}", "".join(map(_sign, text)))


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign.isascii():
        return sign if sign.isprintable() else " " if sign.isspace() else _by_number(sign)
    return sign if "\u00c0" <= sign <= "\u017e" else _by_number(sign)


def _by_number(sign: str) -> str:
    return f"{{[}}U+{ord(sign):04X}{{]}}"
