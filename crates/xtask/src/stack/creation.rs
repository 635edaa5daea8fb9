//! Creates the stack on moto and reads the variables of its functions as the programs do.

use super::derived::{SHORT, SHORT_DIST, WHOLE};
use super::{Case, case, expanded};
use crate::checks::{Tally, output};
use crate::pypi::{self, Environment};
use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The output of `create_stack.py` for a stack.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) status: String,
    outputs: BTreeMap<String, String>,
    variables: Vec<HashMap<String, String>>,
    layers: Vec<String>,
    /// The number of event source mappings.
    mappings: usize,
    streams: Vec<String>,
}

/// A stack and its expected resources.
pub(super) struct Story {
    pub(super) name: &'static str,
    parameters: Case,
    layers: usize,
    mappings: usize,
    streams: usize,
}

const ACCOUNT: &str = "123456789012";
const ENDPOINT: (&str, &str) = ("Endpoint", "https://o2.example.com/api/default");

fn has_subscriber(story: &Story) -> bool {
    story.name.contains("subscriber")
}

fn story(name: &'static str, parameters: &[(&str, &str)]) -> Story {
    let mut parameters = case(parameters);
    parameters.extend(case(&[ENDPOINT]));
    Story { name, parameters, layers: 2, mappings: 1, streams: 0 }
}

const FOUR: &str = "the usual settings";

fn four(further: &[(&str, &str)]) -> Story {
    let secret = format!("arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:o2/main-AbCdEf");
    let said = [("Secret", secret.as_str()), ("LogGroups", "*"), ("Architecture", "x86_64")];
    story(FOUR, &[&said, further].concat())
}

pub(super) fn stories_of_whole() -> Vec<Story> {
    let arn = |service: &str, name: &str| format!("arn:aws:{service}:eu-west-1:{ACCOUNT}:{name}");
    let further = [arn("secretsmanager", "secret:a-AbCdEf"), arn("ssm", "parameter/b")].join(",");
    let secret_rules_kinesis = story(
        "secret, rules, Kinesis",
        &[
            ("LogGroups", "/aws/lambda/orders"),
            ("Collect", "telemetry"),
            ("Secret", &arn("secretsmanager", "secret:o2-AbCdEf")),
            ("KmsKeyArns", &arn("kms", "key/1")),
            ("Rules", "/o2/rules"),
            ("DestinationSecretArns", &further),
            ("KinesisStreamArn", &arn("kinesis", "stream/logs")),
            ("StorageKmsKeyArn", &arn("kms", "key/2")),
            ("ReservedConcurrency", "5"),
            ("AlarmTopicArn", &arn("sns", "alarms")),
        ],
    );
    let parameter_store = story(
        "parameter store, rules in the package, no alarms, no layer",
        &[
            ("Secret", "/o2/auth#authorization"),
            ("Rules", "rules.toml"),
            ("Stream", "lambda"),
            ("Vitals", "otlp"),
            ("HttpsProxy", "http://proxy.example.com:3128"),
            ("NoProxy", "sqs.eu-west-1.amazonaws.com"),
            ("Undecodable", "log"),
            ("Alarms", "false"),
            ("Layers", "none"),
        ],
    );
    let own_stream = story(
        "a stream of its own for the whole account",
        &[("LogGroups", "*"), ("CreateKinesisStream", "true"), ("Vitals", "both")],
    );
    let by_subscriber = story(
        "log groups by the subscriber",
        &[
            ("LogGroups", "/aws/lambda/*,/ecs/shop"),
            ("ExcludedLogGroups", "*-dev"),
            ("SubscribeTags", "team=shop"),
            ("SubscribeBesideOthers", "true"),
            ("Collect", "telemetry"),
        ],
    );
    let by_subscriber_into_a_stream = story(
        "log groups by the subscriber, into a stream",
        &[("LogGroups", "/aws/lambda/*"), ("CreateKinesisStream", "true")],
    );
    vec![
        by_subscriber,
        Story { mappings: 2, streams: 1, ..by_subscriber_into_a_stream },
        story("as few parameters as can be", &[]),
        four(&[]),
        Story { mappings: 2, streams: 1, ..secret_rules_kinesis },
        Story { layers: 0, ..parameter_store },
        Story { mappings: 2, streams: 1, ..own_stream },
    ]
}

