"""`osrl-proco report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import UserError


def main(argv: list[str]) -> int:
    """Make tables, plots and page again from raw rows; or write a table into a document."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco report",
        description="Make every table, plot and report.html again from the raw rows in DIR (results.csv of compare, "
        "or folders of runs; a CSV of raw rows by itself will do). With --into, write the table into a document "
        "instead, between <!-- table: NAME --> and <!-- end of table: NAME -->.",
        allow_abbrev=False,
    )
    parser.add_argument("--from", dest="sources", nargs="+", required=True, type=Path, metavar="DIR", help="raw rows")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument("--title", default="osrl-proco compare", help="title of the page")
    parser.add_argument("--into", type=Path, metavar="FILE", help="Markdown document to write the table into")
    parser.add_argument("--name", help="name of the table's markers; NAME:ARM,ARM: these only")
    arguments = parser.parse_args(argv)
    if (arguments.out is None) == (arguments.into is None):
        raise UserError("report: give --out DIR, or --into FILE with --name NAME")
    if (arguments.into is None) != (arguments.name is None):
        raise UserError("report: --into FILE and --name NAME belong together")

    from ..comparison.documents import wanted, write_into
    from ..comparison.report import joined, write_report
    from ..comparison.tables import markdown

    record = joined(arguments.sources)
    if arguments.into is not None:
        if not record.rows:
            raise UserError(f"--from {arguments.sources[0]}: no rows; there is no table to write")
        write_into(arguments.into, arguments.name, markdown(wanted(record.rows, arguments.name)))
        print(f"Written into {arguments.into}: table {arguments.name}")
        return 0
    for line in write_report(record, arguments.out, arguments.title):
        print(line)
    if record.rows:
        print(markdown(record.rows))
    print(f"Written to {arguments.out}")
    return 0
