"""Runs the queries for DuckDB of a page on the tables in a directory: recipes.py PAGE DIRECTORY"""

import os
import sys

import duckdb

page, directory = sys.argv[1:]
with open(page) as file:
    section = file.read().split("## DuckDB")[1].split("\n## ")[0]
os.chdir(directory)
blocks, block = [], []
for line in section.splitlines() + [""]:
    if line.startswith("    "):
        block.append(line)
    elif block:
        blocks.append("\n".join(block))
        block = []
queries = [block for block in blocks if block.strip().startswith("select")]
for query in queries:
    rows = duckdb.sql(query).fetchall()
    assert rows, f"no rows: {query}"
print(f"{len(queries)} recipes")
