// Synthesizes two stacks as a user would write them, and tries invalid settings: synth.js ZIPS OUTDIR
import * as assert from "assert";
import { App, Stack } from "aws-cdk-lib";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import { LambdaOtlp } from "../lib";

const [zips, outdir] = process.argv.slice(2);
const endpoint = "https://o2.example.com/api/default";
const app = new App({ outdir });

const ofFolder = new Stack(app, "Folder");
const secret = new Secret(ofFolder, "OpenObserve");
const otlp = new LambdaOtlp(ofFolder, "LambdaOtlp", {
  zips,
  endpoint,
  secret: secret.secretArn,
  logGroups: "/aws/lambda/*",
  excludedLogGroups: ["/ecs/a", "*-dev"],
  architecture: "x86_64",
  layers: "x86_64",
  memorySize: 512,
  subscribeBesideOthers: true,
});
ofFolder.exportValue(otlp.output("layerX8664Arn"), { name: "layer" });

const ofBucket = new Stack(app, "Bucket");
new LambdaOtlp(ofBucket, "LambdaOtlp", { artifactBucket: "artifacts", artifactPrefix: "lambda-otlp/1/", endpoint });
app.synth();

// Compile-time errors.
const stack = () => new Stack(new App(), "Wrong");
// @ts-expect-error: no such level
assert.ok(new LambdaOtlp(stack(), "a", { artifactBucket: "artifacts", endpoint, logLevel: "loud" }));
// @ts-expect-error: no endpoint
assert.ok(new LambdaOtlp(stack(), "a", { artifactBucket: "artifacts" }));
// @ts-expect-error: no such output
assert.ok(otlp.output("layer"));

// Run-time errors.
const refuses = (props: ConstructorParameters<typeof LambdaOtlp>[2], expected: RegExp) =>
  assert.throws(() => new LambdaOtlp(stack(), "a", props), expected);
refuses({ endpoint }, /either zips, a folder, or artifactBucket/);
refuses({ endpoint, zips, artifactBucket: "artifacts" }, /either/);
refuses({ artifactBucket: "artifacts", endpoint: "o2.example.com" }, /endpoint is "o2.example.com". A URL that begins with/);
refuses({ artifactBucket: "artifacts", endpoint, logGroups: "/lambda-otlp/a" }, /logGroups is .* none begins with/);
refuses({ zips, endpoint, layers: "none", pythonLayer: "3.12" }, /there is no .*lambda-otlp-python3.12-layer.zip; run cargo xtask dist/);
refuses({ zips, endpoint, architecture: "x86_64" }, /lambda-otlp-layer-arm64.zip/);
