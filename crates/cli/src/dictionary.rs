//! `lambda-otlp dictionary`: trains a dictionary of compact lines from the lines of the user's functions.

use crate::lines::{Found, Joining, Line, Writer, next_line, open};
use anyhow::{Context as _, bail, ensure};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use wire::compact::{self, Encoder, Flags, Names, Sample};
use wire::protobuf::{messages, plain_attribute};
use wire::{Request, resource};

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  aws logs tail /aws/lambda/shop --since 1d > shop.log
  lambda-otlp dictionary train shop.log orders.log")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: DictionaryCommand,
}

#[derive(clap::Subcommand)]
enum DictionaryCommand {
    /// Train a dictionary from OTLP lines, standard or compact, and show how much shorter compact lines become.
    Train(TrainArguments),
}

#[derive(clap::Args)]
struct TrainArguments {
    /// Files of lines; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// The file to write. Its name states the number of the dictionary, which must be new.
    #[arg(long, value_name = "FILE", default_value = "dictionaries/dictionary-64.bin")]
    output: PathBuf,
    #[command(flatten)]
    writer: Writer,
}

/// Requests of earlier lines are forgotten: functions change.
const MOST_REQUESTS: usize = 4000;
/// Parts of the requests. One measures the dictionary of the others.
const PARTS: usize = 4;
const LEAST_REQUESTS: usize = 20;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let DictionaryCommand::Train(arguments) = &arguments.command;
    let output = arguments.output.display();
    let number = compact::OwnDictionary::number_of(&arguments.output)
        .map_err(|reason| anyhow::anyhow!("cannot write {output}: {reason}"))?;
    if arguments.output.exists() {
        bail!("{output} exists, and lines may need it: choose another number with --output");
    }
    let mut requests = Vec::new();
    for file in &arguments.files {
        requests.extend(requests_of(file, arguments.writer.clone())?);
    }
    let requests = requests.split_off(requests.len().saturating_sub(MOST_REQUESTS));
    ensure!(
        requests.len() >= LEAST_REQUESTS,
        "{} requests are too few for a dictionary: give files with at least {LEAST_REQUESTS}",
        requests.len()
    );
    let measured = requests.iter().step_by(PARTS);
    let trained = train(requests.iter().enumerate().filter(|(at, _)| at % PARTS != 0));
    let bytes = |mut encoder: Encoder| -> usize {
        let content =
            |request| encoder.text(&names(request).context(), Flags::default(), &[request]).len();
        measured.clone().map(content).sum::<usize>() / measured.len()
    };
    let (standard, own) = (bytes(Encoder::default()), bytes(Encoder::new(number, trained.into())));
    if let Some(folder) = arguments.output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&arguments.output, train(requests.iter().enumerate()))
        .with_context(|| format!("cannot write {output}"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{output}: made from {} requests", requests.len())?;
    writeln!(out, "a request has {own} bytes in a compact line, instead of {standard}")?;
    Ok(ExitCode::SUCCESS)
}

fn requests_of(file: &str, writer: Writer) -> anyhow::Result<Vec<Request>> {
    let mut input = open(file)?;
    let mut joining = Joining::new(writer);
    let mut requests = Vec::new();
    let mut take = |found: Vec<(usize, Found)>| {
        for (number, found) in found {
            let Found::Otlp(reading) = found else { continue };
            requests.extend(reading.decoded.into_iter().map(|decoded| decoded.request));
            for undecodable in &reading.undecodable {
                let reason = crate::lines::reason(&undecodable.reason);
                eprintln!("{file}:{number}: left out: {reason}");
            }
        }
    };
    for number in 1usize.. {
        match next_line(&mut input).with_context(|| format!("cannot read {file}"))? {
            Line::End => break,
            Line::Text(line) => take(joining.take(number, line)),
            Line::TooLong => eprintln!("{file}:{number}: left out: the line is too long"),
        }
    }
    take(joining.rest());
    Ok(requests)
}

fn train<'r>(requests: impl Iterator<Item = (usize, &'r Request)>) -> Vec<u8> {
    let mut encoder = Encoder::new(0, (&[]).into());
    let samples = requests.map(|(at, request)| Sample {
        skeleton: encoder.skeleton(&names(request).context(), &[request]).to_vec(),
        groups: vec![at % PARTS],
    });
    compact::train(&samples.collect::<Vec<_>>())
}

/// The names of the function that wrote a request, by its resource: its lines leave them out.
fn names(request: &Request) -> Names {
    let text = |key| resource_text(request, key).unwrap_or_default();
    let (function, stream) = (text(resource::FAAS_NAME), text(resource::FAAS_INSTANCE));
    let group = format!("/aws/lambda/{function}");
    Names::of_function(&function, &text(resource::CLOUD_REGION), &group, &stream)
        .with_account(&text(resource::CLOUD_ACCOUNT_ID))
}

fn resource_text(request: &Request, key: &str) -> Option<String> {
    // Field numbers: opentelemetry-proto 1.x; those of a container, its resource, an attribute, and text are all 1.
    let resources = messages(request.bytes(), 1).flat_map(|container| messages(container, 1));
    let mut attributes =
        resources.flat_map(|resource| messages(resource, 1)).filter_map(plain_attribute);
    let (_, value) = attributes.find(|(name, _)| *name == key.as_bytes())?;
    messages(value, 1).next().map(|text| String::from_utf8_lossy(text).into_owned())
}
