#!/usr/bin/env python3
"""Analyses an archive of rotated captures of many hosts with hsanalyze on Spark, and writes Parquet.

    spark-submit hsanalyze_spark.py --output tables/ 'archive/*/*.pcap.zst'

The files are grouped by the point at which they were captured (the directory, a pattern of the path, or the interface that a
pcapng file names). The series of each point is split between files into parts. A part counts the attempts whose first packet
comes within its time (`hsanalyze --begin --end`), and reads the files of 130 s before and after it, too: retries come up to
127 s after the first packet. So no attempt is cut, and none is counted twice. Each part is one task: hsanalyze runs on the
executor (`pip install hsanalyze` puts it there), and writes tables/point=NAME/part=N/{attempts,listeners,episodes}.parquet.
tables/parts.ndjson has the files of each part.

The executors must see the files, and the output, under the same paths. Files and output may also be in an object store, or
another that pyarrow reads: 's3://bucket/archive/*/*.pcap.zst', gs://, abfs://, hdfs://. An executor copies the files of its
part, one part at a time, into its temporary directory (TMPDIR), which needs room for one.
"""

import argparse
import fnmatch
import glob
import json
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections import defaultdict
from typing import NamedTuple, Optional

# Nanoseconds that a part reads before its begin and after its end: the last retry of a SYN comes 127 s after the first.
MARGIN = 130 * 10**9

# Errors that stores and files may raise, an executor without pyarrow included.
TROUBLE = (OSError, ValueError, ImportError)

# Bytes of a file from which its first packet is known.
HEAD = 256 * 1024


class File(NamedTuple):
    path: str
    bytes: int
    point: str
    # Nanoseconds since 1970 of its first packet; None if it has none.
    first: Optional[int]
    error: Optional[str]


class Part(NamedTuple):
    point: str
    number: int
    # Bounds of the time that counts; None at the ends of a series.
    begin: Optional[int]
    end: Optional[int]
    files: list
    bytes: int


class Done(NamedTuple):
    part: Part
    status: int
    errors: str
    # Seconds of processor time, and the executor that spent them.
    took: float
    executor: str


def program():
    """hsanalyze in the path, or beside the interpreter, where pip installs it."""
    beside = os.path.join(os.path.dirname(sys.executable), "hsanalyze")
    return shutil.which("hsanalyze") or (beside if os.path.exists(beside) else "hsanalyze")