pub(super) fn check(root: &Path, tools: &Environment, tally: &mut Tally) {
    let Some(moto) = pypi::install(root, "moto", "create_stack on moto") else { return };
    let pattern = story("a pattern for the subscriber", &[("LogGroups", "/aws/lambda/*")]);
    let artifacts = [("ArtifactBucket", "artifacts"), ("ArtifactPrefix", "lambda-otlp/1/")];
    let stories = [
        (WHOLE, stories_of_whole()),
        (SHORT, vec![story("as few parameters as can be", &[]), four(&[]), pattern]),
        (SHORT_DIST, vec![four(&artifacts)]),
    ];
    let mut of_four = Vec::new();
    for (template, stories) in stories {
        let name = |story: &Story| format!("create_stack on moto, {template}, {}", story.name);
        match create(root, tools, &moto, template, None, &stories) {
            Ok(created) => {
                for (story, created) in stories.iter().zip(created) {
                    tally.note(&name(story), as_it_should_be(&created, story));
                    if story.name == FOUR {
                        of_four.push((template, created));
                    }
                }
            }
            Err(error) => tally.note(&format!("create_stack on moto, {template}"), Err(error)),
        }
    }
    tally.note("the usual settings, by each template", the_same(&of_four));
}

pub(super) fn create(
    root: &Path,
    tools: &Environment,
    moto: &Environment,
    template: &str,
    older: Option<&str>,
    stories: &[Story],
) -> anyhow::Result<Vec<Created>> {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for template in std::iter::once(template).chain(older) {
        let (expanded, _) = expanded(root, tools, template, &[])?;
        let file = folder.path().join(files.len().to_string());
        std::fs::write(&file, expanded.to_string())?;
        files.push(file);
    }
    let parameters: Vec<&Case> = stories.iter().map(|story| &story.parameters).collect();
    let mut create = moto.script(&root.join("crates/xtask/src/moto/create_stack.py"));
    let (template, older) = files.split_at(1);
    let printed = output(create.args(template).arg(json!(parameters).to_string()).args(older))?;
    serde_json::from_slice(&printed.stdout).context("what create_stack.py printed")
}

fn the_same(created: &[(&str, Created)]) -> anyhow::Result<String> {
    let told = |created: &Created| {
        let variables = created.variables.first().cloned().unwrap_or_default();
        // moto generates the names of the queues. An empty variable counts as not set.
        let told = variables
            .into_iter()
            .filter(|(name, value)| !name.ends_with("_QUEUE_URL") && !value.is_empty());
        told.collect::<BTreeMap<_, _>>()
    };
    let Some(((first, whole), others)) = created.split_first() else { bail!("none was created") };
    ensure!(others.len() == 2, "{} templates were created", created.len());
    for (template, other) in others {
        let (one, other) = (told(whole), told(other));
        ensure!(one == other, "{first}: {one:#?}; {template}: {other:#?}");
    }
    Ok(format!("{} variables, the same in each", told(whole).len()))
}

fn as_it_should_be(created: &Created, story: &Story) -> anyhow::Result<String> {
    if created.status != "CREATE_COMPLETE" {
        bail!("{}", created.status);
    }
    let found = [created.layers.len(), created.mappings, created.streams.len()];
    let expected = [story.layers, story.mappings, story.streams];
    ensure!(
        found == expected,
        "layers, event source mappings, streams: {found:?}, not {expected:?}"
    );
    let is_subscriber =
        |variables: &&HashMap<String, String>| variables.contains_key("LAMBDA_OTLP_INCLUDE");
    let subscribers = created.variables.iter().filter(is_subscriber).count();
    let expected = usize::from(has_subscriber(story));
    if created.variables.len() != 2 + expected || subscribers != expected {
        bail!("{} functions, of them {subscribers} subscribers", created.variables.len());
    }
    for variables in &created.variables {
        let is_subscriber = is_subscriber(&variables);
        let mut variables = variables.clone();
        // Lambda sets these from the function's role.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            variables.insert(name.to_owned(), "of-the-role".to_owned());
        }
        let warnings = if is_subscriber {
            variables.insert("AWS_REGION".to_owned(), "eu-west-1".to_owned());
            let (config, warnings) = ::subscriber::Config::from_source(&variables);
            config.context("the subscriber refuses the variables")?;
            warnings
        } else {
            let (config, warnings) = forwarder::Config::from_source(&variables);
            config.context("the forwarder refuses the variables")?;
            warnings
        };
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        if !warnings.is_empty() {
            bail!("a function warns: {}", warnings.join("; "));
        }
    }
    Ok(format!(
        "CREATE_COMPLETE, {} outputs, {} variables that the functions take",
        created.outputs.len(),
        created.variables.iter().map(HashMap::len).max().unwrap_or_default()
    ))
}
