// Makes the files of the packages layer with esbuild, in the folder of `--outdir=FOLDER`.

import { build } from "esbuild";

// Packages that bundle_databases.cjs takes from bundle.cjs, so that there is one copy of each.
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

const [outdir] = process.argv.slice(2).map((argument) => argument.replace(/^--outdir=/, ""));
const options = {
  bundle: true,
  external: ["./bundle.cjs", "./bundle_databases.cjs", "./exporter.cjs"],
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
await build({ ...options, entryPoints: ["bundle.mjs", "exporter.mjs"] });
await build({ ...options, entryPoints: ["bundle_databases.mjs"], plugins: [shared] });
