"""Compares tables, as DuckDB reads them, with the JSON report of the same capture: duckdb_reads.py [DIRECTORY REPORT.json]..."""

import json
import sys

import duckdb

def rows(directory, table):
    result = duckdb.sql(f"select * from '{directory}/{table}.parquet'")
    names = result.columns
    return [dict(zip(names, row)) for row in result.fetchall()]


def nanos(seconds):
    return None if seconds is None else round(seconds * 1e9)


def same(actual, wanted, what):
    assert actual == wanted, f"{what}: {actual!r} is not {wanted!r}"


def compare(directory, expected):
    # Times of nanoseconds lose digits in Python's datetime: as integers they do not.
    starts = dict(duckdb.sql(f"select (capture, frame), epoch_ns(start) from '{directory}/attempts.parquet'").fetchall())
    texts = dict(
        duckdb.sql(f"select (capture, frame), strftime(start::timestamp_ns, '%Y-%m-%dT%H:%M:%S.%nZ') from '{directory}/attempts.parquet'").fetchall()
    )
    attempts = {(row["capture"], row["frame"]): row for row in rows(directory, "attempts")}
    same(len(attempts), len(expected["attempts"]), "number of attempts")
    for wanted in expected["attempts"]:
        key = (wanted["capture"], wanted["frame"])
        row = attempts[key]
        same(texts[key], wanted["start"], "start")
        for name in ["client", "client_ip", "client_port", "server", "server_ip", "server_port", "verdict", "reason"]:
            same(row[name], wanted[name], name)
        for name in ["syn_missing", "unproven", "established", "vantage", "history", "packets"]:
            same(row[name], wanted[name], name)
        for name, value in wanted["timing"].items():
            same(row[f"timing_{name}_ns"], nanos(value), name)
        for name, value in wanted["retries"].items():
            same(row[f"retries_{name}"], value, name)
        for name in ["retry_at", "syn_retry_at"]:
            same(row[f"{name}_ns"], [nanos(value) for value in wanted[name]], name)
        same(row["connect_window_ns"], nanos(wanted["connect"]["window"]), "window")
        for name in ["outcome", "errno"]:
            same(row[f"connect_{name}"], wanted["connect"][name], name)
        icmp = wanted["icmp"] or {"type": None, "code": None, "from": None}
        for name, value in icmp.items():
            same(row[f"icmp_{name}"], value, name)

    listeners = rows(directory, "listeners")
    same(len(listeners), len(expected["listeners"]), "number of listeners")
    for row, wanted in zip(listeners, expected["listeners"]):
        for name in ["server", "attempts", "unproven", "cause", "confidence", "diagnosis", "display_filter"]:
            same(row[name], wanted[name], name)
        for verdict, number in wanted["verdicts"].items():
            same(row["verdicts_" + verdict.replace("-", "_")], number, verdict)
        for of in ["connect_time", "delay", "stall"]:
            for name, value in (wanted[of] or dict.fromkeys(["p50", "p90", "p99", "max"])).items():
                same(row[f"{of}_{name}_ns"], nanos(value), f"{of} {name}")
        same(row["evidence_code"], [one["code"] for one in wanted["evidence"]], "evidence")
        same(row["advice_text"], [one["text"] for one in wanted["advice"]], "advice")
        for name, value in wanted["clients"].items():
            same(row[f"clients_{name}"], value, name)

    episodes = [(listener["server"], one) for listener in expected["listeners"] for one in listener["episodes"]]
    for row, (server, wanted) in zip(rows(directory, "episodes"), episodes, strict=True):
        same((row["server"], row["cause"], row["attempts"]), (server, wanted["cause"], wanted["attempts"]), "episode")

    types = dict(duckdb.sql(f"select column_name, column_type from (describe select * from '{directory}/attempts.parquet')").fetchall())
    for name, wanted in {"start": "TIMESTAMPTZ_NS", "client_port": "USMALLINT", "established": "BOOLEAN", "evidence_code": "VARCHAR[]"}.items():
        same(types[name], wanted, f"type of {name}")
    encodings = duckdb.sql(
        f"select distinct encodings from parquet_metadata('{directory}/attempts.parquet') where path_in_schema = 'verdict'"
    ).fetchall()
    assert all("DICTIONARY" in one[0] for one in encodings), encodings
    print(f"{len(attempts)} attempts, {len(listeners)} listeners, {len(episodes)} episodes")


for directory, report in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    with open(report) as file:
        compare(directory, json.load(file))
