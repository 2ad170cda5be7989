//! The driver: prepares, starts the services, loads them, reports. Runs in the box as a process of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::definition::{Load, Phase, WarmUp};
use super::events::{Event, Plan, Window};
use super::load::{Loading, repeat};
use super::service::{Running, prepare};

/// The driver's version: part of the harness's hash, to be raised with any change of what it measures.
pub const VERSION: &str = "workload driver 1";

/// The two pipes to the worker.
struct Worker {
    events: File,
    control: BufReader<File>,
}

impl Worker {
    /// Takes over the descriptors that the worker left open.
    fn open(events: i32, control: i32) -> anyhow::Result<Self> {
        let take = |fd: i32| -> anyhow::Result<File> {
            #[expect(
                unsafe_code,
                reason = "an inherited descriptor has no safe constructor"
            )]
            // SAFETY: the worker opened both for this process (`bench::command`), and nothing else here uses them.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            // Services must not hold them open.
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            Ok(File::from(fd))
        };
        Ok(Self {
            events: take(events)?,
            control: BufReader::new(take(control)?),
        })
    }

    fn say(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.events.write_all(&line).context("the worker is gone")
    }

    /// Says it and waits; true when the worker wants it again.
    fn ask(&mut self, event: &Event) -> anyhow::Result<bool> {
        self.say(event)?;
        let mut line = String::new();
        self.control.read_line(&mut line)?;
        match line.trim_end() {
            "ok" => Ok(false),
            "again" => Ok(true),
            other => bail!("the worker answered {other:?}"),
        }
    }
}

/// Runs the plan in a file. Returns when the worker has everything, or could be told why not.
pub fn drive(plan: &Path, events: i32, control: i32) -> anyhow::Result<()> {
    let mut worker = Worker::open(events, control)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(plan, &mut worker));
    if let Err(error) = &outcome {
        worker.say(&Event::Error {
            message: format!("{error:#}"),
        })?;
    }
    outcome
}

async fn run(plan: &Path, worker: &mut Worker) -> anyhow::Result<()> {
    let text = std::fs::read(plan).with_context(|| format!("cannot read {}", plan.display()))?;
    let plan: Plan = serde_json::from_slice(&text)?;
    worker.ask(&Event::Start)?;
    let folder = PathBuf::from(
        plan.values
            .get("folder")
            .context("the plan has no folder")?,
    );
    let cpus = plan.service_cpus.as_deref();
    for step in &plan.workload.prepare {
        worker.say(&Event::Progress {
            message: "prepare".to_owned(),
        })?;
        prepare(step, &plan.values, &folder, cpus).await?;
    }
    let mut services = Vec::new();
    for service in &plan.workload.services {
        worker.say(&Event::Progress {
            message: format!("start {}", service.name),
        })?;
        let running = Running::start(service, &plan.values, &folder, cpus).await?;
        worker.say(&Event::Service {
            name: service.name.clone(),
            pid: running.pid(),
            measured: service.measured,
        })?;
        services.push(running);
    }
    let mut bench = Bench {
        plan: &plan,
        services,
        values: BTreeMap::new(),
        payload: payload(&plan),
    };
    bench
        .measure(worker)
        .await
        .map_err(|error| bench.with_last_words(error))?;
    worker.ask(&Event::Finished)?;
    // In the opposite order: nobody loses a server that it still talks to.
    for service in bench.services.into_iter().rev() {
        service.end().await;
    }
    Ok(())
}

