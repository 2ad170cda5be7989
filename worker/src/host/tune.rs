//! Makes a host quieter, and puts everything back: each setting's old value is on disk before it is changed.
//!
//! A crash leaves the files; [`restore`] (at the worker's next start, or by hand) reads them. Nothing here survives a reboot,
//! and neither do the settings.

mod knobs;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::processors::ProcessorSet;
use super::system::System;

/// One setting's value before it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Old {
    path: String,
    value: String,
}

/// A setting and the value that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    path: String,
    value: String,
}

/// A host that has been made quieter. Ended by [`Tuning::end`]; after a crash by [`restore`].
#[derive(Debug)]
pub struct Tuning {
    system: System,
    folder: PathBuf,
    /// What was changed, and what could not be.
    pub report: Vec<String>,
    /// Held open: the kernel keeps out of deep idle states as long as it is.
    _latency: Option<File>,
}

/// Applies every knob that this host has. `folder` keeps the old values, one file for each knob.
pub fn apply(system: &System, cpus: Option<&str>, folder: &Path) -> anyhow::Result<Tuning> {
    let benchmarks = cpus.and_then(ProcessorSet::from_list).context(
        "cpus: tuning needs the benchmarks' processors, such as cpus = \"2-3\" in worker.toml",
    )?;
    let others = system.online().without(&benchmarks);
    ensure!(
        !others.is_empty(),
        "cpus: {benchmarks} are all processors of this host; leave one for everything else"
    );
    // Old values of a worker that crashed are the true ones.
    restore(system, folder)?;
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut report = Vec::new();
    for knob in knobs::KNOBS {
        let changes = (knob.plan)(system, &benchmarks, &others);
        let due: Vec<(Change, Old)> = changes
            .into_iter()
            .filter_map(|change| {
                let value = knobs::current(system, &change.path)?;
                let path = change.path.clone();
                (value != change.value).then_some((change, Old { path, value }))
            })
            .collect();
        if !due.is_empty() {
            report.push(turn(system, folder, knob.name, &due)?);
        }
    }
    let latency = hold_latency(system);
    if latency.is_some() {
        report.push("idle_states: kept shallow while this runs".to_owned());
    }
    Ok(Tuning {
        system: system.clone(),
        folder: folder.to_owned(),
        report,
        _latency: latency,
    })
}

/// Changes one knob's settings, the old values kept first. Settings that the kernel refuses stay as they are.
fn turn(
    system: &System,
    folder: &Path,
    name: &str,
    due: &[(Change, Old)],
) -> anyhow::Result<String> {
    let old: Vec<&Old> = due.iter().map(|(_, old)| old).collect();
    let file = folder.join(format!("{name}.json"));
    keep(&file, &serde_json::to_vec(&old)?)
        .with_context(|| format!("cannot keep the old values in {}", file.display()))?;
    let mut refused = Vec::new();
    for (change, _) in due {
        if let Err(error) = system.write(&change.path, &change.value) {
            refused.push(format!("{}: {error}", change.path));
        }
    }
    let done = due.len() - refused.len();
    let value = due.first().map_or("", |(change, _)| change.value.as_str());
    let mut words = format!("{name}: {done} of {} set to {value}", due.len());
    if let Some(first) = refused.first() {
        words.push_str(&format!(" ({first})"));
    }
    Ok(words)
}

/// Writes a file so that it is there whole, or not at all, whatever happens.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = file.with_extension("part");
    let mut out = File::create(&temporary)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&temporary, file)?;
    file.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn hold_latency(system: &System) -> Option<File> {
    let path = system.path("/dev/cpu_dma_latency");
    let mut file = File::options().write(true).open(path).ok()?;
    // A binary 32-bit number of microseconds, as Documentation/power/pm_qos_interface.rst has it.
    file.write_all(&0_i32.to_ne_bytes()).ok()?;
    Some(file)
}

/// Puts back what the files in `folder` remember, the last changed first. Returns what was put back. A setting that the
/// kernel refuses keeps its file.
pub fn restore(system: &System, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut report = Vec::new();
    for knob in knobs::KNOBS.iter().rev() {
        let file = folder.join(format!("{}.json", knob.name));
        let Ok(bytes) = fs::read(&file) else {
            continue;
        };
        let old: Vec<Old> = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged: look at it, and remove it", file.display()))?;
        let mut failed = None;
        for one in &old {
            let changed = knobs::current(system, &one.path).is_some_and(|now| now != one.value);
            if changed && let Err(error) = system.write(&one.path, &one.value) {
                failed = Some(format!("{}: {error}", one.path));
            }
        }
        match failed {
            None => {
                fs::remove_file(&file)
                    .with_context(|| format!("cannot remove {}", file.display()))?;
                report.push(format!("{}: as before", knob.name));
            }
            Some(words) => report.push(format!("{}: not put back ({words})", knob.name)),
        }
    }
    Ok(report)
}

impl Tuning {
    /// Puts everything back.
    pub fn end(self) -> anyhow::Result<Vec<String>> {
        restore(&self.system, &self.folder)
    }
}

/// What no program can change while the kernel runs: its command line, and systemd's processors.
pub fn boot_text(system: &System, cpus: Option<&str>) -> anyhow::Result<String> {
    let benchmarks = cpus
        .and_then(ProcessorSet::from_list)
        .context("cpus: name the benchmarks' processors in worker.toml, such as cpus = \"2-3\"")?;
    let others = system.online().without(&benchmarks);
    ensure!(
        !others.is_empty(),
        "cpus: {benchmarks} are all processors of this host; leave one for everything else"
    );
    Ok(format!(
        "# The kernel's command line, in /etc/default/grub (then update-grub and reboot):\n\
         GRUB_CMDLINE_LINUX=\"nosmt isolcpus=managed_irq,domain,{benchmarks} nohz_full={benchmarks} \
         rcu_nocbs={benchmarks} irqaffinity={others} intel_idle.max_cstate=1 processor.max_cstate=1 \
         nmi_watchdog=0 transparent_hugepage=madvise\"\n\n\
         # /etc/systemd/system.conf.d/speedwell.conf: everything that systemd starts stays on the others\n\
         [Manager]\nCPUAffinity={others}\n\n\
         # /etc/systemd/system/speedwell-worker.service.d/processors.conf: the worker gives the benchmarks theirs itself\n\
         [Service]\nCPUAffinity={}\n",
        system.online()
    ))
}

#[cfg(test)]
mod tests;
