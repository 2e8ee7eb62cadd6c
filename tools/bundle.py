#!/usr/bin/env python3
"""Makes a folder that runs anywhere: built programs, the shared libraries they load beside glibc's and NVIDIA's, Open MPI's plug-ins.

usage: tools/bundle.py [--build DIR] [--gpu] [--gpu-tests] [--archive FILE] [--limit MIB] OUT  (scripts/bundle says what it is for)
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import gpu_stages

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["bin/drover", "bin/drover-coordinator", "bin/drover-worker"]
GPU_WORKER = "bin/drover-worker-cuda"
# Every Linux machine has these, and a newer glibc runs what an older one was linked with.
GLIBC = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|nsl)\.so\..*|linux-vdso.*)$")
CXX = re.compile(r"^lib(stdc\+\+|gcc_s)\.so\.")  # the system's are taken where they are new enough
NVIDIA = re.compile(r"^lib(cuda|cudart|cublas|cublasLt|nccl|nvrtc|nvJitLink|curand|nvidia-ml)\.so\b")
# Plug-ins for networks, resource managers and interfaces that a group on one host does not use; they need many libraries.
PLUGINS_LEFT_OUT = re.compile(r"ucx|ofi|openib|psm|scoll|spml|sshmem|memheap|atomic|flux|jsm|slurm|gridengine|monitoring|vprotocol|dbg_msgq|"
                              r"_(io|fs|fbtl|fcoll|sharedfp|osc|crs)_")


def fail(message):
    sys.exit(f"bundle: {message}")


def output(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if result.returncode != 0:
        fail(f"{' '.join(map(str, command))}: {result.stderr.strip() or f'status {result.returncode}'}")
    return result.stdout


def needed(path):
    """{library: where the loader finds it here, None where nowhere} of a program or a library, and of all that they need."""
    found = {}
    for line in output("ldd", path).splitlines():
        parts = line.split()
        if "=>" in parts:
            found[parts[0]] = None if "not found" in line else parts[2]
    return found


def commit_of_sources():
    try:
        asked = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return "unknown"
    return asked.stdout.strip() or "unknown"


class Bundle:
    """The folder while it is made: each library once, by the name under which it is looked for."""

    def __init__(self, out):
        self.out, self.libraries, self.nvidia, self.sources = out, {}, set(), []
        for folder in ("bin", "libexec", "lib/cxx", "lib/nvidia", "lib/openmpi", "lib/pmix", "etc", "licenses", "share"):
            (out / folder).mkdir(parents=True)

    def add_file(self, source, target):
        subprocess.run(["strip", "--strip-unneeded", "-o", self.out / target, source], check=True)
        (self.out / target).chmod(0o755)
        self.sources.append(pathlib.Path(source).resolve())
        for name, where in needed(source).items():
            if NVIDIA.match(name):
                self.nvidia.add(name)
            elif where is None:
                fail(f"{source} needs {name}, which is not on this machine")
            elif not GLIBC.match(name) and name not in self.libraries:
                self.libraries[name] = where

    def add_program(self, source, name):
        self.add_file(source, f"libexec/{name}")
        launcher = self.out / "bin" / name
        launcher.write_text((ROOT / "deploy" / "bundle" / "launcher").read_text().replace("NAME", name))
        launcher.chmod(0o755)

    def add_libraries(self):
        for name, where in sorted(self.libraries.items()):
            self.add_file(where, f"lib/cxx/{name}" if CXX.match(name) else f"lib/{name}")


def add_mpi(bundle):
    """mpirun, its plug-ins, which are loaded by name, and the texts of its messages."""
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        fail("mpirun is not on the path: run scripts/install-deps")
    bundle.add_file(pathlib.Path(mpirun).resolve(), "libexec/mpirun")
    paths = {}
    for kind in ("pkglibdir", "pkgdatadir", "sysconfdir"):
        paths[kind] = pathlib.Path(output("ompi_info", "--path", kind, "--parsable").strip().split(":")[-1])
    for plugin in sorted(paths["pkglibdir"].rglob("mca_*.so")):
        if not PLUGINS_LEFT_OUT.search(plugin.name):
            bundle.add_file(plugin, f"lib/openmpi/{plugin.name}")
    shutil.copytree(paths["pkgdatadir"], bundle.out / "share" / "openmpi", ignore=shutil.ignore_patterns("*.supp", "*-wrapper-data*"))
    settings = paths["sysconfdir"] / "openmpi-mca-params.conf"
    if settings.exists():
        shutil.copy(settings, bundle.out / "etc" / "openmpi-mca-params.conf")
    pmix = bundle.libraries.get("libpmix.so.2")
    if pmix is not None:  # Debian's is a package of its own, beside its plug-ins
        home = pathlib.Path(pmix).resolve().parent
        for plugin in sorted((home / "pmix").glob("pmix_mca_*.so")):
            if not PLUGINS_LEFT_OUT.search(plugin.name):
                bundle.add_file(plugin, f"lib/pmix/{plugin.name}")
        if (home.parent / "share" / "pmix").is_dir():
            shutil.copytree(home.parent / "share" / "pmix", bundle.out / "share" / "pmix", ignore=shutil.ignore_patterns("*.supp", "*-wrapper-data*"))


def add_licenses(bundle):
    """The notices of the packages whose files were copied."""
    shutil.copy(ROOT / "LICENSE", bundle.out / "licenses" / "drover")
    if shutil.which("dpkg") is None:
        print("bundle: no dpkg here, so the notices of the copied libraries are not in licenses/", file=sys.stderr)
        return
    asked = [str(path) for path in bundle.sources]
    asked += [path.removeprefix("/usr") for path in asked]  # dpkg knows a file by either name
    found = subprocess.run(["dpkg", "-S", *asked], capture_output=True, text=True, check=False).stdout
    for package in sorted({line.split(":")[0] for line in found.splitlines()}):
        notice = pathlib.Path("/usr/share/doc") / package / "copyright"
        if notice.exists():
            shutil.copy(notice, bundle.out / "licenses" / package)


def newest_glibc(out):
    """The oldest glibc with all that the files ask for, e.g. 2.36."""
    newest = (0, 0)
    files = [path for path in out.rglob("*") if path.is_file() and path.open("rb").read(4) == b"\x7fELF"]
    asked = output("objdump", "-p", *files).replace("GLIBC_ABI_DT_RELR", "GLIBC_2.36")  # packed relocations
    for version in re.findall(r"\bGLIBC_(\d+)\.(\d+)", asked):
        newest = max(newest, (int(version[0]), int(version[1])))
    return f"{newest[0]}.{newest[1]}"


def wanted(arguments):
    """Paths of the programs to take, and of those that this build does not have."""
    names = PROGRAMS + [GPU_WORKER] * arguments.gpu + [name for name in gpu_stages.PROGRAMS if name != GPU_WORKER] * arguments.gpu_tests
    there = [name for name in names if (arguments.build / name).is_file()]
    missing = [name for name in names if name not in there]
    for name in missing:
        if name in PROGRAMS:
            fail(f"{arguments.build / name} is not there: run scripts/build first")
    return there, missing


def make(arguments):
    programs, missing = wanted(arguments)
    bundle = Bundle(arguments.out)
    for name in programs:
        bundle.add_program(arguments.build / name, pathlib.Path(name).name)
    add_mpi(bundle)
    bundle.add_libraries()
    add_licenses(bundle)
    for name in ("env.sh", "check"):
        shutil.copy(ROOT / "deploy" / "bundle" / name, bundle.out / name)
    size = sum(path.stat().st_size for path in bundle.out.rglob("*") if path.is_file())
    manifest = {"commit": commit_of_sources(), "programs": [pathlib.Path(name).name for name in programs],
                "not_built": [pathlib.Path(name).name for name in missing], "glibc": newest_glibc(bundle.out),
                "left_to_nvidia": sorted(bundle.nvidia), "bytes": size}
    (bundle.out / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def write_archive(out, archive):
    """The bytes of OUT as one file. The programs share much of what they hold; this finds it, however far apart."""
    with tarfile.open(archive, "w:xz", preset=9) as file:
        file.add(out, "bundle")
    return archive.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="where the programs were built")
    parser.add_argument("--gpu", action="store_true", help="also the CUDA worker")
    parser.add_argument("--gpu-tests", action="store_true", help="also the GPU's tests and benchmarks; implies --gpu")
    parser.add_argument("--archive", type=pathlib.Path, help="also write OUT as a .tar.xz, for the way there")
    parser.add_argument("--limit", type=float, help="fail when what travels, the archive or else OUT, is larger; default 60 MiB, 100 for OUT with --gpu-tests")
    parser.add_argument("out", type=pathlib.Path, help="the folder to make; one that this program made is replaced")
    arguments = parser.parse_args()
    arguments.gpu |= arguments.gpu_tests
    if arguments.out.exists() and any(arguments.out.iterdir()):
        if not (arguments.out / "MANIFEST.json").exists():
            fail(f"{arguments.out} is neither empty nor a bundle: name another folder")
        shutil.rmtree(arguments.out)
    manifest = make(arguments)
    print(f"bundle: {manifest['bytes'] / 2**20:.1f} MiB in {arguments.out}: {', '.join(manifest['programs'])}; needs glibc {manifest['glibc']} or later")
    if manifest["not_built"]:
        print(f"bundle: not built, so not in it: {', '.join(manifest['not_built'])}")
    if manifest["left_to_nvidia"]:
        print(f"bundle: left to the GPU machine: {', '.join(manifest['left_to_nvidia'])}")
    travels = manifest["bytes"]
    if arguments.archive:
        travels = write_archive(arguments.out, arguments.archive)
        print(f"bundle: {travels / 2**20:.1f} MiB as {arguments.archive}")
    limit = arguments.limit or (100 if arguments.gpu_tests and not arguments.archive else 60)
    if travels > limit * 2**20:
        fail(f"larger than {limit:g} MiB")


if __name__ == "__main__":
    main()
