"""int8: the weights of a transformer's matrix products in a byte each, per channel."""

import errno
import os
from pathlib import Path

from vitbench import files
from vitbench.exporting.graph import quiet
from vitbench.models.exported import library

QUANTISED = ("MatMul", "Gemm")
"""Convolutions are left as they are: in int8 they are many times slower on a CPU."""


def quantise(source: Path, file: Path) -> None:
    """Write the int8 form of an exported ONNX file: dynamic quantisation, a scale per output channel.

    Inputs of matrix products are brought to int8 picture by picture, so no calibration data are needed
    (onnxruntime's `quantize_dynamic`). OSError where the disk is full.
    """
    quantisation, onnx = library("onnxruntime.quantization"), library("onnx")
    try:
        with quiet():
            quantisation.quantize_dynamic(
                source,
                file,
                weight_type=quantisation.QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=list(QUANTISED),
            )
            model = onnx.load(file)
    except library("google.protobuf.message").DecodeError as error:  # what C++ writes it does not check
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    about = {one.key: one.value for one in model.metadata_props if one.key != "onnx.infer"}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {**about, "precision": '"int8"'})
    files.write_bytes(file, bytes(model.SerializeToString()))
