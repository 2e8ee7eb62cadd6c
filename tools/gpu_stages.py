"""What scripts/gpu-check runs on a machine with a GPU: one row per stage, in the order of their worth."""
import dataclasses


KINDS = {
    "tests": "a GoogleTest program",
    "memory": "one under compute-sanitizer",
    "numbers": "prints JSON",
    "status": "its exit status counts: 0, or 77 for skipped",
}


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    shows: str  # what is known once it passes
    program: str  # as the build lays it out, below its folder
    script: str = ""  # of tools/, that runs the program and others
    kind: str = "tests"  # see KINDS
    arguments: tuple = ()  # {program}, {bin}, {root}, {smollm2} are filled in
    limit_s: int = 60
    needs: tuple = ()  # of: sanitizer, smollm2


CUDA_TESTS = "--gtest_filter=*/cuda*"
STAGES = [
    Stage("parity", "every operation equals its reference", "tests/cuda_ops_test", arguments=(CUDA_TESTS,), limit_s=90),
    Stage("golden", "checkpoints of every family give the reference's logits", "tests/cuda_golden_test",
          arguments=("--gtest_filter=*CudaGolden*",), limit_s=150),
    Stage("decoder", "steps that are recorded and replayed give the CPU's logits", "tests/cuda_golden_test",
          arguments=("--gtest_filter=*CudaDecoder*",), limit_s=40),
    Stage("tokens", "whole requests sample the CPU's tokens, on one rank and on several", "tests/cuda_golden_test",
          arguments=("--gtest_filter=*CudaTokens*",), limit_s=40),
    Stage("demo", "the demo model served on 1 and 2 ranks: the same tokens as on the CPU", "bin/drover-worker-cuda", "gpu_serve.py", "status",
          arguments=("{bin}", "{root}/demo/model", "--expect", "Paris", "--same", "cpu:1", "cuda:0:1", "cuda:0:2"), limit_s=60),
    Stage("loopback", "tier C: ranks as streams of one GPU", "tests/cuda_comm_test", arguments=("--gtest_filter=*Loopback*",), limit_s=60),
    Stage("nccl-1", "tier D: NCCL with one rank", "tests/cuda_comm_test", arguments=("--gtest_filter=*Nccl*",), limit_s=40),
    Stage("memcheck", "the parity tests touch no memory that is not theirs", "tests/cuda_ops_test", kind="memory",
          arguments=("--tool", "memcheck", "--report-api-errors", "no", "{program}", CUDA_TESTS), needs=("sanitizer",), limit_s=90),
    Stage("kernels", "speed of each kernel against the device's limits", "bin/cuda_bench", kind="numbers", arguments=("--json",), limit_s=90),
    Stage("nccl-n", "tier E: NCCL with 2 to 4 processes on one GPU, one of them killed", "tests/cuda_nccl_ranks_test", limit_s=90),
    Stage("decode", "decoding of an 8B dense and a 30B-A3B shape at 1 to 256 sequences, against the bytes they must read",
          "bin/drover-worker-cuda", "gpu_decode.py", "numbers", limit_s=110,
          arguments=("{bin}/drover-worker-cuda", "--seconds", "100", "{root}/bench/shapes/dense-8b", "{root}/bench/shapes/moe-30b-a3b")),
    Stage("smollm2", "SmolLM2 served on 1 and 2 ranks", "bin/drover-worker-cuda", "gpu_serve.py", "status",
          arguments=("{bin}", "{smollm2}", "--expect", "Paris", "cuda:0:1", "cuda:0:2"), needs=("smollm2",), limit_s=60),
    Stage("racecheck", "no races in shared memory", "tests/cuda_ops_test", kind="memory",
          arguments=("--tool", "racecheck", "{program}", CUDA_TESTS + ":-*Linear*"), needs=("sanitizer",), limit_s=60),
]
TOTAL_S = 480  # of all stages; those that no time is left for are told as not reached

# Beside the programs of every bundle.
PROGRAMS = sorted({stage.program for stage in STAGES})