def nanos(text):
    """Nanoseconds of an RFC 3339 time in UTC with nine digits, as hsanalyze prints it."""
    from datetime import datetime, timezone

    whole, fraction = text.rstrip("Z").split(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 10**9 + int(fraction)


def seconds(time):
    """The value of --begin and --end, exactly."""
    return f"{time // 10**9}.{time % 10**9:09}"


def is_remote(path):
    return "://" in path


def beneath(place, *names):
    """What is in a directory, or in a URL, whose query stays at the end."""
    address, mark, query = place.partition("?") if is_remote(place) else (place, "", "")
    return "/".join([address.rstrip("/"), *names]) + mark + query


def store_of(url):
    """The store that a URL names, and the path in it. A query belongs to the store: s3://bucket/path?region=eu-west-1."""
    from pyarrow import fs

    return fs.FileSystem.from_uri(url)


def listed(pattern):
    """The files of a store whose URLs match a pattern: `*` and `[...]` stand for parts of one name, as in the shell."""
    from pyarrow import fs

    address, mark, query = pattern.partition("?")
    fixed, names = re.match(r"([^*[]*/)(.*)", address).groups()
    if not re.search(r"[*[]", names):
        return [pattern]
    store, base = store_of(fixed + mark + query)
    base, names = base.rstrip("/"), names.split("/")
    found = []
    for info in store.get_file_info(fs.FileSelector(base, recursive=True)):
        inside = info.path[len(base) + 1 :]
        parts = inside.split("/")
        if info.is_file and len(parts) == len(names) and all(map(fnmatch.fnmatchcase, parts, names)):
            found.append(fixed + inside + mark + query)
    return sorted(found)


def has_tables(output):
    """True if a place has the tables of an earlier run."""
    if not is_remote(output):
        return bool(glob.glob(os.path.join(output, "point=*")))
    from pyarrow import fs

    store, inside = store_of(output)
    return any(info.base_name.startswith("point=") for info in store.get_file_info(fs.FileSelector(inside, allow_not_found=True)))


def fetched(path, folder):
    """The local name of a file; what is not local is copied into the folder."""
    if not is_remote(path):
        return path
    store, inside = store_of(path)
    file = os.path.join(folder, f"{len(os.listdir(folder))}-{os.path.basename(inside)}")
    with store.open_input_stream(inside, compression=None) as source, open(file, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return file


def stored(folder, url):
    """Copies the files of a folder to a URL."""
    store, inside = store_of(url)
    store.create_dir(inside)
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as source, store.open_output_stream(f"{inside}/{name}") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def list_parts(parts, output):
    """Writes which files each part has read: the number that an attempt has as `capture` counts them from 0."""
    lines = [
        json.dumps({"point": one.point, "part": f"{one.number:05}", "begin_ns": one.begin, "end_ns": one.end, "files": one.files})
        for one in sorted(parts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        target = folder if is_remote(output) else output
        os.makedirs(target, exist_ok=True)
        with open(os.path.join(target, "parts.ndjson"), "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        if is_remote(output):
            stored(folder, output)


def beginning(path):
    """The size of a file, and its first bytes."""
    if is_remote(path):
        store, inside = store_of(path)
        with store.open_input_file(inside) as file:
            return file.size(), file.read(HEAD)
    with open(path, "rb") as file:
        return os.path.getsize(path), file.read(HEAD)


def uncompressed(head):
    """The beginning of a file that may be compressed by gzip or zstd."""
    if head[:2] == b"\x1f\x8b":
        import zlib

        return zlib.decompressobj(31).decompress(head)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        # Python has zstd since 3.14.
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.BufferReader(head), "zstd").read(16 * 1024)
    return head


def point_of_pcapng(head):
    """The interface that the first block of a pcapng file describes: its name, else its description."""
    head = uncompressed(head)
    if head[:4] != b"\x0a\x0d\x0d\x0a":
        return None
    order = "<" if head[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
    at, names = 0, {}
    while at + 12 <= len(head):
        kind, length = struct.unpack_from(order + "II", head, at)
        if length < 12 or at + length > len(head):
            break
        if kind == 1:
            option = at + 16
            while option + 4 <= at + length - 4:
                code, size = struct.unpack_from(order + "HH", head, option)
                if code == 0:
                    break
                names.setdefault(code, head[option + 4 : option + 4 + size].decode(errors="replace"))
                option += 4 + (size + 3) // 4 * 4
            return names.get(2) or names.get(3)
        at += length
    return None


def describe(path, pattern, by_interface, command):
    """The point and the first packet of a file."""
    try:
        size, head = beginning(path)
    except TROUBLE as error:
        return File(path, 0, "", None, str(error))
    match = re.search(pattern, path) if pattern else None
    if pattern and not match:
        return File(path, size, "", None, f"the path does not match {pattern}")
    point = match.group("point") if match else None
    if point is None and by_interface:
        try:
            point = point_of_pcapng(head)
        except ImportError as error:
            return File(path, size, "", None, f"cannot read the interface that it names: {error}")
    directory = os.path.dirname(path.partition("?")[0] if is_remote(path) else os.path.abspath(path))
    point = point or os.path.basename(directory) or "all"
    # The name of a directory.
    point = re.sub(r"[^\w.:-]", "_", point)
    # The beginning alone, in whatever format; that it is cut is no error.
    ran = subprocess.run([command, "--format", "ndjson", "-"], input=head, capture_output=True)
    lines = ran.stdout.decode(errors="replace").splitlines()
    summary = json.loads(lines[-1]) if lines else {}
    first = next((one["first"] for one in summary.get("captures", []) if one["first"]), None)
    if first is None and size > 0 and not summary:
        return File(path, size, point, None, ran.stderr.decode(errors="replace").strip())
    return File(path, size, point, nanos(first) if first else None, None)


def split(files, part_bytes):
    """The parts of all series."""
    series = defaultdict(list)
    for file in files:
        if file.first is not None:
            series[file.point].append(file)
    for point, members in sorted(series.items()):
        members.sort(key=lambda file: (file.first, file.path))
        # Places in the series at which a part begins. Files that begin at the same moment stay together.
        borders, size = [0], 0
        for place, file in enumerate(members):
            if size >= part_bytes and file.first > members[place - 1].first:
                borders.append(place)
                size = 0
            size += file.bytes
        for number, place in enumerate(borders):
            begin = members[place].first if number > 0 else None
            after = borders[number + 1] if number + 1 < len(borders) else None
            end = members[after].first if after is not None else None
            yield part(point, number, begin, end, members)


def part(point, number, begin, end, members):
    """A part with all files that may have packets of its time, or of the margins. A file of a series ends where the next one
    begins; what comes a moment out of order is within the margin."""
    read = []
    for place, file in enumerate(members):
        following = [other.first for other in members[place + 1 :] if other.first > file.first]
        ends = following[0] if following else None
        too_early = begin is not None and ends is not None and ends < begin - MARGIN
        too_late = end is not None and file.first > end + MARGIN
        if not too_early and not too_late:
            read.append(file)
    return Part(point, number, begin, end, [file.path for file in read], sum(file.bytes for file in read))


def analyse(part, output, command, options):
    """Analyses a part; on an executor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        status, errors = run(part, output, command, options)
    except TROUBLE as error:
        status, errors = 2, str(error)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The parent of an executor's Python processes is its own.
    return Done(part, status, errors, took, f"{socket.gethostname()} {os.getppid()}")


def run(part, output, command, options):
    """Runs hsanalyze on a part. Returns its exit status and what it said."""
    target = [f"point={part.point}", f"part={part.number:05}"]
    with tempfile.TemporaryDirectory() as folder:
        tables = os.path.join(folder, "tables") if is_remote(output) else beneath(output, *target)
        captures = os.path.join(folder, "captures")
        os.mkdir(captures)
        words = [command, "--quiet", "--format", "parquet", "--threads", "1", "-o", tables, *options]
        if part.begin is not None:
            words += ["--begin", seconds(part.begin)]
        if part.end is not None:
            words += ["--end", seconds(part.end)]
        files = [fetched(path, captures) for path in part.files]
        ran = subprocess.run([*words, "--", *files], capture_output=True, text=True, errors="replace")
        if is_remote(output) and os.path.isdir(tables):
            stored(tables, beneath(output, *target))
    return ran.returncode, ran.stderr.strip()


def of_spark(place):
    """A place by the name that Spark's own connectors know it by."""
    return re.sub("^s3://", "s3a://", place.partition("?")[0]) if is_remote(place) else place


def attempts(spark, output, schema="attempts"):
    """The tables of all parts as a data frame. Spark has no type for nanoseconds: they are read as integers, and made times to
    the microsecond."""
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    output = of_spark(output)
    frame = spark.read.option("basePath", output).parquet(f"{output}/point=*/part=*/{schema}.parquet")
    times = {"attempts": ["start"], "listeners": ["since", "until"], "episodes": ["from", "until"]}[schema]
    for name in times:
        frame = frame.withColumn(f"{name}_ns", frame[name]).selectExpr(
            "*", f"timestamp_micros(`{name}` div 1000) as `{name}_at`"
        ).drop(name).withColumnRenamed(f"{name}_at", name)
    return frame


def questions(path):
    """The statements of a file of SQL, each with the comment before it as its title."""
    with open(path) as file:
        for statement in file.read().split(";"):
            lines = [line for line in statement.strip().splitlines() if line.strip()]
            if lines:
                title = " ".join(line[2:].strip() for line in lines if line.startswith("--"))
                yield title, "\n".join(line for line in lines if not line.startswith("--"))


def ask(spark, output, path):
    """Runs a file of SQL on the tables."""
    for table in ["attempts", "listeners", "episodes"]:
        attempts(spark, output, table).createOrReplaceTempView(table)
    for title, query in questions(path):
        print(f"\n{title}")
        spark.sql(query).show(20, truncate=False)


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="files, or patterns of names such as 'archive/*/*.pcap', also as URLs of a store")
    parser.add_argument("--output", required=True, help="the directory of the tables, or its URL")
    parser.add_argument("--point-pattern", help="a regular expression of the path whose group 'point' names the point; "
                        "by default that is the directory of the file")
    parser.add_argument("--point-by-interface", action="store_true", help="take the interface that a pcapng file names")
    parser.add_argument("--part-megabytes", type=float, default=256, help="size of the files of a part")
    parser.add_argument("--program", default=None, help="hsanalyze on the executors")
    parser.add_argument("--option", action="append", default=[], help="an option for hsanalyze, such as --option=-f --option='port 443'")
    parser.add_argument("--questions", help="a file of SQL that is run on the tables; in a store, with Spark's connector for it")
    return parser.parse_args(words)


def names(given):
    found = []
    for pattern in given.inputs:
        found += listed(pattern) if is_remote(pattern) else sorted(glob.glob(pattern)) or [pattern]
    return sorted(set(found))


def main(words=None, spark=None):
    given = arguments(words)
    try:
        paths, taken = names(given), has_tables(given.output)
    except ModuleNotFoundError:
        sys.exit("hsanalyze_spark: for an object store the driver and the executors need pyarrow: pip install pyarrow")
    except (OSError, ValueError) as error:
        sys.exit(f"hsanalyze_spark: {error}")
    if not paths:
        sys.exit("hsanalyze_spark: there are no files")
    if taken:
        # Parts of two runs together would count attempts twice.
        sys.exit(f"hsanalyze_spark: {given.output} has tables already: name another directory")
    # After the arguments: those can be wrong, or ask for help, where there is no Spark.
    from pyspark.sql import SparkSession

    spark = spark or SparkSession.builder.appName("hsanalyze").getOrCreate()
    context = spark.sparkContext
    output, command = given.output, given.program
    pattern, by_interface, options = given.point_pattern, given.point_by_interface, given.option
    described = context.parallelize(paths, len(paths)).map(
        lambda path: describe(path, pattern, by_interface, command or program())
    ).collect()
    failed = [file for file in described if file.error]
    for file in failed:
        print(f"{file.path}: {file.error}", file=sys.stderr)
    # The largest first, so that no executor is left with a large one at the end.
    parts = sorted(split(described, given.part_megabytes * 1e6), key=lambda one: -one.bytes)
    done = context.parallelize(parts, max(1, len(parts))).map(
        lambda one: analyse(one, output, command or program(), options)
    ).collect()
    for one in done:
        if one.status != 0:
            print(f"point={one.part.point}/part={one.part.number}: status {one.status}: {one.errors}", file=sys.stderr)
    if parts:
        list_parts(parts, output)
    read = sum(one.part.bytes for one in done)
    whole = sum(file.bytes for file in described)
    print(f"{len(paths)} files, {len({one.point for one in parts})} points, {len(parts)} parts; "
          f"{read / max(whole, 1):.2f} times the archive was read")
    shares = defaultdict(float)
    for one in done:
        shares[one.executor] += one.took
    # Gain of more executors: they share the work as evenly as the busiest of them says.
    print(f"{sum(shares.values()):.1f} s of processor time in hsanalyze, on {len(shares)} executors, {max(shares.values(), default=0):.1f} s on the busiest")
    if given.questions:
        ask(spark, output, given.questions)
    return 1 if failed or any(one.status != 0 for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
