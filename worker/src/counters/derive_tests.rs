//! Examples worked out by hand.

use super::super::{Input, Quantity};
use super::*;

fn metric(metric: Metric) -> Quantity {
    Quantity::Metric(metric)
}

/// Cycles, instructions and the rest.
fn counts(cycles: f64, instructions: f64, inputs: &[(Input, f64)]) -> Vec<(Quantity, f64)> {
    let mut all = vec![
        (metric(Metric::Cycles), cycles),
        (metric(Metric::Instructions), instructions),
    ];
    all.extend(
        inputs
            .iter()
            .map(|(input, value)| (Quantity::Input(*input), *value)),
    );
    all
}

fn of(all: &[(Metric, f64)], metric: Metric) -> f64 {
    let found = all.iter().find(|(of, _)| *of == metric);
    found.unwrap_or_else(|| panic!("no {metric} in {all:?}")).1
}

fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
}

#[test]
fn rates_are_per_thousand_instructions() {
    let inputs = [
        (Input::L1iMisses, 50.0),
        (Input::L1dMisses, 300.0),
        (Input::LlcMisses, 0.0),
        (Input::ItlbMisses, 1.0),
        (Input::DtlbLoadMisses, 3.0),
        (Input::DtlbStoreMisses, 2.0),
    ];
    let all = derive(TopDown::None, Counts(&counts(4_000.0, 10_000.0, &inputs)));
    close(of(&all, Metric::Ipc), 2.5);
    close(of(&all, Metric::L1iMpki), 5.0);
    close(of(&all, Metric::L1dMpki), 30.0);
    close(of(&all, Metric::LlcMpki), 0.0);
    close(of(&all, Metric::ItlbMpki), 0.1);
    close(of(&all, Metric::DtlbMpki), 0.5);
    // Loads alone are not all walks for data.
    let loads = counts(1.0, 1.0, &[(Input::DtlbLoadMisses, 3.0)]);
    let found = derive(TopDown::None, Counts(&loads));
    assert!(found.iter().all(|(metric, _)| *metric != Metric::DtlbMpki));
}

#[test]
fn skylake_by_hand() {
    // 1000 cycles are 4000 slots: 800/4000 in the front end; 2000/4000 retire; (2200 - 2000 + 4 * 50)/4000 thrown away;
    // the rest, 1 - 0.2 - (2200 + 200)/4000, waited in the back end. The four are one.
    let inputs = [
        (Input::NotDelivered, 800.0),
        (Input::RetireSlots, 2_000.0),
        (Input::Issued, 2_200.0),
        (Input::Recovery, 50.0),
    ];
    let all = derive(TopDown::Skylake, Counts(&counts(1_000.0, 1_800.0, &inputs)));
    close(of(&all, Metric::FrontendBound), 0.2);
    close(of(&all, Metric::Retiring), 0.5);
    close(of(&all, Metric::BadSpeculation), 0.1);
    close(of(&all, Metric::BackendBound), 0.2);
    // 4 * 120 / 4000 nothing delivered; (2000 + 100 - 1800)/4000 of several operations.
    let second = [
        (Input::NotDelivered, 800.0),
        (Input::CyclesWithoutUops, 120.0),
        (Input::RetireSlots, 2_000.0),
        (Input::MacroFused, 100.0),
    ];
    let all = derive(TopDown::Skylake, Counts(&counts(1_000.0, 1_800.0, &second)));
    close(of(&all, Metric::FetchLatency), 0.12);
    close(of(&all, Metric::FetchBandwidth), 0.08);
    close(of(&all, Metric::HeavyOperations), 0.075);
    close(of(&all, Metric::LightOperations), 0.425);
}

