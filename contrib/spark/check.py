#!/usr/bin/env python3
"""Checks hsanalyze_spark.py on a generated archive: its totals are those of one run over all files, to the attempt.

    check.py --program hsanalyze --generate generate [--points 10 --files 20 --packets 100000 --executors 1,2]

The archive has POINTS hosts with FILES rotated files each, of PACKETS packets. Spark runs in local-cluster mode: executors are
processes of their own. Prints times for each number of executors. editcap (Wireshark) cuts the files.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hsanalyze_spark

MIX = "completed=60,completed-late=5,synack-retransmitted=10,reset-after-ack=10,refused=10,unanswered=5"


def archive(folder, given):
    """Makes the files. Those of a host are a series that was rotated by the number of packets."""
    for host in range(1, given.points + 1):
        whole = os.path.join(folder, "whole.pcap")
        packets = given.files * given.packets
        subprocess.run(
            [given.generate, "--packets", str(packets), "--attempts", str(packets // 20), "--mix", MIX, "--pace", str(given.pace),
             "--host", str(host), "--seed", str(host), "-o", whole],
            check=True, stdout=subprocess.DEVNULL,
        )
        directory = os.path.join(folder, "archive", f"host{host}")
        os.makedirs(directory)
        subprocess.run(["editcap", "-F", "nsecpcap", "-c", str(given.packets), whole, os.path.join(directory, "ring.pcap")], check=True)
        os.remove(whole)


def single_run(files, program):
    ran = subprocess.run([program, "--quiet", "--format", "json", "--verdict", "undetermined", *files], capture_output=True)
    report = json.loads(ran.stdout)
    # A listener of each host, with its verdicts.
    rows = {}
    for listener in report["listeners"]:
        rows[listener["server"]] = {name: number for name, number in listener["verdicts"].items() if number}
    return report["verdicts"], rows


def totals(spark, output):
    frame = hsanalyze_spark.attempts(spark, output)
    verdicts, rows = {}, {}
    for row in frame.groupBy("server", "verdict").count().collect():
        verdicts[row["verdict"]] = verdicts.get(row["verdict"], 0) + row["count"]
        rows.setdefault(row["server"], {})[row["verdict"]] = row["count"]
    return verdicts, rows


def main():
    from pyspark.sql import SparkSession

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--generate", required=True)
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--pace", type=int, default=500, help="packets a second of a host")
    parser.add_argument("--parts", type=int, default=4, help="parts of each series, about")
    parser.add_argument("--executors", default="1,2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hsanalyze-archive-") as folder:
        archive(folder, given)
        files = sorted(glob.glob(os.path.join(folder, "archive", "*", "*.pcap")))
        size = sum(map(os.path.getsize, files))
        print(f"{len(files)} files, {given.points * given.files * given.packets} packets, {size / 1e6:.0f} MB")
        begun = time.monotonic()
        verdicts, rows = single_run(files, given.program)
        print(f"one run over all files: {time.monotonic() - begun:.1f} s, {sum(verdicts.values())} attempts")
        for executors in map(int, given.executors.split(",")):
            spark = (
                SparkSession.builder.master(f"local-cluster[{executors},1,1024]")
                .appName("hsanalyze check").config("spark.ui.enabled", "false")
                .config("spark.sql.shuffle.partitions", "4")
                .config("spark.executorEnv.PYTHONPATH", os.path.dirname(os.path.abspath(__file__)))
                .config("spark.executor.memory", "512m").getOrCreate()
            )
            spark.sparkContext.setLogLevel("ERROR")
            # The executors are there before the clock runs.
            spark.sparkContext.parallelize(range(executors), executors).map(lambda one: one).collect()
            output = os.path.join(folder, f"tables-{executors}")
            begun = time.monotonic()
            words = ["--output", output, "--program", os.path.abspath(given.program)]
            words += ["--part-megabytes", str(size / 1e6 / given.points / given.parts)]
            status = hsanalyze_spark.main([*words, os.path.join(folder, "archive", "*", "*.pcap")], spark)
            took = time.monotonic() - begun
            assert status == 0, "parts failed"
            of_spark, rows_of_spark = totals(spark, output)
            if executors == int(given.executors.split(",")[-1]):
                here = os.path.dirname(os.path.abspath(__file__))
                hsanalyze_spark.ask(spark, output, os.path.join(here, "questions.sql"))
            spark.stop()
            print(f"Spark with {executors} executors: {took:.1f} s")
            wanted = {name: number for name, number in verdicts.items() if number}
            assert of_spark == wanted, f"{of_spark} is not {wanted}"
            assert rows_of_spark == rows, "listeners differ"
        print(f"the same totals: {wanted}")


if __name__ == "__main__":
    main()
