"""Imports the layer's packages under a private name, so that they neither replace nor add a library of the function.

The layer's `requests` is `lambda_otlp_packages.requests`, and so it is for `import requests` in one of the layer's packages. The
function can import OpenTelemetry's API from the layer if it has none of its own. Its own code and the packages in `LEAVING` can
also import the SDK. Other packages look for an SDK and would start it, so that the function would pay for spans that nobody gets.

Source: Python's documentation, "The import system" and `builtins.__import__`.
"""

import builtins
import functools
import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType

from lambda_otlp_load import attempt, layer_module

standard = layer_module("lambda_otlp_standard")

NAME = "lambda_otlp_packages"
# Contents of the folder `opentelemetry` in opentelemetry-api.
API = [
    "__pycache__",
    "_events",
    "_logs",
    "attributes",
    "baggage",
    "context",
    "environment_variables",
    "metrics",
    "propagate",
    "propagators",
    "py",
    "trace",
    "util",
    "version",
]
# Folders of other packages below these.
NOT_API = ("opentelemetry.propagators.aws.", "opentelemetry.util.http.")
# Packages that a function can import from the layer. After the SDK, it also needs the others.
SDK = "opentelemetry.sdk"
SHARED = (SDK, "opentelemetry.exporter", "opentelemetry.propagators.aws", "opentelemetry.proto", "opentelemetry.semconv")
# Packages that leave the SDK to a layer.
LEAVING = ("aws_durable_execution_sdk_python_otel",)
# Files of ours that the packages import in place of packages whose import would take longer than all their own modules.
IN_PLACE = {
    "packaging": "lambda_otlp_packaging",
    "packaging.requirements": "lambda_otlp_packaging",
    "packaging.version": "lambda_otlp_packaging",
    "typing_extensions": "lambda_otlp_typing",
}
# Libraries that the layer has a copy of, and also instruments.
INSTRUMENTED = ("requests", "urllib3")
INSTRUMENTATIONS = f"{NAME}.opentelemetry.instrumentation."
OF_HTTPX = f"{INSTRUMENTATIONS}httpx"
INSTRUMENTOR = "opentelemetry_instrumentor"

# The folder of the layer's packages, or an empty text if only the function's packages are used.
folder = ""
# The names of the packages other than OpenTelemetry's, which the layer imports under the private name.
libraries = frozenset()


def install(packages):
    """Makes the packages in this folder importable."""
    global folder, libraries
    folder = packages
    libraries = frozenset(name.partition(".")[0] for name in (*os.listdir(packages), *IN_PLACE)) - {"opentelemetry"}
    root = sys.modules[NAME] = ModuleType(NAME)
    root.__path__ = [folder]
    sys.meta_path.insert(0, PackageFinder)
    sys.meta_path.append(SharedFinder)
    # The function's packages have another copy of this file.
    pem = os.path.join(folder, "certifi", "cacert.pem")
    certifi = sys.modules[f"{NAME}.certifi"] = ModuleType(f"{NAME}.certifi")
    certifi.where = lambda: pem


def uninstall():
    """Leaves all imports to the function's packages."""
    global folder
    folder = ""
    for finder in (PackageFinder, SharedFinder):
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


def library(name):
    """Imports a module of OpenTelemetry's packages or of their dependencies: the layer's, or else the function's."""
    return importlib.import_module(private(name))


def private(name):
    return f"{NAME}.{name}" if folder and is_private(name) else name


def is_private(name, importer=""):
    """Returns `True` if the module `importer` gets the layer's module of this name.

    An instrumentation gets the function's library, which it changes.
    """
    top = name.partition(".")[0]
    if top == "opentelemetry":
        return not is_api(name)
    return top in libraries and not (top in INSTRUMENTED and importer.startswith(INSTRUMENTATIONS))


def is_api(name):
    if name == "opentelemetry":
        return True
    return name.split(".", 2)[1] in API and not f"{name}.".startswith(NOT_API)


def public(name):
    """Returns the name under which other programs import a module of the layer's packages."""
    return name.removeprefix(f"{NAME}.")


def import_for_packages(name, globals=None, locals=None, fromlist=(), level=0):
    """Replaces `__import__` in the layer's packages."""
    importer = (globals or {}).get("__name__", "")
    if level or not is_private(name, importer):
        if fromlist or "." not in name:
            later = standard.MODULES.get(name)
            if later is not None and importer.startswith("opentelemetry.") and is_api(importer):
                return later
        found = builtins.__import__(name, globals, locals, fromlist, level)
        if importer == OF_HTTPX and name == "importlib":
            return layer_module("lambda_otlp_mends").loaded_only
        is_logging = found is sys.modules.get("logging") and importer.startswith(f"{NAME}.")
        return layer_module("lambda_otlp_mends").quiet_logging() if is_logging else found
    found = builtins.__import__(f"{NAME}.{name}", globals, locals, fromlist, 0)
    # `import a.b` binds `a`.
    return found if fromlist else sys.modules[f"{NAME}.{name.partition('.')[0]}"]


