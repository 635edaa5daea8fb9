// Makes the files of the packages layer with esbuild, in the folder of `--outdir=FOLDER`.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { build } from "esbuild";

// Packages that the files of instrumentations take from bundle.cjs, so that there is one copy of each.
const SHARED = /^@opentelemetry\/(api|core|instrumentation)$/;
const shared = {
  name: "shared",
  setup(builder) {
    builder.onResolve({ filter: SHARED }, ({ path }) => ({ path, namespace: "shared" }));
    builder.onLoad({ filter: SHARED, namespace: "shared" }, ({ path }) => ({
      contents: `module.exports = require("./bundle.cjs").load(${JSON.stringify(path)});`,
    }));
  },
};

// The instrumentations are CommonJS modules, which would bring along the whole tables of OpenTelemetry's conventions, and tables of
// their own. Each one gets the values of the names that it uses.
const TABLE = /^const (\w+) = require\("(@opentelemetry\/semantic-conventions|\.[^"]*\/semconv[^"/]*)"\);\n/gm;
const conventions = {
  name: "conventions",
  setup(builder) {
    builder.onLoad({ filter: /[\\/]@opentelemetry[\\/]instrumentation[^\\/]*[\\/].*\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, "utf8");
      for (const [line, table, module] of contents.matchAll(TABLE)) {
        const values = createRequire(path)(module);
        const used = new RegExp(`\\b${table}\\.(\\w+)`, "g");
        contents = contents.replace(used, (use, name) => (typeof values[name] === "string" ? JSON.stringify(values[name]) : use));
        if (contents.search(used) < 0) contents = contents.replace(line, "");
      }
      return { contents };
    });
  },
};

// require-in-the-middle's messages for its developers. Their package also loads Node's `tty`.
const messages = {
  name: "messages",
  setup(builder) {
    builder.onResolve({ filter: /^debug$/ }, ({ path }) => ({ path, namespace: "messages" }));
    builder.onLoad({ filter: /^debug$/, namespace: "messages" }, () => ({ contents: "module.exports = () => () => {};" }));
  },
};

// The part of require-in-the-middle that knows the packages of files.
const DETAILS = /^module-details-from-path$/;
const details = {
  name: "details",
  setup(builder) {
    builder.onResolve({ filter: DETAILS }, ({ path, importer }) =>
      /[\\/]require-in-the-middle[\\/]/.test(importer) ? { path, namespace: "details" } : undefined,
    );
    builder.onLoad({ filter: DETAILS, namespace: "details" }, () => ({
      contents: 'module.exports = require("./details.mjs").detailsOfWatched;',
      resolveDir: process.cwd(),
    }));
  },
};

const [outdir] = process.argv.slice(2).map((argument) => argument.replace(/^--outdir=/, ""));
const options = {
  // Packages pin other patches of it.
  alias: { "@opentelemetry/core": "./node_modules/@opentelemetry/core" },
  bundle: true,
  external: ["./bundle*.cjs", "./exporter.cjs"],
  format: "cjs",
  inject: ["clock.mjs"],
  legalComments: "none",
  logLevel: "error",
  mainFields: ["module", "main"],
  minify: true,
  outExtension: { ".js": ".cjs" },
  outdir,
  platform: "node",
  target: "node18",
};
await build({ ...options, entryPoints: ["bundle.mjs", "exporter.mjs"], plugins: [conventions, details, messages] });
await build({ ...options, entryPoints: ["bundle_databases.mjs"], plugins: [shared, conventions] });
// A file each for the instrumentations of other libraries. Only the names that bundle.mjs imports are in the shared packages then.
for (const name of ["aws-sdk", "http", "undici"]) {
  const stdin = { contents: `export * from "@opentelemetry/instrumentation-${name}";`, resolveDir: "." };
  const outfile = `${outdir}/bundle_${name}.cjs`;
  await build({ ...options, stdin, outdir: undefined, outfile, plugins: [shared, conventions] });
}
