//! A workload's TOML: services, preparation, setup requests, warm-up and load phases. Parsed, checked, and handed to the
//! driver as it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// Placeholders of commands: the interpreter, the suite's own folder, the empty folder of this repetition, its user.
pub const COMMAND_PLACEHOLDERS: [&str; 4] = ["python", "own", "folder", "user"];
/// Placeholders of requests: a random object below `objects`; one that no other connection of the window asks for, to be
/// written to; and a number that no earlier request of the phase had.
const REQUEST_PLACEHOLDERS: [&str; 3] = ["index", EXCLUSIVE, "serial"];
const EXCLUSIVE: &str = "exclusive";

/// A whole workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Where requests go: `127.0.0.1:PORT`.
    pub origin: String,
    /// Commands that prepare data, in order, before any service starts.
    #[serde(default)]
    pub prepare: Vec<Step>,
    /// What is started, in order, each when the one before it is ready. All of them stay in the foreground.
    #[serde(rename = "service")]
    pub services: Vec<Service>,
    /// Requests made once the services are ready: log in, make what the load needs.
    #[serde(default)]
    pub setup: Vec<Setup>,
    /// The load that warms the servers up; how long is the plan's to say.
    pub warmup: WarmUp,
    /// The measured phases. Each is a benchmark.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

/// A command of the preparation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Program and arguments, with placeholders.
    pub command: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, for messages and logs.
    pub name: String,
    /// Program and arguments, with placeholders.
    pub command: Vec<String>,
    /// The port that it accepts connections on once it is ready.
    pub port: u16,
    /// A path that it answers with 200 once it is ready; absent: accepting connections is enough.
    pub path: Option<String>,
    /// It is ready within this many seconds, or the repetition fails.
    pub ready_seconds: u64,
    /// False for a server that is no interpreter under test: its time and memory are not counted.
    #[serde(default = "yes")]
    pub measured: bool,
}

fn yes() -> bool {
    true
}

/// A request of the setup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// What is asked.
    pub request: Request,
    /// How often, with `{serial}` from 0.
    #[serde(default = "once")]
    pub times: u64,
    /// Headers of the last answer that later requests use: placeholder = header.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

fn once() -> u64 {
    1
}

/// The load before anything is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// Length of one window in seconds: after each, processor time per request is looked at.
    pub window_seconds: f64,
    /// `{index}` and `{exclusive}` are below this.
    #[serde(default = "once")]
    pub objects: u64,
    /// What is asked, by weight.
    pub mix: Vec<Request>,
}

/// One measured phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The benchmark's name.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// How requests arrive.
    pub load: Load,
    /// Length of the measured window in seconds.
    pub seconds: f64,
    /// The same load for this long before the window.
    #[serde(default)]
    pub settle_seconds: f64,
    /// The window ends early after this many requests: where they use something up.
    pub requests: Option<u64>,
    /// `{index}` and `{exclusive}` are below this.
    #[serde(default = "once")]
    pub objects: u64,
    /// Requests made before the phase, unmeasured: what it uses up.
    pub fill: Option<Fill>,
    /// What is asked, by weight.
    pub mix: Vec<Request>,
}

/// Requests that prepare a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// How many, with `{serial}` from 0.
    pub times: u64,
    /// What is asked.
    pub request: Request,
}

/// How requests arrive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// Each connection sends its next request when it has its answer: gives the throughput. Latencies are those at
    /// saturation.
    Closed {
        /// Connections.
        connections: u32,
    },
    /// Requests arrive at a rate of their own (a Poisson process from a fixed seed: the same arrivals for every runtime),
    /// whatever the servers do: gives response times. Latency counts from the intended arrival.
    Open {
        /// Mean arrivals per second.
        rate: f64,
        /// Most requests under way at once; later ones wait, and their wait counts.
        connections: u32,
    },
}

impl Load {
    /// Most requests under way at once.
    pub fn connections(self) -> u32 {
        match self {
            Self::Closed { connections } | Self::Open { connections, .. } => connections,
        }
    }
}

