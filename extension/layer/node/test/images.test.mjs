// Functions in container images are instrumented, or their log has one line with the reason. An image needs no docker here: its
// command runs in a folder as AWS's documentation lays it out.
//
// Source: Lambda Developer Guide, "Deploy Node.js Lambda functions with container images", "Deploy Python Lambda functions with
// container images".

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { opt, packages, run, task } from "./local_lambda.mjs";

const NATIVE = fileURLToPath(new URL("../../../../crates/cli/src/dev/rapid_client.cjs", import.meta.url));
/// AWS's runtime client, whose native module takes minutes to compile.
const CLIENT = packages(["aws-lambda-ric@3.3.0"], (modules) => {
  const native = path.join(modules, "aws-lambda-ric/dist/rapid-client.node");
  fs.mkdirSync(native);
  fs.copyFileSync(NATIVE, path.join(native, "index.js"));
});
const CALLS = "exports.handler = async () => (await fetch(`http://${process.env.AWS_LAMBDA_RUNTIME_API}/`)).status;";
const FILES = { "app.js": CALLS };
const SCRIPT = '#!/bin/sh\n# No local emulator.\nexec node_modules/.bin/aws-lambda-ric "$@"\n';

// The command, and the function's files.
const IMAGES = {
  npx: ["npx aws-lambda-ric app.handler", FILES],
  "the client": ["node_modules/.bin/aws-lambda-ric app.handler", FILES],
  node: ["node node_modules/.bin/aws-lambda-ric app.handler", FILES],
  env: ["env A=1 npx aws-lambda-ric app.handler", FILES],
  "a script": ["sh ./entry_script.sh app.handler", { ...FILES, "entry_script.sh": SCRIPT }],
  "preserved links": [
    "node --preserve-symlinks node_modules/aws-lambda-ric/bin/index.mjs app.handler",
    { "real/app.js": CALLS },
    "ln -sf real/app.js app.js",
  ],
  "a byte order mark": ["npx aws-lambda-ric app.handler", { ...FILES, "package.json": "\uFEFF{}" }],
  "a handler loaded before": [
    "npx aws-lambda-ric app.handler",
    { ...FILES, "pre.js": "require('./app.js');" },
    "export NODE_OPTIONS='--require ./pre.js'",
  ],
};

test("images", async (context) => {
  // Makes the packages layer.
  await run(task({ "index.js": "exports.handler = async () => 1;" }), [{}]);
  const layer = opt();
  for (const [name, [command, files, prepare = ":"]] of Object.entries(IMAGES)) {
    await context.test(name, async () => {
      const image = `unset AWS_EXECUTION_ENV _HANDLER; ${prepare}; export LAMBDA_TASK_ROOT=/var/task; exec ${layer}/lambda-otlp-handler ${command}`;
      const ran = await run(task(files, CLIENT), [{}, {}], { wrapper: false, command: ["sh", "-c", image] });
      assert.equal(ran.kind("SERVER").length, 2, ran.text);
      assert.equal(ran.kind("CLIENT").length, 2, ran.text);
      assert.doesNotMatch(ran.text, /lambda-otlp-handler:/);
    });
  }
});

// Commands of images, and the text of the line.
const REFUSED = {
  "python -E -m awslambdaric app.handler": /Python's option -E ignores PYTHONPATH/,
  "python3 -Is app.py": /Python's option -Is ignores PYTHONPATH/,
  "python3 -m awslambdaric app.handler": undefined,
  "./bootstrap": undefined,
};

test("a command that cannot be instrumented has one line", async (context) => {
  const layer = opt();
  for (const [command, line] of Object.entries(REFUSED)) {
    await context.test(command, () => {
      const [program] = command.split(" ");
      const folder = task({ [`bin/${path.basename(program)}`]: "#!/bin/sh\n" });
      const file = path.join(folder, "bin", path.basename(program));
      fs.chmodSync(file, 0o755);
      const options = { cwd: path.join(folder, "bin"), env: { PATH: `${folder}/bin:/usr/bin:/bin` }, encoding: "utf8" };
      const { stderr } = spawnSync(path.join(layer, "lambda-otlp-handler"), command.split(" "), options);
      if (line === undefined) assert.equal(stderr, "");
      else assert.match(stderr, line);
      assert.ok(stderr.split("\n").length <= 2, stderr);
    });
  }
});
