//! The deployment that is checked: the parameters and outputs of its stack, and the arguments of commands about it.

use super::answers::Question;
use crate::aws::{self, Aws, AwsArguments, StackValues};
use crate::instrument::is_same_layer;
use console::time_arguments::TimeArgument;
use settings::Check;
use subscriber::{Collect, Selection, parse_patterns, parse_tags};

/// The arguments that name the deployed forwarder and its log groups.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("deployed").args(["function", "stack"])))]
pub(crate) struct DeploymentArguments {
    /// The forwarder's function, by name or ARN.
    #[arg(long, value_name = "NAME")]
    pub(super) function: Option<String>,
    /// The stack with the forwarder.
    #[arg(long, value_name = "NAME")]
    pub(super) stack: Option<String>,
    /// A log group that should be forwarded, or a pattern with `*` such as `/aws/lambda/shop-*`; may be repeated.
    #[arg(long = "log-group", value_name = "PATTERN", requires = "deployed")]
    pub(super) log_groups: Vec<String>,
    /// Search the logs of the stack's functions since this age or time: `2h`.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse, default_value = "1h")]
    pub(super) since: TimeArgument,
}

impl DeploymentArguments {
    /// Returns the flags that name the deployment: `--stack NAME`, or `--function NAME`.
    pub(super) fn flags(&self) -> String {
        match (&self.stack, &self.function) {
            (Some(stack), _) => format!("--stack {stack}"),
            (None, name) => format!("--function {}", name.as_deref().unwrap_or_default()),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.function.is_some() || self.stack.is_some()
    }
}

/// The deployed forwarder with the parameters and outputs of its stack.
#[derive(Debug, Default)]
pub(crate) struct Deployment {
    stack: Option<String>,
    /// The flags that name it: `--stack NAME`, or `--function NAME`.
    name_flags: String,
    /// The region and profile of the command line as flags, each with a space before it.
    pub(super) aws_flags: String,
    values: StackValues,
}

impl Deployment {
    /// Reads the parameters and outputs of the stack, if the command line names one.
    pub(super) async fn read(
        aws: &Aws,
        aws_arguments: &AwsArguments,
        deployed: &DeploymentArguments,
        checks: &mut Vec<Check>,
    ) -> Self {
        let stack = deployed.stack.clone();
        let values = match &stack {
            Some(name) => {
                let question = Question {
                    check: "stack",
                    subject: name,
                    permission: "cloudformation:DescribeStacks",
                };
                question.answered_explained(aws::stack_values(aws, name).await, checks)
            }
            None => None,
        };
        let aws_flags = aws_arguments.flags();
        let name_flags = deployed.flags();
        Self { stack, name_flags, aws_flags, values: values.unwrap_or_default() }
    }

    /// The flags with which `doctor` finds it: `--stack NAME`, or `--function NAME`, with region and profile.
    pub(super) fn doctor_flags(&self) -> String {
        format!("{}{}", self.name_flags, self.aws_flags)
    }

    /// The flags of commands that take a stack or none: ` --stack NAME`, with region and profile, and a space before.
    pub(super) fn stack_flags(&self) -> String {
        let stack = self.stack.as_ref().map(|stack| format!(" --stack {stack}"));
        stack.unwrap_or_default() + &self.aws_flags
    }

    /// The flags of `subscribe`: `--stack NAME`, or `--destination ARN` with the forwarder's ARN, with region and profile.
    pub(super) fn subscribe_flags(&self, forwarder: &str) -> String {
        aws::forwarder_flags(self.stack.as_deref(), forwarder, &self.aws_flags)
    }

    /// The flags of `redrive`, from the dead-letter queue or from this bucket, to the retry queue.
    pub(super) fn redrive_flags(
        &self,
        dead_letters: &str,
        retry: Option<&str>,
        bucket: Option<&str>,
    ) -> String {
        let aws_flags = &self.aws_flags;
        let from_bucket = bucket.map(|bucket| format!(" --bucket {bucket}")).unwrap_or_default();
        match (&self.stack, bucket) {
            (Some(stack), _) => format!("--stack {stack}{from_bucket}{aws_flags}"),
            (None, bucket) => {
                let from = match bucket {
                    Some(bucket) => format!("--bucket {bucket}"),
                    None => format!("--from {dead_letters}"),
                };
                let to = retry.map(|to| format!(" --to {to}")).unwrap_or_default();
                format!("{from}{to}{aws_flags}")
            }
        }
    }

