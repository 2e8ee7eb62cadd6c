#!/usr/bin/env python3
"""Unpacks downloaded Python wheels into one CUDA toolkit: DIR/nvidia/cu13, and FlashInfer's headers in DIR/flashinfer.

usage: tools/cuda_wheels.py WHEELS_FOLDER DIR
Only what a build reads is kept: of cuBLAS the library cuBLASLt, of cuRAND the headers, of FlashInfer the headers it compiles.
"""
import pathlib
import shutil
import sys
import zipfile

TREE = "nvidia/cu13/"
# Distribution: what of it is kept, as (prefix in the wheel, where it goes). Every other one is kept as it is.
KEPT = {
    "nvidia_nvvm": [(TREE + "nvvm/", TREE + "nvvm/")],
    "nvidia_cublas": [(TREE + "include/", TREE + "include/"), (TREE + "lib/libcublasLt.so", TREE + "lib/libcublasLt.so")],
    "nvidia_curand": [(TREE + "include/", TREE + "include/")],
    "nvidia_nccl_cu13": [("nvidia/nccl/include/", TREE + "include/"), ("nvidia/nccl/lib/", TREE + "lib/")],
    "flashinfer_python": [
        ("flashinfer/data/include/", "flashinfer/include/"),
        ("flashinfer/data/cutlass/include/", "flashinfer/cutlass/include/"),
        ("flashinfer/data/cutlass/tools/util/include/", "flashinfer/cutlass/tools/util/include/"),
        ("flashinfer/data/cccl/cub/cub/", "flashinfer/cccl/cub/cub/"),
        ("flashinfer/data/cccl/thrust/thrust/", "flashinfer/cccl/thrust/thrust/"),
        ("flashinfer/data/cccl/libcudacxx/include/", "flashinfer/cccl/libcudacxx/include/"),
    ],
}
EVERYTHING = [("nvidia/", "nvidia/")]


def target_of(distribution, member):
    """Where a file of a wheel goes, relative to the toolkit's folder; None where it is not kept."""
    folder, _, rest = member.partition("/")
    if folder.endswith(".dist-info") and rest.startswith("licenses/"):
        return f"licenses/{distribution}/{rest[len('licenses/'):]}"
    for prefix, where in KEPT.get(distribution, EVERYTHING):
        if member.startswith(prefix):
            return where + member[len(prefix):]
    return None


def unpack(wheel, out):
    distribution = wheel.name.split("-")[0]
    kept = 0
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = target_of(distribution, info.filename)
            if name is None or info.is_dir():
                continue
            target = out / name
            if not target.resolve().is_relative_to(out.resolve()):
                raise ValueError(f"{wheel.name} holds {info.filename!r}, which would leave {out}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            if info.external_attr >> 16 & 0o111:
                target.chmod(0o755)
            kept += not name.startswith("licenses/")
    if kept == 0:
        raise ValueError(f"{wheel.name} holds nothing of what is kept of {distribution}: another layout than expected")


def add_names(tree):
    """What a toolkit has and the wheels lack: lib64, and the names that linkers look for."""
    library = tree / "lib"
    if not library.is_dir():
        return
    if not (tree / "lib64").exists():
        (tree / "lib64").symlink_to("lib")
    for file in sorted(library.glob("lib*.so.*")):
        plain = library / (file.name.split(".so.")[0] + ".so")
        if not plain.exists():
            plain.symlink_to(file.name)


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    wheels, out = sorted(pathlib.Path(sys.argv[1]).glob("*.whl")), pathlib.Path(sys.argv[2])
    try:
        if not wheels:
            raise ValueError(f"no wheel in {sys.argv[1]}")
        for wheel in wheels:
            unpack(wheel, out)
            wheel.unlink()  # a gigabyte less at the peak
        add_names(out / TREE)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"cuda_wheels: {error}")


if __name__ == "__main__":
    main()
