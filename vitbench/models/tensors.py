"""safetensors files: proven whole before they are used; nothing else is ever opened."""

from pathlib import Path

from vitbench.errors import WeightsError

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar", ".pickle")


def check_safetensors(path: Path) -> None:
    """Raise a one-line `WeightsError` unless `path` is a whole safetensors file.

    Whole means that the header parses and that its tensors fill the file to the last byte. Pickles are
    refused by name and unread: loading one can run code.
    """
    from safetensors import SafetensorError

    if path.suffix != ".safetensors":
        why = "a pickle, which can run code" if path.suffix in PICKLES else "not .safetensors"
        raise WeightsError(f"{path}: is {why}; give weights as safetensors")
    if not path.is_file():  # a pipe would wait for ever
        raise WeightsError(f"{path}: is not a file; give weights as safetensors")
    try:
        names = tensor_names(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged or not whole ({error}); copy or download it again") from error
    if not names:
        raise WeightsError(f"{path}: holds no tensors; give another file")


def tensor_names(path: Path) -> list[str]:
    """The names of a safetensors file's tensors, from its header."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return list(file.keys())
