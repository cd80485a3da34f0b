#!/usr/bin/env python3
"""Asks NVIDIA's driver for the first GPU that this process may use, without CUDA's toolkit and without nvidia-smi.

    tools/gpu_probe.py

Prints "name, compute capability, CUDA version of the driver, memory"; or, with exit status 1, why there is none.
"""

import ctypes
import sys

COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


def probe():
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return None, f"no NVIDIA driver: {error}"

    def ask(function, *arguments):
        status = getattr(driver, function)(*arguments)
        if status != 0:
            raise RuntimeError(f"the NVIDIA driver answers {function} with error {status}")

    try:
        ask("cuInit", 0)
        count, version, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
        name = ctypes.create_string_buffer(256)
        ask("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            return None, "the NVIDIA driver shows no GPU"
        ask("cuDriverGetVersion", ctypes.byref(version))
        ask("cuDeviceGet", ctypes.byref(device), 0)
        ask("cuDeviceGetName", name, len(name), device)
        ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        capability = []
        for attribute in COMPUTE_CAPABILITY:
            value = ctypes.c_int()
            ask("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
            capability.append(str(value.value))
    except (AttributeError, RuntimeError) as error:
        return None, str(error)
    cuda = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    return f"{name.value.decode()}, {'.'.join(capability)}, {cuda}, {memory.value >> 20} MiB", ""


def main():
    found, problem = probe()
    print(found or problem)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