    /// Returns an output of the stack as a word of a command, or else a placeholder with a hint about its meaning.
    pub(super) fn command_word(
        &self,
        output: &str,
        placeholder: &'static str,
        meaning: &str,
    ) -> CommandWord<'_> {
        match self.values.outputs.get(output) {
            Some(word) => CommandWord { word, hint: String::new() },
            None => CommandWord { word: placeholder, hint: format!(", with {meaning}") },
        }
    }

    /// Returns `true` if the stack's outputs name this layer, in any version.
    pub(super) fn publishes(&self, layer_version: &str) -> bool {
        self.values.outputs.values().any(|value| is_same_layer(value, layer_version))
    }

    /// Returns the value of a parameter; `None` if it is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.values.parameters.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Returns the selection of the stack's subscriber. `None` without a stack.
    pub(super) fn selection(&self) -> Option<Selection> {
        self.stack.as_ref()?;
        let value = |name: &str| self.parameter(name).unwrap_or_default();
        // The stack rejected mistakes when it was deployed.
        let patterns = |name: &str| parse_patterns(value(name)).unwrap_or_default();
        let tags = parse_tags(value("SubscribeTags")).unwrap_or_default();
        Some(Selection::new(patterns("LogGroups"), patterns("ExcludedLogGroups"), tags, []))
    }

    /// Returns the lines that the stack's subscriptions forward.
    pub(super) fn collect(&self) -> Collect {
        let word = self.parameter("Collect").unwrap_or_default();
        word.parse().unwrap_or(Collect::All)
    }
}

/// A word of a command that may be unknown.
#[derive(Debug)]
pub(super) struct CommandWord<'a> {
    pub(super) word: &'a str,
    /// The text after the command; empty if the word is known.
    pub(super) hint: String,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stack with these parameters and outputs.
    pub(in crate::doctor) fn stack(
        name: &str,
        parameters: &[(&str, &str)],
        outputs: &[(&str, &str)],
    ) -> Deployment {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Deployment {
            stack: Some(name.to_owned()),
            name_flags: format!("--stack {name}"),
            values: StackValues { parameters: owned(parameters), outputs: owned(outputs) },
            aws_flags: " --region eu-west-1".to_owned(),
        }
    }

    #[test]
    fn commands_about_a_deployment_name_it_with_region_and_profile() {
        let by_stack = stack("o2", &[("Collect", "telemetry")], &[]);
        let by_name = Deployment {
            name_flags: "--function forwarder".to_owned(),
            aws_flags: " --profile shop".to_owned(),
            ..Deployment::default()
        };
        assert_eq!(by_stack.doctor_flags(), "--stack o2 --region eu-west-1");
        assert_eq!(by_name.doctor_flags(), "--function forwarder --profile shop");
        assert_eq!(by_stack.stack_flags(), " --stack o2 --region eu-west-1");
        assert_eq!(by_name.stack_flags(), " --profile shop");
        assert_eq!(by_stack.subscribe_flags("arn:f"), "--stack o2 --region eu-west-1");
        assert_eq!(by_name.subscribe_flags("arn:f"), "--destination arn:f --profile shop");
        let redrive = |deployment: &Deployment, bucket| {
            deployment.redrive_flags("https://sqs/dead", Some("https://sqs/retry"), bucket)
        };
        assert_eq!(redrive(&by_stack, None), "--stack o2 --region eu-west-1");
        assert_eq!(redrive(&by_stack, Some("b")), "--stack o2 --bucket b --region eu-west-1");
        let with_queues = "--from https://sqs/dead --to https://sqs/retry --profile shop";
        assert_eq!(redrive(&by_name, None), with_queues);
        let with_bucket = "--bucket b --to https://sqs/retry --profile shop";
        assert_eq!(redrive(&by_name, Some("b")), with_bucket);
        assert_eq!((by_stack.collect(), by_name.collect()), (Collect::Telemetry, Collect::All));
    }
}