#[test]
fn ice_lake_by_hand() {
    // 5000 slots; the register's four add up to 4900/5000 = 0.98.
    let inputs = [
        (Input::Slots, 5_000.0),
        (Input::Retiring, 2_450.0),
        (Input::BadSpeculation, 490.0),
        (Input::FrontendBound, 980.0),
        (Input::BackendBound, 980.0),
        (Input::UopDropping, 50.0),
        (Input::ClearsCount, 10.0),
        (Input::CyclesWithoutUops, 110.0),
        (Input::Mispredicted, 30.0),
        (Input::MachineClears, 10.0),
        (Input::StallsTotal, 300.0),
        (Input::StallsMemory, 150.0),
        (Input::BoundOnStores, 50.0),
        (Input::OnePort, 100.0),
        (Input::TwoPorts, 100.0),
    ];
    let all = derive(TopDown::IceLake, Counts(&counts(1_000.0, 2_000.0, &inputs)));
    close(of(&all, Metric::Retiring), 0.5);
    close(of(&all, Metric::FrontendBound), 0.2 - 0.01);
    close(of(&all, Metric::BackendBound), 0.2 + 0.01);
    close(of(&all, Metric::BadSpeculation), 0.1);
    close(
        of(&all, Metric::FetchLatency),
        (5.0 * 110.0 - 50.0) / 5_000.0,
    );
    close(of(&all, Metric::FetchBandwidth), 0.09);
    close(of(&all, Metric::BranchMispredicts), 0.075);
    close(of(&all, Metric::MachineClears), 0.025);
    // (150 + 50) / (300 + 100 + 0.5 * 100 + 50) = 0.4 of 0.21.
    close(of(&all, Metric::MemoryBound), 0.084);
    close(of(&all, Metric::CoreBound), 0.126);
}

#[test]
fn sapphire_rapids_by_hand() {
    // The four shares are whole: their sum is 1.
    let inputs = [
        (Input::Slots, 6_000.0),
        (Input::Retiring, 3_000.0),
        (Input::BadSpeculation, 600.0),
        (Input::FrontendBound, 1_200.0),
        (Input::BackendBound, 1_200.0),
        (Input::UopDropping, 60.0),
        (Input::HeavyOperations, 300.0),
        (Input::BranchMispredicts, 480.0),
        (Input::FetchLatency, 720.0),
        (Input::MemoryBound, 900.0),
    ];
    let all = derive(
        TopDown::SapphireRapids,
        Counts(&counts(1_000.0, 2_000.0, &inputs)),
    );
    close(of(&all, Metric::Retiring), 0.5);
    close(of(&all, Metric::FrontendBound), 0.19);
    close(of(&all, Metric::BackendBound), 0.2);
    // What is left, with the dropped 0.01 in it.
    close(of(&all, Metric::BadSpeculation), 0.11);
    close(of(&all, Metric::HeavyOperations), 0.05);
    close(of(&all, Metric::LightOperations), 0.45);
    close(of(&all, Metric::BranchMispredicts), 0.08);
    close(of(&all, Metric::MachineClears), 0.03);
    close(of(&all, Metric::FetchLatency), 0.11);
    close(of(&all, Metric::FetchBandwidth), 0.08);
    close(of(&all, Metric::MemoryBound), 0.15);
    close(of(&all, Metric::CoreBound), 0.05);
}

#[test]
fn what_is_no_number_gives_nothing() {
    let schemes = [
        TopDown::None,
        TopDown::Skylake,
        TopDown::IceLake,
        TopDown::SapphireRapids,
    ];
    for scheme in schemes {
        assert!(derive(scheme, Counts(&[])).is_empty());
        for (cycles, instructions) in [(0.0, 0.0), (f64::NAN, f64::NAN), (-1.0, -1.0)] {
            let zero = counts(
                cycles,
                instructions,
                &[
                    (Input::Slots, 0.0),
                    (Input::Retiring, 0.0),
                    (Input::L1iMisses, 1.0),
                ],
            );
            assert!(derive(scheme, Counts(&zero)).is_empty(), "{scheme:?}");
        }
        let endless = counts(
            1.0,
            1.0,
            &[(Input::L1iMisses, f64::INFINITY), (Input::Slots, f64::NAN)],
        );
        let found = derive(scheme, Counts(&endless));
        assert_eq!(found, [(Metric::Ipc, 1.0)]);
    }
}

#[test]
fn the_largest_counts_stay_numbers_and_shares_stay_shares() {
    let most = u64::MAX as f64;
    let inputs = [
        (Input::NotDelivered, most),
        (Input::RetireSlots, most),
        (Input::Issued, most),
        (Input::Recovery, most),
    ];
    for (metric, value) in derive(TopDown::Skylake, Counts(&counts(most, most, &inputs))) {
        assert!(value.is_finite(), "{metric} {value}");
        assert!(
            !metric.is_share_of_slots() || (0.0..=1.0).contains(&value),
            "{metric} {value}"
        );
    }
}