/// One kind of request and what its answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Share among the requests of its mix.
    #[serde(default = "one")]
    pub weight: u32,
    /// The method.
    pub method: String,
    /// The path, with placeholders.
    pub path: String,
    /// Headers, with placeholders.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body of this many bytes.
    #[serde(default)]
    pub body_bytes: usize,
    /// A body of this text, with placeholders; instead of `body_bytes`.
    pub body: Option<String>,
    /// Statuses that are right; any other makes the window invalid.
    pub status: Vec<u16>,
    /// Length that the answer's body must have.
    pub answer_bytes: Option<u64>,
    /// Text that the answer's body must hold, with placeholders: the answer is about what was asked for.
    pub answer_holds: Option<String>,
}

fn one() -> u32 {
    1
}

impl Workload {
    /// Parses and validates; `origin` names the file in errors.
    pub fn parse(text: &str, file: &str) -> anyhow::Result<Self> {
        let workload: Self =
            toml::from_str(text).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
        workload
            .check()
            .map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
        Ok(workload)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.services.is_empty(), "service: at least one is needed");
        ensure!(!self.phases.is_empty(), "phase: at least one is needed");
        ensure!(
            self.origin
                .parse::<std::net::SocketAddr>()
                .is_ok_and(|a| a.ip().is_loopback()),
            "origin: {:?} is no loopback address with a port",
            self.origin
        );
        let commands = self.prepare.iter().map(|step| ("prepare", &step.command));
        let services = self
            .services
            .iter()
            .map(|one| (one.name.as_str(), &one.command));
        for (place, command) in commands.chain(services) {
            ensure!(!command.is_empty(), "{place}: command: is empty");
            for word in command {
                check_placeholders(place, word, &COMMAND_PLACEHOLDERS.into())?;
            }
        }
        let mut known: BTreeSet<&str> = REQUEST_PLACEHOLDERS.into();
        for setup in &self.setup {
            setup.request.check("setup", &known)?;
            known.extend(setup.save.keys().map(String::as_str));
        }
        let warmup = &self.warmup;
        check_mix("warmup", &warmup.mix, &known)?;
        check_exclusive("warmup", &warmup.mix, warmup.connections, warmup.objects)?;
        ensure!(
            self.warmup.window_seconds > 0.0,
            "warmup: window_seconds: must be more than 0"
        );
        ensure!(
            self.warmup.connections > 0,
            "warmup: connections: must be 1 or more"
        );
        let mut names = BTreeSet::new();
        for phase in &self.phases {
            let name = phase.name.as_str();
            ensure!(names.insert(name), "phase: {name:?} is there twice");
            ensure!(phase.seconds > 0.0, "{name}: seconds: must be more than 0");
            ensure!(phase.objects > 0, "{name}: objects: must be 1 or more");
            let sound = match phase.load {
                Load::Closed { connections } => connections > 0,
                Load::Open { rate, connections } => connections > 0 && rate > 0.0,
            };
            ensure!(
                sound,
                "{name}: load: connections and rate must be more than 0"
            );
            if let Some(fill) = &phase.fill {
                fill.request.check(name, &known)?;
            }
            check_mix(name, &phase.mix, &known)?;
            check_exclusive(name, &phase.mix, phase.load.connections(), phase.objects)?;
        }
        Ok(())
    }
}

/// Each connection needs an object of its own.
fn check_exclusive(
    place: &str,
    mix: &[Request],
    connections: u32,
    objects: u64,
) -> anyhow::Result<()> {
    let texts = mix
        .iter()
        .flat_map(|one| one.headers.values().chain(&one.body).chain([&one.path]));
    let used = texts
        .flat_map(|text| placeholders(text))
        .any(|name| name == EXCLUSIVE);
    ensure!(
        !used || objects >= u64::from(connections),
        "{place}: objects: {{exclusive}} needs one for each of the {connections} connections"
    );
    Ok(())
}

fn check_mix(place: &str, mix: &[Request], known: &BTreeSet<&str>) -> anyhow::Result<()> {
    ensure!(
        mix.iter().map(|request| request.weight).sum::<u32>() > 0,
        "{place}: mix: needs a request with a weight"
    );
    mix.iter()
        .try_for_each(|request| request.check(place, known))
}

