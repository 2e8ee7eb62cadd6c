"""What scripts/gpu-check runs on a machine with a GPU: one row per stage, in the order of their worth."""
import dataclasses


KINDS = {
    "tests": "a GoogleTest program",
    "memory": "one under compute-sanitizer",
    "numbers": "prints JSON",
    "status": "its exit status counts: 0, or 77 for skipped",
    "script": "the same of a Python script, which stands on the program",
}


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    shows: str  # what is known once it passes
    program: str  # as the build lays it out, below its folder
    kind: str = "tests"  # see KINDS
    arguments: tuple = ()  # {demo}, {smollm2}, {root}, {bin} are filled in
    limit_s: int = 60
    needs: tuple = ()  # of: sanitizer, smollm2


def ranks(mode, count, shows, limit_s=40):
    """tests/nccl_ranks: ranks that share the GPU. It gives its processes all that NCCL must be told for that."""
    return Stage(f"{'nccl' if mode == 'conformance' else mode}-{count}", shows, "tests/nccl_ranks", kind="status", arguments=(mode, str(count)), limit_s=limit_s)


CUDA_TESTS = "--gtest_filter=*/cuda*"
STAGES = [
    Stage("parity", "every operation equals its reference", "tests/cuda_ops_test", arguments=(CUDA_TESTS,), limit_s=90),
    Stage("golden", "checkpoints of every family give the reference's logits", "tests/cuda_golden_test", limit_s=90),
    ranks("loopback", 2, "tier C: 2 ranks as streams of one GPU"),
    ranks("conformance", 1, "tier D: NCCL with one rank"),
    ranks("conformance", 2, "tier E: NCCL with 2 processes on one GPU"),
    Stage("demo", "the demo model served on 1 and 2 ranks: the same tokens as on the CPU", "bin/drover-worker-cuda", kind="script",
          arguments=("{root}/tools/gpu_serve.py", "{bin}", "{demo}", "--expect", "Paris", "--same", "cpu:1", "cuda:0:1", "cuda:0:2"), limit_s=60),
    Stage("memcheck", "the parity tests touch no memory that is not theirs", "tests/cuda_ops_test", kind="memory",
          arguments=("--tool", "memcheck", "--report-api-errors", "no", "{program}", CUDA_TESTS), needs=("sanitizer",), limit_s=90),
    Stage("kernels", "speed of each kernel against the device's limits", "bin/cuda_bench", kind="numbers", arguments=("--json",), limit_s=90),
    ranks("killed", 3, "tier E: of 3 processes one is killed, the others go on with another in its place", limit_s=60),
    Stage("decode", "speed of the demo model's decoder", "bin/drover-worker-cuda", kind="numbers",
          arguments=("bench", "--device", "cuda:0", "--model", "{demo}", "--json"), limit_s=30),
    Stage("smollm2", "SmolLM2 served on 1 and 2 ranks", "bin/drover-worker-cuda", kind="script",
          arguments=("{root}/tools/gpu_serve.py", "{bin}", "{smollm2}", "--expect", "Paris", "cuda:0:1", "cuda:0:2"), needs=("smollm2",), limit_s=60),
    ranks("loopback", 4, "tier C: 4 ranks"),
    ranks("conformance", 4, "tier E: NCCL with 4 processes", limit_s=60),
    ranks("conformance", 3, "tier E: NCCL with 3 processes"),
    Stage("racecheck", "no races in shared memory", "tests/cuda_ops_test", kind="memory",
          arguments=("--tool", "racecheck", "{program}", CUDA_TESTS + ":-*Linear*"), needs=("sanitizer",), limit_s=60),
]
TOTAL_S = 480  # of all stages; those that no time is left for are told as not reached

# Beside the programs of every bundle.
PROGRAMS = sorted({stage.program for stage in STAGES})
