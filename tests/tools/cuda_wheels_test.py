#!/usr/bin/env python3
"""Unpacks made-up wheels: what is kept, where it goes, what is refused."""
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "cuda_wheels.py"
CUBLAS = "nvidia_cublas-1.0-py3-none-any.whl"


class CudaWheels(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.wheels, self.out = pathlib.Path(self.folder.name) / "wheels", pathlib.Path(self.folder.name) / "cuda"
        self.wheels.mkdir()

    def wheel(self, name, files):
        with zipfile.ZipFile(self.wheels / name, "w") as archive:
            for path, mode in files.items():
                info = zipfile.ZipInfo(path)
                info.external_attr = mode << 16
                archive.writestr(info, path)

    def unpack(self):
        return subprocess.run([sys.executable, PROGRAM, self.wheels, self.out], capture_output=True, text=True, check=False)

    def test_a_toolkit_is_made_of_what_a_build_reads(self):
        self.wheel("nvidia_cuda_nvcc-1.0-py3-none-any.whl", {"nvidia/cu13/bin/nvcc": 0o755, "nvidia_cuda_nvcc-1.0.dist-info/RECORD": 0o644})
        self.wheel(CUBLAS, {"nvidia/cu13/lib/libcublasLt.so.13": 0o644, "nvidia/cu13/lib/libcublas.so.13": 0o644,
                            "nvidia_cublas-1.0.dist-info/licenses/License.txt": 0o644})
        self.wheel("nvidia_nccl_cu13-1.0-py3-none-any.whl", {"nvidia/nccl/include/nccl.h": 0o644, "nvidia/nccl/lib/libnccl.so.2": 0o644})
        self.wheel("flashinfer_python-1.0-py3-none-any.whl", {"flashinfer/data/include/flashinfer/page.cuh": 0o644,
                                                              "flashinfer/data/csrc/page.cu": 0o644, "flashinfer/__init__.py": 0o644})
        result = self.unpack()
        self.assertEqual(result.returncode, 0, result.stderr)
        found = {str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file() or path.is_symlink()}
        self.assertEqual(found, {
            "nvidia/cu13/bin/nvcc", "nvidia/cu13/lib64", "nvidia/cu13/lib/libcublasLt.so", "nvidia/cu13/lib/libcublasLt.so.13",
            "nvidia/cu13/lib/libnccl.so", "nvidia/cu13/lib/libnccl.so.2", "nvidia/cu13/include/nccl.h",
            "flashinfer/include/flashinfer/page.cuh", "licenses/nvidia_cublas/License.txt"})
        self.assertTrue((self.out / "nvidia/cu13/bin/nvcc").stat().st_mode & 0o111)
        self.assertFalse((self.out / "nvidia/cu13/lib/libnccl.so.2").stat().st_mode & 0o111)
        self.assertEqual((self.out / "nvidia/cu13/lib/libnccl.so").read_text(), "nvidia/nccl/lib/libnccl.so.2")
        self.assertEqual(list(self.wheels.iterdir()), [])

    def test_another_layout_is_refused(self):
        self.wheel(CUBLAS, {"nvidia/cublas/lib/libcublasLt.so.13": 0o644})
        result = self.unpack()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("holds nothing of what is kept of nvidia_cublas", result.stderr)

    def test_a_path_out_of_the_folder_is_refused(self):
        self.wheel("nvidia_cuda_nvcc-1.0-py3-none-any.whl", {"nvidia/../../escaped": 0o644})
        result = self.unpack()
        self.assertNotEqual(result.returncode, 0)
        self.assertFalse((self.out.parent / "escaped").exists())

    def test_no_wheels_are_refused(self):
        self.assertIn("no wheel in", self.unpack().stderr)


if __name__ == "__main__":
    unittest.main()
