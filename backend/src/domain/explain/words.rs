//! The words of an explanation: what is known, and what is not.

use speedwell_wire::Metric;

use super::{Evidence, Finding, Kind, MAJOR, ProfileDifference, SMALLEST, Sizes};

pub(super) const NO_COUNTERS: &str =
    "Only time was measured here: without counters nobody can tell more work from slower work.";
pub(super) const NO_CYCLES: &str = "The rest is not in the instructions; cycles were not counted, so it may be stalls, the clock or waiting.";

/// A logarithm of a ratio as a percentage with its sign.
fn percent(logarithm: f64) -> String {
    signed(logarithm.exp_m1())
}

fn signed(change: f64) -> String {
    let text = format!("{:.1}", (change * 100.0).abs());
    let sign = if text == "0.0" {
        "±"
    } else if change > 0.0 {
        "+"
    } else {
        "−"
    };
    format!("{sign}{text} %")
}

fn of_change(share: f64) -> String {
    format!("{:.0} % of the change in time", share * 100.0)
}

pub(super) fn instructions(logarithm: f64, share: f64) -> String {
    format!(
        "Instructions: {}, {}.",
        percent(logarithm),
        of_change(share)
    )
}

pub(super) fn cycles_per_instruction(logarithm: f64, share: f64) -> String {
    format!(
        "Cycles for each instruction: {}, {}.",
        percent(logarithm),
        of_change(share)
    )
}

pub(super) fn clock(logarithm: f64, share: f64) -> String {
    format!(
        "Time beside the cycles of user space (clock, kernel, waiting): {}, {}.",
        percent(logarithm),
        of_change(share)
    )
}

pub(super) fn slots(metric: Metric, of_cycles: f64) -> String {
    format!(
        "{}: {:.0} % of the change in cycles for each instruction.",
        metric.label(),
        of_cycles * 100.0
    )
}

pub(super) fn layout(same_code: Option<bool>) -> String {
    let what = "The same instructions are executed, and fetching them or guessing branches takes longer or shorter: this is how a \
                change of the code's layout looks";
    match same_code {
        Some(true) => format!(
            "{what}. The code and the main loop have the same sizes on both sides: only alignment moved."
        ),
        Some(false) => format!("{what}; the code's size changed, too."),
        None => format!("{what}; the code's size is not known."),
    }
}

pub(super) fn event(metric: Metric, change: f64) -> String {
    format!("{}: {}.", metric.label(), signed(change))
}

