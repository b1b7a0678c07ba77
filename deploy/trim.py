"""Take out of the environment that runs this what no service runs, and compile the rest: `python trim.py`.

It runs where an image is built, right after the packages are installed and before anything uses them: the models are
converted, and every image is tried, with what is left. A service could not write compiled files beside the packages,
and would make them anew at each start. They are trusted as they are: times of files, which copies may change, do not
count.
"""

from __future__ import annotations

import compileall
import shutil
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

EVERYWHERE = {
    "**/tests": "packages' own tests",
    "**/*.pyi": "types, for whoever writes code",
    "**/*.pxd": "declarations for Cython",
    "**/*.h": "headers, for whoever compiles",
    "**/*.hpp": "likewise",
    "**/*.cc": "sources of what is compiled already",
    "**/*.a": "static libraries, likewise",
}
OF_A_PACKAGE = {
    "numpy/distutils": "builds extensions",
    "numpy/f2py": "builds extensions in Fortran",
    "onnx/backend/test": "17 MB of test data",
    "onnxruntime/capi/libonnxruntime.so*": "for programs in C: Python's module holds the same code",
    "onnxruntime/transformers/models": "scripts that export language models",
    "openvino/include": "headers",
    "openvino_telemetry": "reports to OpenVINO's maker: openvino does without, and Fogline never loads it",
    "openvino/libs/libopenvino_c.so*": "for programs in C",
    "openvino/libs/libopenvino_gguf_frontend.so*": "models are ONNX: other formats' readers are never asked",
    "openvino/libs/libopenvino_jax_frontend.so*": "likewise",
    "openvino/libs/libopenvino_paddle_frontend.so*": "likewise",
    "openvino/libs/libopenvino_pytorch_frontend.so*": "likewise",
    "openvino/libs/libopenvino_tensorflow_lite_frontend.so*": "likewise",
    "openvino/frontend/jax": "what calls them",
    "openvino/frontend/paddle": "likewise",
    "openvino/frontend/pytorch": "likewise",
}
# Of these folders only what is named stays.
ONLY = {
    "babel/locale-data": ("root.dat", "en.dat", "zh.dat", "zh_Hans.dat", "zh_Hans_CN.dat"),  # what ui/locales has
    "cv2/data": ("__init__.py", "haarcascade_frontalface_alt2.xml"),  # what compute_node/algorithms/haar.py reads
}


def unneeded(packages: Path) -> list[Path]:
    """What can go of the packages in this folder, sorted; nothing of it lies within another entry that is a folder."""
    found = {path for pattern in (*EVERYWHERE, *OF_A_PACKAGE) for path in packages.glob(pattern)}
    for folder, kept in ONLY.items():
        found |= {path for path in (packages / folder).glob("*") if path.name not in kept}
    return sorted(path for path in found if not found.intersection(path.parents))


def main(packages: Path) -> None:
    for path in unneeded(packages):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    # Some packages carry files for a newer Python, which do not compile: they are never imported.
    compileall.compile_dir(packages, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main(Path(sysconfig.get_path("purelib")))