/// Bytes of bodies: not compressible, the same everywhere.
fn payload(plan: &Plan) -> Bytes {
    let phases = plan.workload.phases.iter();
    let mixes = phases.flat_map(|phase| {
        phase
            .mix
            .iter()
            .chain(phase.fill.iter().map(|fill| &fill.request))
    });
    let others = plan.workload.setup.iter().map(|setup| &setup.request);
    let all = mixes.chain(others).chain(&plan.workload.warmup.mix);
    let longest = all.map(|request| request.body_bytes).max().unwrap_or(0);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = std::iter::repeat_with(|| {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.flatten().take(longest).collect()
}

/// The running services and what is known of them.
struct Bench<'a> {
    plan: &'a Plan,
    services: Vec<Running>,
    values: BTreeMap<String, String>,
    payload: Bytes,
}

impl Bench<'_> {
    async fn measure(&mut self, worker: &mut Worker) -> anyhow::Result<()> {
        let workload = &self.plan.workload;
        for setup in &workload.setup {
            let headers = self
                .ask_often(&setup.request, setup.times)
                .await
                .context("setup")?;
            for (name, header) in &setup.save {
                let value = headers
                    .get(header)
                    .with_context(|| format!("setup: the answer has no header {header}"))?;
                self.values.insert(name.clone(), value.to_str()?.to_owned());
            }
        }
        let mut serial = 0;
        loop {
            worker.ask(&Event::Begin { phase: None })?;
            let window = self.warm_up(&workload.warmup, &mut serial).await?;
            self.check_alive()?;
            if !worker.ask(&Event::End { window })? {
                break;
            }
        }
        for index in &self.plan.phases {
            let phase = workload
                .phases
                .get(*index)
                .context("the plan names a phase that is not there")?;
            let window = self
                .phase(phase, *index, worker)
                .await
                .with_context(|| phase.name.clone())?;
            self.check_alive()?;
            worker.ask(&Event::End { window })?;
        }
        Ok(())
    }

    async fn ask_often(
        &self,
        request: &super::definition::Request,
        times: u64,
    ) -> anyhow::Result<hyper::HeaderMap> {
        repeat(
            &self.plan.workload.origin,
            request,
            times,
            &self.values,
            &self.payload,
        )
        .await
    }

    async fn warm_up(&self, warmup: &WarmUp, serial: &mut u64) -> anyhow::Result<Window> {
        let loading = Loading {
            origin: &self.plan.workload.origin,
            mix: &warmup.mix,
            load: Load::Closed {
                connections: warmup.connections,
            },
            seconds: warmup.window_seconds,
            requests: None,
            objects: warmup.objects,
            values: &self.values,
            payload: &self.payload,
            seed: self.plan.seed.wrapping_add(*serial),
        };
        loading.run(serial).await
    }

    async fn phase(
        &self,
        phase: &Phase,
        index: usize,
        worker: &mut Worker,
    ) -> anyhow::Result<Window> {
        if let Some(fill) = &phase.fill {
            worker.say(&Event::Progress {
                message: format!("{}: fill", phase.name),
            })?;
            self.ask_often(&fill.request, fill.times)
                .await
                .context("fill")?;
        }
        let mut loading = Loading {
            origin: &self.plan.workload.origin,
            mix: &phase.mix,
            load: phase.load,
            seconds: phase.settle_seconds,
            requests: None,
            objects: phase.objects,
            values: &self.values,
            payload: &self.payload,
            seed: self.plan.seed,
        };
        let mut serial = 0;
        if phase.settle_seconds > 0.0 {
            let settled = loading.run(&mut serial).await?;
            ensure!(
                settled.unexpected < settled.requests.max(1),
                "every answer was wrong; the first: {}",
                settled.first_unexpected.unwrap_or_default()
            );
        }
        loading.seconds = phase.seconds;
        loading.requests = phase.requests;
        worker.ask(&Event::Begin { phase: Some(index) })?;
        let window = loading.run(&mut serial).await?;
        Ok(Window {
            phase: Some(index),
            ..window
        })
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        self.services.iter_mut().try_for_each(Running::check_alive)
    }

    /// The error with what the services said last: why an answer was wrong is in their logs.
    fn with_last_words(&self, error: anyhow::Error) -> anyhow::Error {
        let words: Vec<String> = self
            .services
            .iter()
            .map(|service| (service.name.as_str(), service.tail()))
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| format!("{name} said last:\n{text}"))
            .collect();
        anyhow::anyhow!("{error:#}\n{}", words.join("\n"))
    }
}
