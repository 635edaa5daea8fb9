//! Shell completions and manual pages.

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp completions bash > ~/.local/share/bash-completion/completions/lambda-otlp
  lambda-otlp completions zsh > ~/.zfunc/_lambda-otlp
  lambda-otlp completions fish > ~/.config/fish/completions/lambda-otlp.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: clap_complete::Shell,
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lambda-otlp man ~/.local/share/man/man1 && man lambda-otlp-tail")]
pub(crate) struct ManArguments {
    /// The folder for one page per command; created if it is missing
    folder: PathBuf,
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    std::io::stdout().lock().write_all(&script(arguments.shell))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the completions as bytes, because clap's generator panics if its output is closed.
fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "lambda-otlp", &mut script);
    script
}

pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let at = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(at)?;
    clap_mangen::generate_to(command(), folder).with_context(at)?;
    Ok(ExitCode::SUCCESS)
}

fn command() -> Command {
    super::Arguments::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &Command, before: &str, names: &mut Vec<String>) {
        let name = [before, command.get_name()].join("");
        for command in command.get_subcommands() {
            self::names(command, &format!("{name}-"), names);
        }
        names.push(name);
    }

    #[test]
    fn each_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man1");
        man(&ManArguments { folder: pages.clone() }).unwrap();
        let mut expected = Vec::new();
        names(&command(), "", &mut expected);
        assert!(expected.iter().any(|name| name == "lambda-otlp-rules-check"), "{expected:?}");
        for name in expected {
            let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".TH"), "{name}");
        }
        // A file instead of a folder.
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = man(&ManArguments { folder: file.clone() }).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error:#}");
    }

    #[test]
    fn completion_scripts_contain_commands_and_arguments() {
        use clap::ValueEnum as _;
        for shell in clap_complete::Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for word in ["unsubscribe", "full-screen"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