pub(super) fn profile(profile: &ProfileDifference) -> String {
    let list = |parts: &[super::Part]| {
        let parts = parts
            .iter()
            .take(3)
            .map(|part| format!("{} {}", part.name, signed(part.change)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let head = format!("Profile of {} ({})", profile.benchmark, profile.noun);
    if profile.components.is_empty() && profile.functions.is_empty() {
        return format!("{head}: nothing changed beyond its error.");
    }
    format!(
        "{head}, of all before: by component {}; by function {}.",
        or_nothing(list(&profile.components)),
        or_nothing(list(&profile.functions))
    )
}

fn or_nothing(text: String) -> String {
    if text.is_empty() {
        "nothing beyond the error".to_owned()
    } else {
        text
    }
}

pub(super) fn sizes(before: &Sizes, after: &Sizes) -> String {
    let change = |name: &str, old: u64, new: u64| {
        let difference = i128::from(new) - i128::from(old);
        (difference != 0).then(|| format!("{name} {difference:+} bytes"))
    };
    let mut changed: Vec<String> = after
        .sections
        .iter()
        .filter_map(|(name, new)| {
            let old = before.sections.iter().find(|(one, _)| one == name);
            change(name, old.map_or(0, |(_, size)| *size), *new)
        })
        .collect();
    if let (Some(old), Some(new)) = (before.main_loop, after.main_loop) {
        changed.extend(change("the main loop", old, new));
    }
    if changed.is_empty() {
        format!("Sizes of {}: the same on both sides.", after.file)
    } else {
        format!("Sizes of {}: {}.", after.file, changed.join(", "))
    }
}

pub(super) fn paths(paths: &[String], count: usize, commits: i64) -> String {
    let who = if commits == 1 {
        "The commit touches".to_owned()
    } else {
        format!("The {commits} commits between the sides touch")
    };
    let shown: Vec<&str> = paths.iter().take(4).map(String::as_str).collect();
    match (count, count > shown.len()) {
        (0, _) => format!("{who} no file."),
        (_, true) => format!("{who} {count} files, among them {}.", shown.join(", ")),
        (_, false) => format!("{who} {}.", shown.join(", ")),
    }
}

/// What is known in a sentence, and what is not.
pub(super) fn sentence(time: Option<f64>, findings: &[Finding], evidence: &Evidence) -> String {
    let warmup = super::warmup::warmups(evidence).into_iter().next();
    let is_other = |metric: &Metric| !metric.jumps();
    match warmup {
        None if evidence.is_about_time() => of_time(time, findings, evidence),
        None => beside_time(evidence),
        Some(words) if evidence.is_about_time() => {
            format!("{} {words}.", of_time(time, findings, evidence))
        }
        Some(words) if evidence.confirmed.iter().any(is_other) => {
            format!("{words}. {}", beside_time(evidence))
        }
        Some(words) => format!("{words}.{}", place(evidence)),
    }
}

/// The sentence of a change of time.
fn of_time(time: Option<f64>, findings: &[Finding], evidence: &Evidence) -> String {
    let Some(time) = time else {
        return "Nothing is known: no benchmark concerned has been measured on both sides on one host.".to_owned();
    };
    if time.abs() < SMALLEST {
        return "The runs on these two sides do not show the change by themselves, so it cannot be taken apart: its sides lie between \
                runs of other commits, or it is within the noise of single runs."
            .to_owned();
    }
    let slower = if time > 0.0 { "slower" } else { "faster" };
    let head = format!("{:.1} % {slower}", time.exp_m1().abs() * 100.0);
    let share = |kind: Kind| {
        let found = findings.iter().find(|one| one.kind == kind);
        found.and_then(|one| one.share)
    };
    let has = |kind: Kind| findings.iter().any(|one| one.kind == kind);
    let cause = if has(Kind::Layout) {
        let moved = super::same_code(evidence) == Some(true);
        if moved {
            "the same instructions in code of the same size take other time to be fetched: only alignment moved"
        } else {
            "the same instructions take other time to be fetched: the code's layout"
        }
        .to_owned()
    } else if let Some(share) = share(Kind::Instructions).filter(|share| *share >= MAJOR) {
        let word = if time > 0.0 { "more" } else { "fewer" };
        format!(
            "it executes {word} instructions, which account for {:.0} % of it",
            share * 100.0
        )
    } else if let Some(share) = share(Kind::CyclesPerInstruction).filter(|share| *share >= MAJOR) {
        let word = if time > 0.0 { "more" } else { "fewer" };
        format!(
            "each instruction takes {word} cycles, which accounts for {:.0} % of it{}",
            share * 100.0,
            largest_slots(findings)
        )
    } else if share(Kind::Clock).is_some_and(|share| share >= MAJOR) {
        "cycles are the same: the clock, the kernel or waiting, which may be the host and not the interpreter".to_owned()
    } else if share(Kind::Instructions).is_none() {
        "it is not explained by counters, for there are none".to_owned()
    } else {
        "no single counter accounts for most of it".to_owned()
    };
    format!("{head}: {cause}.{}", place(evidence))
}

/// The sentence of a change that is none of time, as far as was confirmed.
fn beside_time(evidence: &Evidence) -> String {
    let change = |metric: &Metric| {
        let logarithm = super::logarithm(&evidence.metrics, *metric)?;
        Some(match metric {
            Metric::Instructions => {
                let word = if logarithm > 0.0 { "more" } else { "fewer" };
                let size = logarithm.exp_m1().abs() * 100.0;
                format!("it executes {size:.1} % {word} instructions")
            }
            _ => format!("{} {}", lower_first(metric.label()), percent(logarithm)),
        })
    };
    let told = evidence.confirmed.iter().filter(|metric| !metric.jumps());
    let changes: Vec<String> = told.filter_map(change).collect();
    if changes.is_empty() {
        return "Nothing is known: what was confirmed has not been measured on these two sides on one host.".to_owned();
    }
    let text = changes.join(", ");
    let mut characters = text.chars();
    let head: String = characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    });
    format!(
        "{head}. No change of time was confirmed: what it means for time is not known here.{}",
        place(evidence)
    )
}

fn largest_slots(findings: &[Finding]) -> String {
    let slots = findings.iter().filter(|one| one.kind == Kind::Slots);
    let largest = slots.max_by(|one, other| {
        let weight = |finding: &Finding| finding.share.unwrap_or(0.0);
        weight(one).total_cmp(&weight(other))
    });
    largest.map_or_else(
        || " (where they are lost is not known: no top-down counters)".to_owned(),
        |finding| {
            let name = finding.words.split(':').next().unwrap_or_default();
            format!(", most of it {}", lower_first(name))
        },
    )
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// Where in the program, as far as a profile tells.
fn place(evidence: &Evidence) -> String {
    let functions = evidence.profiles.iter().map(super::largest);
    let mut best: Option<super::Part> = None;
    for part in functions.flat_map(|profile| profile.functions) {
        if best
            .as_ref()
            .is_none_or(|one| part.change.abs() > one.change.abs())
        {
            best = Some(part);
        }
    }
    best.map_or_else(String::new, |part| {
        format!(
            " In the profile, {} changed most ({} of all).",
            part.name,
            signed(part.change)
        )
    })
}
