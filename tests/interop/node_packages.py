"""Packages from npm in the user's cache."""

import hashlib
import shutil
import subprocess

from local_lambda import REPOSITORY, made_once

SOURCES = REPOSITORY / "tests/interop/unchanged"


def node_modules(description, *others):
    """Returns the folder `node_modules` with the packages of this `package.json`, and other packages."""

    def install(folder):
        folder.mkdir()
        shutil.copy(description, folder)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        subprocess.run([*npm, *others], cwd=folder, check=True)

    name = hashlib.sha256(repr((description.read_text(), others)).encode()).hexdigest()[:16]
    return made_once(f"interop-{name}", install) / "node_modules"


def node_task(folder, packages_of, *others):
    """Writes the unchanged function to a folder, with the packages of a `package.json` and other packages."""
    for source in (SOURCES / "node", SOURCES / packages_of):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(node_modules(SOURCES / packages_of / "package.json", *others))
    return folder
