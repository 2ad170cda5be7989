//! An example for each command, shown below its `--help`. Commands that need more words bring their own.

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use super::Arguments;

/// Command, and the rest of its line; `speedwell-backend` and the command go before it.
const EXAMPLES: &[(&str, &str)] = &[
    ("serve", "--config /etc/speedwell/speedwell.toml"),
    ("check", "--config /etc/speedwell/speedwell.toml"),
    ("host", "add lab-1 --class xeon --token-file lab-1.token"),
    ("token", "add ada --role triager"),
    ("token add", "ada --role triager --token-file ada.token"),
    ("token list", ""),
    ("token revoke", "ada"),
    (
        "subscription",
        "add team --address team@example.org --runtimes 'cpython-*'",
    ),
    (
        "subscription add",
        "team --address team@example.org --runtimes 'cpython-*' --smallest 2 --digest daily",
    ),
    ("subscription list", ""),
    ("subscription remove", "team"),
    ("progress", "--once"),
    (
        "request",
        "cpython-main v3.14.0 --times 5 --benchmark nbody",
    ),
    ("redetect", ""),
    (
        "bisect",
        "cpython-main nbody v3.13.0 v3.14.0 --metric wall_time --host lab-1",
    ),
    ("recompute", "--set penalty=2 --runtime cpython-main"),
    (
        "demo-data",
        "--database-url postgres://speedwell@db/empty --measurements 1000000",
    ),
    ("cancel", "4711"),
    (
        "import",
        "results/ --runtime cpython-main --host old-lab --commit-from filename",
    ),
    (
        "try",
        "cpython-main my-branch --benchmarks 'nbody*' --follow",
    ),
    ("cluster", "/tmp/cluster --fast"),
];

/// Reads the command line.
pub(crate) fn parse() -> Arguments {
    let matches = with_examples(Arguments::command(), "").get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn with_examples(command: Command, path: &str) -> Command {
    let known = EXAMPLES.iter().find(|(name, _)| *name == path);
    let command = match known {
        Some((name, rest)) if command.get_after_help().is_none() => {
            let line = format!("speedwell-backend {name} {rest}");
            command.after_help(format!("Example:\n  {}", line.trim_end()))
        }
        Some(_) | None => command,
    };
    let names: Vec<String> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(&name, |one| with_examples(one, &path))
    })
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::super::Arguments;
    use super::{EXAMPLES, with_examples};

    /// Reads the help of a command and of all below it; the paths that were read.
    fn read(command: &mut Command, path: &str, found: &mut Vec<String>) {
        let help = command.render_long_help().to_string();
        if !path.is_empty() {
            assert!(
                help.contains(&format!("speedwell-backend {path}"))
                    || help.contains(&format!(" {path} ")),
                "{path} --help shows no example: add it to EXAMPLES\n{help}"
            );
            found.push(path.to_owned());
        }
        assert!(
            command.get_about().is_some() || path.is_empty(),
            "{path} does not say what it does"
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some() || argument.get_id() == "help",
                "{path}: {} is not explained",
                argument.get_id()
            );
        }
        for one in command
            .get_subcommands_mut()
            .filter(|one| one.get_name() != "help")
        {
            let path = format!("{path} {}", one.get_name());
            read(one, path.trim_start(), found);
        }
    }

    #[test]
    fn every_help_teaches_with_an_example_that_parses() {
        let mut command = with_examples(Arguments::command(), "");
        let mut found = Vec::new();
        read(&mut command, "", &mut found);
        assert!(found.len() > 30, "{found:?}");
        for (path, rest) in EXAMPLES {
            assert!(found.iter().any(|one| one == path), "there is no {path}");
            let line = format!("speedwell-backend {path} {rest}").replace('\'', "");
            let parsed = Arguments::command().try_get_matches_from(line.split_whitespace());
            parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
