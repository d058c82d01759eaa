"""What the training runs on, and how it is made repeatable."""

import keras

from busi_keras.config import Experiment


def gpu_names() -> list[str]:
    """The GPUs that the backend in use can see; empty where it runs on the CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]
    if backend == "jax":
        import jax

        return [str(device) for device in jax.devices() if device.platform == "gpu"]
    import torch

    device = keras.ops.zeros(()).device  # where Keras puts things: it may be told not to use a GPU that is there
    return [torch.cuda.get_device_name(device)] if device.type == "cuda" else []


def fastest_precision() -> str:
    """One of `config.PRECISIONS`: bfloat16 where a GPU computes with it."""
    if not gpu_names():
        return "float32"
    if keras.backend.backend() == "torch":
        import torch

        if not torch.cuda.is_bf16_supported(including_emulation=False):  # it would do without cuDNN
            return "float32"
    return "mixed_bfloat16"


def describe(experiment: Experiment) -> str:
    """Device, backend and precision in a phrase: `CPU, tensorflow, float32`."""
    device = ", ".join(gpu_names()) or "CPU"
    return f"{device}, {keras.backend.backend()}, {experiment.precision}"


def prepare(experiment: Experiment) -> None:
    """Sets the precision and every source of chance; on TensorFlow and a CPU, also deterministic kernels.

    On a GPU they are slow, and some do not exist.
    """
    keras.config.set_dtype_policy(experiment.precision)
    keras.utils.set_random_seed(experiment.seed)
    if keras.backend.backend() == "tensorflow" and not gpu_names():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
