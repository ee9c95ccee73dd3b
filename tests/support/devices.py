"""The devices that tests put tensors on."""

import shutil

DEVICES = ["cpu", "cuda"] if shutil.which("nvidia-smi") else ["cpu"]
