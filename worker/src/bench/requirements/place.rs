//! The interpreter that a lock is installed for, run in the box.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::job::{Context as _, Failure, JobLog};
use crate::process::{self, End, Sandbox, Spec, Stop, Tail};

/// Installing, with everything that has to be compiled.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// The interpreter that an environment is for, and what installing works with.
pub struct Place<'a> {
    /// Folder of all environments.
    pub environments: PathBuf,
    /// How many of them stay.
    pub kept: usize,
    /// Content hash of the interpreter.
    pub artefact_sha256: &'a str,
    /// The interpreter.
    pub python: &'a Path,
    /// Its own arguments, before any others.
    pub interpreter_arguments: &'a [OsString],
    /// The runtime's own variables.
    pub variables: &'a BTreeMap<String, OsString>,
    /// The job's folder.
    pub folder: &'a Path,
    /// The box.
    pub sandbox: &'a Sandbox,
    /// The job's log.
    pub log: &'a JobLog,
    /// Asks the installation to stop.
    pub stop: &'a Stop,
}

impl Place<'_> {
    /// Runs the interpreter in the box, where it may write to the environment; its last line, or why it failed.
    pub fn python(
        &self,
        arguments: &[&str],
        environment: &Path,
        home: &Path,
    ) -> Result<Result<String, String>, Failure> {
        let mut variables = BTreeMap::from([
            ("PATH".to_owned(), OsString::from("/usr/bin:/bin")),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("HOME".to_owned(), home.into()),
            ("TMPDIR".to_owned(), home.into()),
            ("PYTHONPATH".to_owned(), environment.into()),
            ("PIP_CONFIG_FILE".to_owned(), "/dev/null".into()),
            ("PYTHONHASHSEED".to_owned(), "0".into()),
        ]);
        for (name, value) in self.variables {
            variables
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        let mut command = vec![self.python.as_os_str().to_owned()];
        command.extend(self.interpreter_arguments.iter().cloned());
        command.extend(arguments.iter().map(OsString::from));
        let spec = Spec {
            command,
            environment: variables,
            folder: home.to_owned(),
            timeout: TIMEOUT,
        };
        let mut tail = Tail::new(20);
        let sandbox = self.sandbox.clone().with_writable(environment);
        let end = process::run(&sandbox, &spec, self.stop, &mut |line| {
            tail.push(line);
            self.log.line(line);
        })
        .transient("cannot run the interpreter")?;
        match end {
            End::Stopped => Err(Failure::stopped()),
            end if end.success() => Ok(Ok(tail.last().to_owned())),
            end => Ok(Err(format!(
                "{}; its last words:\n{}",
                end.describe(),
                tail.text()
            ))),
        }
    }
}
