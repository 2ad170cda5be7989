//! The tests of the whole service: one program, so that what they share is compiled and linked once.
//!
//! `cargo test --test service NAME::` runs one of these modules. `faults` and `trying` end real processes and want few at a time; `end_to_end`,
//! `interpreters` and one of `workloads` measure for minutes, and run where it is asked for (`SPEEDWELL_END_TO_END=1`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod support;

mod accessible;
mod addresses;
mod alarms;
mod architecture;
mod backup;
mod benchmark_page;
mod bisection;
mod browser;
mod channels;
mod checks;
mod commands;
mod comparing;
mod comparing_exports;
mod confirmation;
mod controls;
mod deliveries;
mod deploy_files;
mod discovery;
mod doors;
mod end_to_end;
mod epochs;
mod explaining;
mod explaining_pages;
mod exporting;
mod faults;
mod forges;
mod hook_forges;
mod hooks;
mod importing;
mod importing_clients;
mod importing_doors;
mod interpreters;
mod journeys;
mod long_view;
mod made_up_data;
mod mailing;
mod merging;
mod migrations;
mod noise;
mod operating;
mod pages;
mod people;
mod protocol_versions;
mod recompute;
mod regressions;
mod reproduce;
mod retention;
mod rewritten;
mod search;
mod sessions;
mod settling;
mod several;
mod sharing;
mod telling;
mod ticks;
mod timeline;
mod traces;
mod tries;
mod try_doors;
mod trying;
mod verdicts;
mod warming;
mod warmup;
mod worker_protocol;
mod workloads;
