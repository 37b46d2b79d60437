"""What is measured: the machine that this program runs on, as torch and the system describe it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simulator.errors import Problem, SpecError, UnknownNameError

ARCHITECTURES = {
    (6, 0): "pascal",
    (6, 1): "pascal",
    (7, 0): "volta",
    (7, 5): "turing",
    (8, 0): "ampere",
    (8, 6): "ampere",
    (8, 7): "ampere",
    (8, 9): "ada",
    (9, 0): "hopper",
    (10, 0): "blackwell",
    (10, 3): "blackwell",
    (12, 0): "blackwell",
}
"""Compute capability, to architecture (developer.nvidia.com/cuda-gpus)."""


AMD_ARCHITECTURES = {"gfx908": "cdna1", "gfx90a": "cdna2", "gfx942": "cdna3", "gfx950": "cdna4"}
"""Compiler target of AMD's accelerators, to architecture (rocm.docs.amd.com, GPU hardware specifications)."""


@dataclass(frozen=True)
class Machine:
    """One device, as this program sees it."""

    kind: str
    """``cpu`` or ``cuda``."""
    device: str
    """Torch's name of the device."""
    id: str
    """Id of the accelerator that is written."""
    name: str
    """Name as the vendor prints it."""
    architecture: str
    """Architecture, which chooses the constants to start from."""
    memory_bytes: int
    """Memory that a program sees. [B]"""
    processors: int
    """SMs of a GPU; threads that are used of a processor. [-]"""
    threads: int
    """Threads of torch on the host. [-]"""
    precision: str
    """Format of the matmuls."""
    l2_bytes: int = 0
    """Last-level cache, 0 where it is not known. [B]"""
    library_id: str = ""
    """Accelerator of the library that this is; empty if it is not listed."""
    software: dict[str, str] = field(default_factory=dict)
    """Versions."""
    state: dict[str, str] = field(default_factory=dict)
    """Power limit, clocks and temperature, where the driver tells them."""

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def identity(self) -> dict[str, str]:
        """What must not change between the parts of one set of measurements."""
        shown = {"device": self.name, "threads": self.threads, "precision": self.precision}
        return {key: str(value) for key, value in shown.items()} | {"torch": self.software.get("torch", "")}