impl Request {
    fn check(&self, place: &str, known: &BTreeSet<&str>) -> anyhow::Result<()> {
        ensure!(
            !self.status.is_empty(),
            "{place}: status: say which answers are right"
        );
        ensure!(
            self.path.starts_with('/'),
            "{place}: path: {:?} must start with /",
            self.path
        );
        ensure!(
            self.body.is_none() || self.body_bytes == 0,
            "{place}: body and body_bytes: give one of them"
        );
        ensure!(
            hyper::Method::from_bytes(self.method.as_bytes()).is_ok(),
            "{place}: method: {:?} is none",
            self.method
        );
        check_placeholders(place, &self.path, known)?;
        let texts = self.headers.values().chain(&self.body);
        for text in texts.chain(&self.answer_holds) {
            check_placeholders(place, text, known)?;
        }
        Ok(())
    }
}

/// The names between braces. A brace without a name is text: bodies are often JSON.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let name = rest.split_once('}')?.0;
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain.then_some(name)
    })
}

fn check_placeholders(place: &str, text: &str, known: &BTreeSet<&str>) -> anyhow::Result<()> {
    for name in placeholders(text) {
        ensure!(
            known.contains(name),
            "{place}: {{{name}}} is no placeholder here; there are {}",
            known.iter().copied().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// A text with its placeholders replaced.
pub fn fill_in(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"
name = "example"
origin = "127.0.0.1:18080"
prepare = [{ command = ["{python}", "-c", "open('data', 'w').write('x' * 100)"] }]
setup = [{ request = { method = "HEAD", path = "/data", status = [200] }, save = { kind = "Content-Length" } }]

[[service]]
name = "files"
command = ["{python}", "-m", "http.server", "18080", "--bind", "127.0.0.1"]
port = 18080
path = "/data"
ready_seconds = 20

[warmup]
connections = 2
window_seconds = 0.2
mix = [{ method = "GET", path = "/data", status = [200] }]

[[phase]]
name = "read"
description = "Read a file"
load = { closed = { connections = 2 } }
seconds = 0.5
mix = [{ method = "GET", path = "/data?{index}-{serial}-{kind}", status = [200], answer_bytes = 100 }]

[[phase]]
name = "read_paced"
description = "Read a file at a rate"
load = { open = { rate = 50.0, connections = 8 } }
seconds = 0.5
mix = [{ method = "GET", path = "/data", status = [200], answer_holds = "xxx" }]

[[phase]]
name = "missing"
description = "Read what is not there"
load = { closed = { connections = 2 } }
seconds = 0.2
mix = [{ method = "GET", path = "/missing", status = [200] }]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_place_and_the_fix() {
        assert!(Workload::parse(EXAMPLE, "w.toml").is_ok());
        let error = |from: &str, to: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            Workload::parse(&EXAMPLE.replace(from, to), "w.toml")
                .unwrap_err()
                .to_string()
        };
        assert!(
            error("{kind}\"", "{sort}\"")
                .contains("read: {sort} is no placeholder here; there are exclusive, index, kind")
        );
        assert!(error("{python}\", \"-m\"", "{pyton}\", \"-m\"").contains("files: {pyton}"));
        assert!(error("127.0.0.1:18080\"\nprepare", "192.0.2.1:80\"\nprepare").contains("origin"));
        assert!(error("name = \"missing\"", "name = \"read\"").contains("twice"));
        assert!(error("rate = 50.0", "rate = 0.0").contains("read_paced: load"));
        assert!(
            error(
                "path = \"/missing\", status = [200]",
                "path = \"/missing\", status = []"
            )
            .contains("missing: status")
        );
        assert!(error("answer_holds = \"xxx\"", "answer_holds = \"{item}\"").contains("{item}"));
        assert!(error("seconds = 0.5", "second = 0.5").contains("w.toml"));
        assert!(
            error("path = \"/missing\"", "path = \"/{exclusive}\"").contains("missing: objects")
        );
    }

    #[test]
    fn braces_of_json_are_text() {
        assert_eq!(
            placeholders("{\"a\": {\"b\": {index}}}").collect::<Vec<_>>(),
            ["index"]
        );
        assert_eq!(placeholders("{ {}").count(), 0);
    }
}
