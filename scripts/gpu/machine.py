"""What is where on the machine that the check runs on: CUDA's libraries and tools, a place for large files."""

import glob
import gzip
import os
import shutil
import site
import sys
from pathlib import Path

CUDA = ["/usr/local/cuda", "/opt/cuda"]


def libraries():
    """Folders of CUDA's libraries, as LD_LIBRARY_PATH: the wheels of this Python before the system's, since a binary that
    was built with the wheels wants theirs."""
    packages = {*site.getsitepackages(), *(p for p in sys.path if p.endswith("-packages"))}
    found = []
    for folder in sorted(packages):
        for pattern in ("nvidia/cu1*/lib", "nvidia/*/lib"):
            found += sorted(glob.glob(f"{folder}/{pattern}"))
    for root in CUDA:
        found += [f"{root}/lib64", *glob.glob(f"{root}/targets/*-linux/lib")]
    found += ["/usr/local/nvidia/lib64"]
    here = [folder for folder in dict.fromkeys(found) if os.path.isdir(folder)]
    return ":".join([*here, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])


def tool(name):
    """The path of one of CUDA's tools, or None."""
    places = [f"{root}/bin/{name}" for root in CUDA] + [f"/opt/nvidia/nsight-compute/*/{name}"]
    found = [path for place in places for path in sorted(glob.glob(place), reverse=True) if os.access(path, os.X_OK)]
    return shutil.which(name) or next(iter(found), None)


def scratch():
    """Memory where there is room for twice the weights, or else the disk."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path("/tmp")


def unpacked(binary, folder):
    """An executable file: `binary` itself, or, of a gzipped one, its content in `folder`."""
    binary = Path(binary).resolve()
    with open(binary, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed and os.access(binary, os.X_OK):
        return binary
    out = Path(folder) / "addendum"
    with (gzip.open if packed else open)(binary, "rb") as source, open(out, "wb") as target:
        shutil.copyfileobj(source, target)
    out.chmod(0o755)
    return out
