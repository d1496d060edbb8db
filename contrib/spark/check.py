#!/usr/bin/env python3
"""Checks hsanalyze_spark.py on a generated archive: its totals are those of one run over all files, to the attempt.

    check.py --program hsanalyze --generate generate [--points 10 --files 20 --packets 100000 --executors 1,2]

The archive has POINTS hosts with FILES rotated files each, of PACKETS packets. Spark runs in local-cluster mode: executors are
processes of their own. Prints times for each number of executors. editcap (Wireshark) cuts the files. With --object-store the
archive is read from a store that speaks S3 on the loopback interface (moto), and the tables are written there, too.
"""

import argparse
import contextlib
import glob
import json
import os
import socket
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
    return totals_of(tuple(row) for row in frame.groupBy("server", "verdict").count().collect())


def totals_of(counts):
    """Numbers by verdict, and by server and verdict."""
    verdicts, rows = {}, {}
    for server, verdict, number in counts:
        verdicts[verdict] = verdicts.get(verdict, 0) + number
        rows.setdefault(server, {})[verdict] = number
    return verdicts, rows


@contextlib.contextmanager
def object_store():
    """A store that speaks S3, as the query of its URLs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert time.monotonic() < deadline and server.poll() is None, "the store does not start"
            time.sleep(0.1)
        yield f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    finally:
        server.kill()
        server.wait()


def from_the_store(spark, query, folder, words):
    """Puts the archive into a store, analyses it there, and reads the tables there, without Spark."""
    from pyarrow import dataset

    for directory in glob.glob(os.path.join(folder, "archive", "*")):
        hsanalyze_spark.stored(directory, f"s3://captures/archive/{os.path.basename(directory)}{query}")
    output = f"s3://tables/all{query}"
    begun = time.monotonic()
    assert hsanalyze_spark.main(["--output", output, *words, f"s3://captures/archive/*/*.pcap{query}"], spark) == 0, "parts failed"
    print(f"Spark, from and to an object store: {time.monotonic() - begun:.1f} s")
    try:
        hsanalyze_spark.main(["--output", output, f"s3://captures/archive/*/*.pcap{query}"], spark)
        raise AssertionError("tables of two runs are mixed")
    except SystemExit as refused:
        assert "has tables already" in str(refused), refused
    store, inside = hsanalyze_spark.store_of(output)
    from pyarrow import fs

    files = [info.path for info in store.get_file_info(fs.FileSelector(inside, recursive=True))]
    attempts = dataset.dataset([file for file in files if file.endswith("/attempts.parquet")], filesystem=store)
    counts = attempts.to_table(["server", "verdict"]).group_by(["server", "verdict"]).aggregate([([], "count_all")])
    return totals_of((row["server"], row["verdict"], row["count_all"]) for row in counts.to_pylist())


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
    parser.add_argument("--object-store", action="store_true", help="also from a store, and to it; needs pyarrow and moto")
    given = parser.parse_args()
    # For the executors, before Spark starts. The keys are of the store here, which takes all.
    os.environ.update(PYSPARK_PYTHON=sys.executable)
    os.environ.update(AWS_ACCESS_KEY_ID="check", AWS_SECRET_ACCESS_KEY="check", AWS_EC2_METADATA_DISABLED="true")
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
                .appName("hsanalyze check").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
                .config("spark.sql.shuffle.partitions", "4")
                .config("spark.executorEnv.PYTHONPATH", os.path.dirname(os.path.abspath(__file__)))
                .config("spark.executor.memory", "512m").getOrCreate()
            )
            spark.sparkContext.setLogLevel("ERROR")
            # The executors are there before the clock runs.
            spark.sparkContext.parallelize(range(executors), executors).map(lambda one: one).collect()
            output = os.path.join(folder, f"tables-{executors}")
            begun = time.monotonic()
            words = ["--program", os.path.abspath(given.program)]
            words += ["--part-megabytes", str(size / 1e6 / given.points / given.parts)]
            status = hsanalyze_spark.main(["--output", output, *words, os.path.join(folder, "archive", "*", "*.pcap")], spark)
            took = time.monotonic() - begun
            assert status == 0, "parts failed"
            found = [totals(spark, output)]
            with open(os.path.join(output, "parts.ndjson")) as listing:
                listed = [json.loads(line) for line in listing]
            assert {file for one in listed for file in one["files"]} == set(files), listed
            if executors == int(given.executors.split(",")[-1]):
                here = os.path.dirname(os.path.abspath(__file__))
                hsanalyze_spark.ask(spark, output, os.path.join(here, "questions.sql"))
                if given.object_store:
                    with object_store() as query:
                        found.append(from_the_store(spark, query, folder, words))
            spark.stop()
            print(f"Spark with {executors} executors: {took:.1f} s")
            wanted = {name: number for name, number in verdicts.items() if number}
            for of_spark, rows_of_spark in found:
                assert of_spark == wanted, f"{of_spark} is not {wanted}"
                assert rows_of_spark == rows, "listeners differ"
        print(f"the same totals: {wanted}")


if __name__ == "__main__":
    main()
