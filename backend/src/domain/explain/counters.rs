//! Taking a change of time apart by counters.

use speedwell_wire::Metric;

use super::{Evidence, Finding, Kind, MAJOR, MetricPair, Parts, SAME_WORK, same_code, words};

/// Slots of each kind by instruction, before and after: how much of the change in cycles per instruction each accounts for.
fn slots(metrics: &[MetricPair], of_cycles: f64) -> Vec<(Metric, f64)> {
    const LEVEL_ONE: [Metric; 4] = [
        Metric::Retiring,
        Metric::BadSpeculation,
        Metric::FrontendBound,
        Metric::BackendBound,
    ];
    let mean = |metric: Metric, side: fn(&MetricPair) -> f64| {
        let own = metrics.iter().filter(|one| one.metric == metric);
        let values: Vec<f64> = own.map(side).filter(|value| value.is_finite()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let growth = of_cycles.exp();
    let difference = |metric: &Metric| {
        let before = mean(*metric, |one| one.before.median)?;
        let after = mean(*metric, |one| one.after.median)?;
        // Shares of all slots; all slots grew with the cycles per instruction.
        Some((*metric, (after * growth - before) / (growth - 1.0)))
    };
    LEVEL_ONE.iter().filter_map(difference).collect()
}

/// Instructions, cycles per instruction with their slots, and the rest.
pub(super) fn counters(parts: Parts, evidence: &Evidence, findings: &mut Vec<Finding>) {
    let Some(instructions) = parts.instructions else {
        findings.push(Finding {
            kind: Kind::Unknown,
            share: None,
            words: words::NO_COUNTERS.to_owned(),
        });
        return;
    };
    let share = |logarithm: f64| Some(logarithm / parts.time);
    findings.push(Finding {
        kind: Kind::Instructions,
        share: share(instructions),
        words: words::instructions(instructions, instructions / parts.time),
    });
    let Some(cycles) = parts.cycles else {
        let rest = parts.time - instructions;
        if (rest / parts.time).abs() >= 1.0 - MAJOR {
            findings.push(Finding {
                kind: Kind::Unknown,
                share: share(rest),
                words: words::NO_CYCLES.to_owned(),
            });
        }
        return;
    };
    let per_instruction = cycles - instructions;
    findings.push(Finding {
        kind: Kind::CyclesPerInstruction,
        share: share(per_instruction),
        words: words::cycles_per_instruction(per_instruction, per_instruction / parts.time),
    });
    let clock = parts.time - cycles;
    findings.push(Finding {
        kind: Kind::Clock,
        share: share(clock),
        words: words::clock(clock, clock / parts.time),
    });
    if (per_instruction / parts.time) < 1.0 - MAJOR {
        return;
    }
    let slots = slots(&evidence.metrics, per_instruction);
    for (metric, of_cycles) in &slots {
        findings.push(Finding {
            kind: Kind::Slots,
            share: share(per_instruction * of_cycles),
            words: words::slots(*metric, *of_cycles),
        });
    }
    let fetching: f64 = slots
        .iter()
        .filter(|(metric, _)| matches!(metric, Metric::FrontendBound | Metric::BadSpeculation))
        .map(|(_, of_cycles)| of_cycles)
        .sum();
    let same_work = instructions.abs() < SAME_WORK && instructions.abs() < parts.time.abs() * 0.2;
    if same_work && per_instruction / parts.time >= MAJOR && fetching >= MAJOR {
        findings.push(Finding {
            kind: Kind::Layout,
            share: share(per_instruction * fetching),
            words: words::layout(same_code(evidence)),
        });
    }
}
