"""The most memory that was in use on a GPU while something ran, as the driver tells it."""

import subprocess
import threading


class Peak:
    """Within `with`, asks every 20 ms; then `bytes` is the peak above what was in use before, or None where nobody can be
    asked. The processes' CUDA contexts are in it."""

    def __init__(self, device):
        self.bytes = None
        self.used = reader(device)

    def __enter__(self):
        if self.used is not None:
            self.before = self.highest = self.used()
            self.done = threading.Event()
            self.thread = threading.Thread(target=self.watch, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.used is not None:
            self.done.set()
            self.thread.join()
            self.bytes = self.highest - self.before

    def watch(self):
        while not self.done.wait(0.02):
            self.highest = max(self.highest, self.used())


def reader(device):
    """A function that tells the bytes in use on `device`, by NVML or else by nvidia-smi."""
    if not device.startswith("cuda"):
        return None
    index = int(device.partition(":")[2] or 0)
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used
    except Exception:
        query = ["nvidia-smi", "-i", str(index), "--query-gpu=memory.used", "--format=csv,noheader,nounits"]

        def ask():
            return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout) << 20

        try:
            ask()
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None
        return ask
