"""Tries how the Spark job finds the point of a file: points.py PROGRAM CAPTURE.pcapng INTERFACE"""

import gzip
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../contrib/spark"))
sys.dont_write_bytecode = True
import hsanalyze_spark as job

program, capture, interface = sys.argv[1:]
pattern = r"/(?P<point>web\d+)-"
with tempfile.TemporaryDirectory() as folder:
    directory = os.path.join(folder, "rack 7")
    os.mkdir(directory)
    with open(capture, "rb") as file:
        whole = file.read()
    plain = os.path.join(directory, "web3-1.pcapng")
    with open(plain, "wb") as file:
        file.write(whole)
    with gzip.open(plain + ".gz", "wb") as file:
        file.write(whole)
    subprocess.run(["zstd", "-q", plain], check=True)
    firsts = set()
    for path in [plain, plain + ".gz", plain + ".zst"]:
        described = [job.describe(path, *how, program) for how in [(None, False), (pattern, False), (None, True)]]
        assert [one.error for one in described] == [None] * 3, described
        # The name of a directory, without what such a name may not have.
        assert [one.point for one in described] == ["rack_7", "web3", interface], described
        firsts.update(one.first for one in described)
    assert len(firsts) == 1 and None not in firsts, firsts
    other = os.path.join(directory, "db.pcap")
    with open(other, "wb") as file:
        file.write(b"no capture at all, of this length")
    failed = [job.describe(other, pattern, False, program), job.describe(other, None, False, program)]
    assert "does not match" in failed[0].error and "db.pcap" not in failed[0].point and failed[1].error, failed
    assert job.describe(os.path.join(directory, "gone.pcap"), None, False, program).error
print("points found")
