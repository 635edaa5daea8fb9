// Takes the place of `module-details-from-path` for require-in-the-middle, which asks it about each file that the function loads, and
// then looks for the main file of the file's package. It hears of packages with an instrumentation only, and leaves all others alone.

import detailsOf from "module-details-from-path";

const FOLDER = "/node_modules/";
/// `undefined` means all packages.
let watched;

/// Names the packages with an instrumentation.
export function watch(names) {
  watched = new Set(names);
}

/// Returns name, folder and path in the folder; `undefined` for a file of no package that is watched.
export function detailsOfWatched(file) {
  return watched === undefined || watched.has(packageOf(file)) ? detailsOf(file) : undefined;
}

function packageOf(file) {
  const at = file.lastIndexOf(FOLDER);
  if (at < 0) return undefined;
  const [scope, name] = file.slice(at + FOLDER.length).split("/", 2);
  return scope.startsWith("@") ? `${scope}/${name}` : scope;
}