BUILTINS = {**vars(builtins), "__import__": import_for_packages}


class PackageLoader(SourceFileLoader):
    """Loads a module of the layer's packages, whose imports find these packages, and mends it."""

    def exec_module(self, module):
        vars(module)["__builtins__"] = BUILTINS
        super().exec_module(module)
        if module.__name__ == f"{NAME}.wrapt":
            layer_module("lambda_otlp_boundary").guard_wrappers(module)
        elif module.__name__.startswith(f"{NAME}.opentelemetry."):
            attempt(layer_module("lambda_otlp_mends").mend, module, public(module.__name__))


class PackageFinder:
    """Finds modules below the private name, and the rest of the layer's API once a part of it is loaded. It precedes all other
    finders.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith(f"{NAME}."):
            if public(name) in IN_PLACE:
                return ModuleSpec(name, ReplacementLoader, is_package=True)
            return spec_in(path, name)
        if not name.startswith("opentelemetry."):
            return None
        if is_api(name):
            return spec_of_api(name) if is_of_layer(sys.modules.get("opentelemetry.trace")) else None
        parent = sys.modules.get(name.rpartition(".")[0])
        return spec_of_shared(name) if is_private_module(parent) else None


class ReplacementLoader:
    """Gives a module the names of its file in `IN_PLACE`."""

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        names = vars(layer_module(IN_PLACE[public(module.__name__)]))
        vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})


@functools.cache
def replaced(name):
    """Loads the module of the layer's packages in whose place a file of ours is."""
    spec = spec_in([folder_above(name)], f"{NAME}.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_of_layer(module):
    return (getattr(module, "__file__", None) or "").startswith(folder)


def is_private_module(module):
    return getattr(module, "__name__", "").startswith(f"{NAME}.")


def shares_the_sdk():
    """Returns `True` if the function has imported the layer's SDK."""
    return is_private_module(sys.modules.get(f"{SDK}.trace"))


class SharedFinder:
    """Finds OpenTelemetry's API and the packages in `SHARED` for the function, after all other finders."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "opentelemetry" and not name.startswith("opentelemetry."):
            return None
        if not is_api(name) and name != SDK and not (name in SHARED and is_private_module(sys.modules.get(SDK))):
            return None
        for finder in sys.meta_path[sys.meta_path.index(SharedFinder) + 1 :]:
            # The function has added a finder.
            if spec := finder.find_spec(name, path, target):
                return spec
        if is_api(name):
            return spec_of_api(name)
        if name == SDK and not may_import_the_sdk(importing_module()):
            return None
        return spec_of_shared(name) if fits_the_sdk() else None


def importing_module():
    """Returns the module whose code imports or looks for a module, or `None`."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and name.partition(".")[0] not in ("importlib", "opentelemetry"):
            return sys.modules.get(name)
        frame = frame.f_back
    return None


def may_import_the_sdk(module):
    """Returns `True` for the function's own code, and for a package that leaves the SDK to a layer."""
    top = getattr(module, "__name__", "").partition(".")[0]
    if top in LEAVING or is_private_module(module):
        return True
    file = getattr(module, "__file__", None)
    if not file:
        return True
    # The folder of the top module: a package may have the name of another one in its path.
    folder_of_packages = os.path.dirname(file)
    for _ in range(module.__name__.count(".") + (os.path.basename(file) == "__init__.py")):
        folder_of_packages = os.path.dirname(folder_of_packages)
    return not is_installed(top, folder_of_packages)


def is_installed(top, folder_of_packages):
    """Returns `True` if the files of a module belong to an installed package (PyPA, "Recording installed projects")."""
    starts = tuple(f"\n{top}{ending}".encode() for ending in ("/", ".py,"))
    try:
        names = os.listdir(folder_of_packages)
    except OSError:
        return False
    for name in names:
        if not name.endswith(".dist-info"):
            continue
        try:
            with open(os.path.join(folder_of_packages, name, "RECORD"), "rb") as record:
                content = b"\n" + record.read()
        except OSError:
            continue
        if any(start in content for start in starts):
            return True
    return False


def version_of(package, folder_of_package=None):
    """Reads a package's version from its version file, without importing it."""
    for name in ("version.py", "version/__init__.py"):
        try:
            with open(os.path.join(folder_of_package or folder, package, name), encoding="utf-8") as file:
                for line in file:
                    if line.startswith("__version__"):
                        return line.split('"')[1]
        except (OSError, IndexError):
            continue
    return ""


def api_version():
    """Returns the version of the function's API, or an empty text if it has none."""
    return next(filter(None, (version_of("opentelemetry", entry or ".") for entry in sys.path)), "")


def fits_the_sdk():
    """Returns `True` if the layer's SDK works with the function's API. An SDK needs the API of its own version, except for its
    patches.
    """
    version = api_version()
    return not version or version.split(".")[:2] == version_of("opentelemetry/sdk").split(".")[:2]


def spec_of_shared(name):
    """Returns the spec of a module of the layer under its public name."""
    spec = spec_in([folder_above(name)], name)
    return spec and ModuleSpec(name, SharedLoader(), origin=spec.origin, is_package=spec.submodule_search_locations is not None)


class SharedLoader:
    """Gives the module under the private name also the public one, so that the classes under both names are the same."""

    def create_module(self, spec):
        module = library(spec.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has replaced it.
        module.__spec__ = self.spec


def folder_above(name):
    """Returns the layer's folder with the files of this module."""
    return os.path.join(folder, *name.split(".")[:-1])


def spec_of_api(name):
    spec = spec_in([folder_above(name)], name)
    if spec is not None and spec.loader is None:
        # Other packages of the layer are in the same folder.
        spec.submodule_search_locations = FoldersOfFunction(name)
    return spec


def spec_in(path, name):
    """Finds a module of the layer's packages, in a third of the time of `PathFinder`, which lists folders."""
    for entry in path:
        place = os.path.join(entry, name.rpartition(".")[2])
        package = os.path.join(place, "__init__.py")
        if os.path.isfile(package):
            return spec_from_file_location(name, package, loader=PackageLoader(name, package), submodule_search_locations=[place])
        file = f"{place}.py"
        if os.path.isfile(file):
            return spec_from_file_location(name, file, loader=PackageLoader(name, file))
        if os.path.isdir(place):
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations.append(place)
            return spec
    return None


class FoldersOfFunction:
    """The function's folders of a package without a file `__init__.py`. The function may add folders to its path at any time."""

    def __init__(self, name):
        self.name = name
        self.folders = []
        # The path for which the folders were found.
        self.path = None

    def __iter__(self):
        if self.path != sys.path:
            parent = self.name.rpartition(".")[0]
            spec = PathFinder.find_spec(self.name, sys.modules[parent].__path__ if parent else None)
            self.folders = list(spec and spec.submodule_search_locations or ())
            self.path = list(sys.path)
        return iter(self.folders)


def entry_points(group):
    """Returns the entry points of a group."""
    return all_entry_points().select(group=group)


@functools.cache
def all_entry_points():
    """Returns the entry points of the layer's packages, and of the function's others. Only the layer's classes fit its SDK.

    The function's instrumentations take precedence, because the function may start one itself. Reading the packages' files takes
    milliseconds.
    """
    from importlib.metadata import EntryPoint, EntryPoints, distributions

    def by_package(found):
        points = {}
        for each in found:
            name = (each.metadata["Name"] or "").lower().replace("_", "-")
            points.setdefault(name, each.entry_points)
        return points

    of_function = by_package(distributions())
    of_layer = by_package(distributions(path=[folder]) if folder else ())
    points = []
    for name, declared in of_function.items():
        points += [point for point in declared if name not in of_layer or point.group == INSTRUMENTOR]
    for name, declared in of_layer.items():
        for point in declared:
            if name not in of_function or point.group != INSTRUMENTOR:
                module, *rest = point.value.partition(":")
                points.append(EntryPoint(point.name, "".join([private(module), *rest]), point.group))
    return EntryPoints(points)


def distribution(name):
    """Returns the metadata of a package: the function's API, or the layer's package, or else the function's."""
    from importlib.metadata import Distribution

    places = [sys.path, [folder]] if name == "opentelemetry-api" or not folder else [[folder], sys.path]
    return next(found for path in places for found in Distribution.discover(name=name, path=path))


def serve_entry_points():
    """Lets OpenTelemetry's API and SDK find the layer's entry points."""
    from opentelemetry.util import _importlib_metadata as metadata

    metadata.entry_points = lambda **wanted: all_entry_points().select(**wanted)
