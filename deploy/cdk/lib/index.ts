import * as fs from "fs";
import * as path from "path";
import { CfnStack, FileSystem, Token, Tokenization } from "aws-cdk-lib";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";
import { OUTPUTS, PATTERNS, Settings } from "./settings";

export { Settings } from "./settings";

/** The settings, and the location of the functions' code: a folder or a bucket. */
export interface LambdaOtlpProps extends Settings {
  /**
   * Folder with the zips of `cargo xtask dist` (target/dist), which become assets.
   * @default - the zips are in artifactBucket
   */
  readonly zips?: string;

  /**
   * Name of the bucket that contains the zips, in the region of the stack.
   * @default - the zips are in the folder `zips`
   */
  readonly artifactBucket?: string;

  /**
   * Prefix of the zips' names in artifactBucket, as in lambda-otlp/2026-11-21/. Use a new prefix for each version.
   * @default ""
   */
  readonly artifactPrefix?: string;
}

const TEMPLATE = path.join(__dirname, "cloudformation.json");

/**
 * lambda-otlp as a nested stack. Settings may contain values that CloudFormation resolves, such as the ARN of a secret in this stack.
 */
export class LambdaOtlp extends Construct {
  /** The nested stack. */
  public readonly stack: CfnStack;

  constructor(scope: Construct, id: string, props: LambdaOtlpProps) {
    super(scope, id);
    const { zips, artifactBucket, artifactPrefix, ...settings } = props;
    if ((zips === undefined) === (artifactBucket === undefined)) {
      throw new Error("lambda-otlp: set either zips, a folder, or artifactBucket");
    }
    const parameters = told(settings);
    let file = TEMPLATE;
    if (zips !== undefined) {
      const template = JSON.parse(fs.readFileSync(TEMPLATE, "utf8"));
      Object.assign(parameters, this.withAssets(template, zips, settings));
      file = path.join(FileSystem.mkdtemp("lambda-otlp-"), "cloudformation.json");
      fs.writeFileSync(file, JSON.stringify(template, undefined, 1));
    } else {
      parameters.ArtifactBucket = artifactBucket!;
      parameters.ArtifactPrefix = artifactPrefix ?? "";
    }
    const template = new Asset(this, "Template", { path: file });
    this.stack = new CfnStack(this, "Stack", { templateUrl: template.httpUrl, parameters });
  }

  /**
   * An output of the stack; OUTPUTS in settings.ts describes them. Settings may exclude an output, such as layerArm64Arn with layers
   * "x86_64".
   */
  public output(name: keyof typeof OUTPUTS): string {
    return this.stack.getAtt(`Outputs.${OUTPUTS[name]}`).toString();
  }

  /** Changes the template to take each zip from an asset. Returns the parameters that name the assets. */
  private withAssets(template: any, folder: string, settings: Settings): { [name: string]: string } {
    const parameters: { [name: string]: string } = {};
    const assets = new Map<string, Asset>();
    for (const [name, resource] of Object.entries<any>(template.Resources)) {
      const code = resource.Properties?.Code ?? resource.Properties?.Content;
      const key = code?.S3Key?.["Fn::Sub"];
      if (key === undefined) continue;
      const zip = key.replace("${ArtifactPrefix}", "").replace("${Architecture}", settings.architecture ?? "arm64");
      const file = path.join(folder, zip);
      // A layer that the template's conditions exclude may be missing.
      if (!fs.existsSync(file) && !isNeeded(name, settings)) {
        code.S3Key = "none";
        continue;
      }
      if (!fs.existsSync(file)) throw new Error(`lambda-otlp: there is no ${file}; run cargo xtask dist`);
      const asset = assets.get(zip) ?? new Asset(this, zip, { path: file });
      assets.set(zip, asset);
      code.S3Key = { Ref: `${name}Key` };
      template.Parameters[`${name}Key`] = { Type: "String", Description: `The object with the code of ${name}.` };
      parameters[`${name}Key`] = asset.s3ObjectKey;
      parameters.ArtifactBucket = asset.s3BucketName;
    }
    return parameters;
  }
}

function isNeeded(resource: string, settings: Settings): boolean {
  const layers = settings.layers ?? "both";
  switch (resource) {
    case "LayerArm64":
      return layers === "both" || layers === "arm64";
    case "LayerX8664":
      return layers === "both" || layers === "x86_64";
    case "LayerNode":
      return settings.nodeLayer === true;
    default:
      return !resource.startsWith("LayerPython") || resource === `LayerPython${settings.pythonLayer?.replace(".", "")}`;
  }
}

/** Converts settings to parameters of CloudFormation. Throws if a setting does not match its pattern. */
function told(settings: Settings): { [name: string]: string } {
  const parameters: { [name: string]: string } = {};
  for (const [setting, value] of Object.entries(settings)) {
    if (value === undefined) continue;
    const said = text(value);
    const [pattern, wrong] = PATTERNS[setting] ?? [];
    if (pattern && !Token.isUnresolved(said) && !pattern.test(said)) {
      throw new Error(`lambda-otlp: ${setting} is ${JSON.stringify(said)}. ${wrong}`);
    }
    parameters[setting[0].toUpperCase() + setting.slice(1)] = said;
  }
  return parameters;
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "number") return Tokenization.stringifyNumber(value);
  return String(value);
}