def torch_module() -> Any:
    """PyTorch, or a clear error that says how to get it.

    Raises
    ------
    SpecError
        If it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError:
        hint = "pip install 'trainsim[torch]'"
        raise SpecError(Problem("PyTorch is not installed", file="trainsim measure", hint=hint)) from None


def describe(torch: Any, device: str | None, *, precision: str | None = None, name: str = "") -> Machine:
    """The machine behind a torch device.

    Parameters
    ----------
    torch : module
        PyTorch.
    device : str, optional
        ``cpu``, ``cuda`` or ``cuda:1``; a GPU where there is one if absent.
    precision : str, optional
        Format of the matmuls: bf16 on a GPU that has it, else fp32, unless asked otherwise.
    name : str, optional
        Id to write instead of one made from the name.

    Raises
    ------
    SpecError
        If there is no such device, or the name is no id.
    """
    if name and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
        raise SpecError(Problem(f"{name[:80]!r} is no id", file="--name", hint="write a-z, 0-9, . _ -"))
    here = torch.cuda.is_available()
    wanted = device or ("cuda" if here else "cpu")
    if wanted == "cpu":
        return _processor(torch, precision or "fp32", name)
    if re.fullmatch(r"cuda(:\d+)?", wanted) and here:
        index = int(wanted.partition(":")[2] or 0)
        if index < torch.cuda.device_count():
            return _gpu(torch, index, precision, name)
    hint = "cpu" + "".join(f", cuda:{i}" for i in range(torch.cuda.device_count() if here else 0))
    raise SpecError(Problem(f"no device {wanted[:40]!r}", file="--device", hint=f"here are: {hint}"))


def _versions(torch: Any) -> dict[str, str]:
    found = {"torch": str(torch.__version__), "python": platform.python_version()}
    cuda = getattr(torch.version, "cuda", None)
    return found | ({"cuda": str(cuda)} if cuda else {})


def slug(text: str) -> str:
    """An id from a name as vendors print it.

    Examples
    --------
    >>> slug("Intel(R) Xeon(R) Processor @ 2.50GHz")
    'intel-xeon-2.50ghz'
    """
    plain = re.sub(r"\((?:r|tm|c)\)|processor|cpu|@", " ", text.lower())
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:80] or "device"


def _processor(torch: Any, precision: str, name: str) -> Machine:
    threads = int(torch.get_num_threads())
    model = _cpu_name()
    count = f"{threads}-thread" + ("s" if threads > 1 else "")
    return Machine(
        kind="cpu",
        device="cpu",
        id=name or f"{slug(model)}-{count}",
        name=f"{model}, {count.replace('-', ' ')}",
        architecture="cpu",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        processors=threads,
        threads=threads,
        precision=precision,
        l2_bytes=_cpu_cache(),
        software=_versions(torch),
        state={"instructions": str(torch.backends.cpu.get_cpu_capability()), "cores": str(os.cpu_count())},
    )


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _cpu_cache() -> int:
    """Size of the largest cache of the first core; 0 where the system does not tell. [B]"""
    largest = 0
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        match = re.fullmatch(r"(\d+)([KM])", path.read_text().strip())
        if match:
            largest = max(largest, int(match[1]) << {"K": 10, "M": 20}[match[2]])
    return largest


def _gpu(torch: Any, index: int, precision: str | None, name: str) -> Machine:
    about = torch.cuda.get_device_properties(index)
    known = library_id(str(about.name))
    usual = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return Machine(
        kind="cuda",
        device=f"cuda:{index}",
        id=name or f"{known or slug(str(about.name))}-measured",
        name=str(about.name),
        architecture=architecture_of(torch, about),
        memory_bytes=int(about.total_memory),
        processors=int(about.multi_processor_count),
        threads=int(torch.get_num_threads()),
        precision=precision or usual,
        l2_bytes=int(getattr(about, "L2_cache_size", 0)),
        library_id=known,
        software=_versions(torch),
        state=driver_state(str(getattr(about, "uuid", ""))),
    )


def architecture_of(torch: Any, about: Any) -> str:
    """Architecture of a GPU from its properties; AMD's builds of torch count their own capabilities."""
    if getattr(torch.version, "hip", None):
        target = str(about.gcnArchName).partition(":")[0]
        return AMD_ARCHITECTURES.get(target, target)
    capability = (int(about.major), int(about.minor))
    return ARCHITECTURES.get(capability, f"compute-capability-{capability[0]}.{capability[1]}")


def library_id(name: str) -> str:
    """Accelerator of the library with the name that a driver prints; empty if there is none.

    Examples
    --------
    >>> library_id("NVIDIA GeForce RTX 4090")
    'rtx-4090-24gb'
    >>> library_id("NVIDIA Imaginary 1")
    ''
    """
    from simulator import library

    for written in (name, name.removeprefix("NVIDIA ")):
        try:
            return library.find("accelerators", written).stem
        except (UnknownNameError, SpecError):
            continue
    return ""


DRIVER_FIELDS = (
    "driver_version",
    "power.limit",
    "power.draw",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "temperature.gpu",
)
"""What `nvidia-smi` is asked for; watts, MHz and degrees Celsius."""


def driver_state(uuid: str) -> dict[str, str]:
    """Driver, power and clocks of a GPU by its id, where `nvidia-smi` is at hand.

    Torch counts the devices that it may see, `nvidia-smi` all of them, so that only the id names the same one.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(DRIVER_FIELDS)}", "--format=csv,noheader,nounits"]
    if uuid:
        command += ["-i", uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout else []
    return dict(zip(DRIVER_FIELDS, values, strict=False))
