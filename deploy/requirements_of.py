"""Print what a role needs, from pyproject.toml: `python requirements_of.py [EXTRA…]`. For image builds."""

import sys
import tomllib
from pathlib import Path

here = Path(__file__).resolve().parent
found = next(folder / "pyproject.toml" for folder in (here, here.parent) if (folder / "pyproject.toml").is_file())
project = tomllib.loads(found.read_text())["project"]
needed = [*project["dependencies"]]
for extra in sys.argv[1:]:
    needed += project["optional-dependencies"][extra]
sys.stdout.write("\n".join(sorted(set(needed))) + "\n")
