//! How well a host can box: the levels, and which of them this host reaches, by trying.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::unistd::{Uid, User};
use serde::Deserialize;

use super::group::Groups;
use super::sandbox::{Limits, Sandbox, descriptors};
use super::seal::Seal;
use super::watch::Floor;
use super::{Spec, Stop, run};
use crate::config::Config;

/// How builds and benchmarks are kept apart, the weakest first. Each has all of those before it. See `docs/box.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Limits of each process, and another user where the worker is root: for trusted code on a machine that forbids namespaces.
    None,
    /// No network, no sight of other processes, all killed at the end.
    Namespaces,
    /// A read-only system without the host's files, sockets, devices and secrets.
    #[default]
    #[serde(alias = "required")]
    Sealed,
    /// Memory and processes of the whole tree are limited by a control group.
    Metered,
}

impl Level {
    /// Its name, as in `worker.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Namespaces => "namespaces",
            Self::Sealed => "sealed",
            Self::Metered => "metered",
        }
    }

    /// What it gives beside what the one before gives.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "limits of each process",
            Self::Namespaces => "no network, no other processes in sight, all killed at the end",
            Self::Sealed => {
                "the system read-only, nothing else of the host in sight, a /tmp of its own"
            }
            Self::Metered => "memory and processes of the whole tree limited",
        }
    }
}

/// What a host reaches.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The box at that level.
    pub sandbox: Sandbox,
    /// The level.
    pub level: Level,
    /// Why not the next one, and what would help. `None` at the highest, or where no more is asked for.
    pub obstacle: Option<String>,
}

impl Reached {
    /// What the box is, for people.
    pub fn describe(&self) -> String {
        let user = match self.sandbox.identity {
            Some((user, _)) => format!("user {user}"),
            None => "the worker's own user".to_owned(),
        };
        let levels = [
            Level::None,
            Level::Namespaces,
            Level::Sealed,
            Level::Metered,
        ];
        let parts = levels.into_iter().filter(|level| *level <= self.level);
        let parts: Vec<&str> = parts.map(Level::describe).collect();
        format!("{}: {user}; {}", self.level.as_str(), parts.join("; "))
    }
}

/// The best box that this host gives, found by running a program in it. An error: not even a wrong configuration's box can be tried.
pub fn reach(config: &Config) -> anyhow::Result<Reached> {
    let bare = bare(config)?;
    if config.isolation == Level::None {
        return Ok(Reached {
            sandbox: bare,
            level: Level::None,
            obstacle: None,
        });
    }
    let mut boxed = bare.clone();
    boxed.namespaces = true;
    boxed.user_namespace = bare.identity.is_none();
    let mut sealed = boxed.clone();
    sealed.seal = Some(seal(config)?);
    let Err(unsealed) = attempt(&sealed) else {
        return Ok(meter(config, sealed));
    };
    let obstacle = match attempt(&boxed) {
        Ok(()) => {
            return Ok(Reached {
                sandbox: boxed,
                level: Level::Namespaces,
                obstacle: Some(format!(
                    "the file system cannot be sealed ({unsealed}): the kernel must be Linux 5.12 or newer, and a container must let the \
                     worker mount (CAP_SYS_ADMIN, no AppArmor profile against it)"
                )),
            });
        }
        Err(error) => error,
    };
    Ok(Reached {
        sandbox: bare,
        level: Level::None,
        obstacle: Some(format!(
            "there are no namespaces here ({obstacle}): run the worker as root, or let its user have them (sysctl \
             user.max_user_namespaces, kernel.unprivileged_userns_clone=1); a container needs CAP_SYS_ADMIN"
        )),
    })
}

/// The box that a worker works with: the best of this host, which must be as good as the configuration asks for.
pub fn required(config: &Config) -> anyhow::Result<Reached> {
    let reached = reach(config)?;
    ensure!(
        reached.level >= config.isolation,
        "isolation: {:?} is asked for, and this host reaches {:?}: {}; or ask for less, for code that you trust",
        config.isolation.as_str(),
        reached.level.as_str(),
        reached.obstacle.as_deref().unwrap_or_default()
    );
    Ok(reached)
}

/// Another user and limits.
fn bare(config: &Config) -> anyhow::Result<Sandbox> {
    let identity = if Uid::effective().is_root() {
        let user =
            User::from_name(&config.user).context("user: the system's users cannot be read")?;
        let user = user.with_context(|| {
            format!(
                "user: there is no system user {:?}; make it: useradd --system --no-create-home --shell /usr/sbin/nologin {}",
                config.user, config.user
            )
        })?;
        ensure!(
            !user.uid.is_root(),
            "user: builds and benchmarks must not run as root"
        );
        Some((user.uid.as_raw(), user.gid.as_raw()))
    } else {
        None
    };
    Ok(Sandbox {
        identity,
        limits: Some(Limits {
            memory_mib: config.memory_mib,
            processes: config.processes,
            descriptors: descriptors(),
        }),
        floor: Some(Floor::new(&config.data, config.min_free_mib)),
        ..Sandbox::default()
    })
}

/// What can be seen of a worker's own folders: interpreters, harness and suites, and what benchmarks import.
fn seal(config: &Config) -> anyhow::Result<Seal> {
    let own = ["harness", "suites", "prefixes", "environments"];
    let mut visible: Vec<_> = own.iter().map(|name| config.data.join(name)).collect();
    visible.extend(config.visible.iter().cloned());
    if let Some(translator) = &config.translator {
        visible.extend(around(translator, &config.data));
    }
    Ok(Seal {
        program: std::env::current_exe().context("the worker's own program")?,
        visible,
        writable: Vec::new(),
        hidden: config
            .file
            .iter()
            .chain([&config.token_file])
            .cloned()
            .collect(),
        tmp: None,
        memory_folder_mib: 1024,
        group: None,
    })
}

/// What has to be seen to run an installed program: its folder, or what holds its `bin`. Never the worker's data, nor the root.
pub fn around(program: &Path, data: &Path) -> Vec<std::path::PathBuf> {
    let real = std::fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    let mut found = Vec::new();
    for path in [program, &real] {
        let folder = path.parent().unwrap_or(path);
        let above = folder.parent().filter(|_| folder.ends_with("bin"));
        let fits = |place: &&Path| place.parent().is_some() && !data.starts_with(place);
        let place = [above.unwrap_or(folder), folder, path]
            .into_iter()
            .find(fits);
        found.extend(place.map(Path::to_owned));
    }
    found.dedup();
    found
}

fn meter(config: &Config, sealed: Sandbox) -> Reached {
    let memory_mib = config.tree_memory_mib();
    let (groups, obstacle) = match Groups::open(memory_mib, config.processes) {
        Ok(groups) => (Some(groups), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let level = if groups.is_some() {
        Level::Metered
    } else {
        Level::Sealed
    };
    Reached {
        sandbox: Sandbox { groups, ..sealed },
        level,
        obstacle,
    }
}

/// Runs a program that does nothing in the box.
fn attempt(sandbox: &Sandbox) -> Result<(), String> {
    let spec = Spec {
        command: vec!["true".into()],
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: "/".into(),
        timeout: Duration::from_secs(20),
    };
    let mut words = String::new();
    match run(sandbox, &spec, &Stop::default(), &mut |line| {
        words = line.to_owned();
    }) {
        Ok(end) if end.success() => Ok(()),
        Ok(end) => Err(format!("{}: {words}", end.describe())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn levels_are_in_order_and_the_old_word_still_means_the_usual_one() {
        #[derive(Deserialize)]
        struct Text {
            isolation: Level,
        }
        let read = |word: &str| {
            let text: Text = toml::from_str(&format!("isolation = \"{word}\"")).unwrap();
            text.isolation
        };
        assert_eq!(read("required"), Level::default());
        for level in [
            Level::None,
            Level::Namespaces,
            Level::Sealed,
            Level::Metered,
        ] {
            assert_eq!(read(level.as_str()), level);
        }
        assert!(Level::None < Level::Namespaces && Level::Sealed < Level::Metered);
    }

    #[test]
    fn what_is_around_a_program_never_holds_the_workers_data() {
        let data = Path::new("/none/data");
        let of = |program: &str| around(Path::new(program), data);
        let path = |text: &str| vec![PathBuf::from(text)];
        assert_eq!(of("/none/jython/bin/jython"), path("/none/jython"));
        assert_eq!(of("/none/jython/run"), path("/none/jython"));
        assert_eq!(of("/none/bin/python"), path("/none/bin"));
        assert_eq!(of("/none/python"), path("/none/python"));
        assert_eq!(of("/bin-none"), path("/bin-none"));
    }
}
