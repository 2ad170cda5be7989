//! Every message as it looks on the wire. `UPDATE_GOLDEN=1 cargo test -p speedwell-wire` rewrites the files;
//! the change then shows in review.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::DateTime;
use serde::{Serialize, de::DeserializeOwned};
use speedwell_wire::*;
use uuid::Uuid;

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, message: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(message).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, golden, "{name} changed on the wire");
    assert_eq!(
        &serde_json::from_str::<T>(&golden).unwrap(),
        message,
        "{name} does not read back"
    );
}

fn lease() -> Uuid {
    Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef)
}

fn benchmark() -> BenchmarkIdentity {
    BenchmarkIdentity {
        name: "nbody".into(),
        description: "N-body simulation of the outer planets".into(),
        script_sha256: "ab".repeat(32),
        inputs_sha256: "cd".repeat(32),
        arguments: vec![],
    }
}

#[test]
fn register() {
    let facts = EnvironmentFacts {
        cpu_model: "Intel(R) Xeon(R) Platinum 8280 CPU @ 2.70GHz".into(),
        cpu_signature: "GenuineIntel 6/85/7".into(),
        microcode: "0x5003604".into(),
        cores: 28,
        memory_bytes: 201_863_462_912,
        kernel: "Linux 6.1.0-37-amd64 #1 SMP Debian 6.1.140-1".into(),
        distribution: "Debian GNU/Linux 12 (bookworm)".into(),
        compiler: "gcc (Debian 12.2.0-14+deb12u1) 12.2.0".into(),
        libc: "glibc 2.36".into(),
        settings: BTreeMap::from([
            ("smt".into(), "off".into()),
            ("governor".into(), "performance".into()),
        ]),
    };
    assert_eq!(facts.fingerprint().len(), 64);
    let suites = vec![SuiteManifest {
        name: "portable".into(),
        version: 1,
        sha256: "ef".repeat(32),
        description: "What every Python can run".into(),
        lock: vec![LockedPackage {
            requirements: "swift".into(),
            requirement: "six==1.16.0".into(),
            sha256: vec!["01".repeat(32)],
        }],
        benchmarks: vec![benchmark()],
        baselines: BTreeMap::from([("nbody_compiled".into(), "nbody".into())]),
    }];
    check(
        "register_request",
        &RegisterRequest {
            worker_version: "0.1.0".into(),
            facts,
            suites,
            sources: Vec::new(),
        },
    );
    check(
        "register_response",
        &RegisterResponse {
            host: "lab-1".into(),
            environment_id: 3,
            wanted_sources: Vec::new(),
        },
    );
}

#[test]
fn sources_are_optional_on_both_sides() {
    let wanted = RegisterResponse {
        host: "lab-1".into(),
        environment_id: 3,
        wanted_sources: vec!["ab".repeat(32)],
    };
    check("register_response_sources", &wanted);
}

#[test]
fn patches_are_optional_on_both_sides() {
    let claim = ClaimRequest {
        environment_id: 3,
        wait_seconds: 25,
        toolchain: "01".repeat(32),
        applies_patches: true,
    };
    check("claim_request_patches", &claim);
    let source = SourceReference {
        repository: "cpython".into(),
        url: "https://forge.example/python/cpython.git".into(),
        commit: "73a85c4e1da42db28e3de57c868d24a089b8d277".into(),
        committed_at: 1_613_000_000,
        exclude: vec![],
        patch: Some("--- a/README\n+++ b/README\n@@ -1 +1 @@\n-a\n+b\n".into()),
    };
    check("source_reference_patch", &source);
}

#[test]
fn claim() {
    check(
        "claim_request",
        &ClaimRequest {
            environment_id: 3,
            wait_seconds: 25,
            toolchain: "01".repeat(32),
            applies_patches: false,
        },
    );
    check("claim_response_empty", &ClaimResponse { job: None });
    let job = JobAssignment {
        job_id: 17,
        lease_id: lease(),
        kind: JobKind::Measure,
        attempt: 1,
        runtime: "cpython-main".into(),
        source: SourceReference {
            repository: "cpython".into(),
            url: "https://forge.example/python/cpython.git".into(),
            commit: "73a85c4e1da42db28e3de57c868d24a089b8d277".into(),
            committed_at: 1_613_000_000,
            exclude: vec!["Misc/svnmap.txt".into()],
            patch: None,
        },
        recipe: BuildRecipe {
            method: Method::Cpython {
                profile: ConfigureProfile::PgoLto,
                configure: vec!["--without-ensurepip".into()],
            },
            environment: BTreeMap::new(),
            arguments: vec![],
            family: "cpython".into(),
            sha256: "23".repeat(32),
        },
        artefact: Some(ArtefactReference {
            sha256: "45".repeat(32),
            bytes: 7_400_000,
            build_id: 5,
        }),
        suite: ("portable".into(), 1),
        benchmarks: vec![],
        build_repeat: 0,
        without_cache: false,
        valgrind: ValgrindPolicy::NoPmu,
        profile: ProfilePolicy::Callgrind,
        processes: None,
    };
    check("claim_response", &ClaimResponse { job: Some(job) });
}

#[test]
fn lease_messages() {
    check(
        "heartbeat",
        &Heartbeat {
            lease_id: lease(),
            phase: Phase::Build,
            percent: 12.5,
            message: "make: 120 of 420".into(),
        },
    );
    check("heartbeat_response", &HeartbeatResponse { cancel: false });
    let failure = JobFailure {
        lease_id: lease(),
        kind: FailureKind::Permanent,
        phase: Phase::Build,
        message: "make failed with exit code 2".into(),
        log_tail: "Python/ceval.c:1:1: error: unknown type name 'x'\n".into(),
    };
    check("job_failure", &failure);
    check(
        "release",
        &Release {
            lease_id: lease(),
            reason: "the worker was asked to stop".into(),
        },
    );
    check(
        "error_body",
        &ErrorBody {
            error: "the lease is lost".into(),
            field: Some("lease_id".into()),
        },
    );
}

fn profile() -> ProfileReport {
    ProfileReport {
        tool: ProfileTool::Callgrind,
        build_ids: BTreeMap::new(),
        total: 1_250.5,
        stacks: vec![ProfileStack {
            frames: "main;_PyEval_EvalFrameDefault;long_add".to_owned(),
            object: "python3.10".to_owned(),
            count: 1_250.0,
        }],
    }
}

#[test]
fn reports() {
    let build = BuildReport {
        lease_id: lease(),
        toolchain: "01".repeat(32),
        artefact_sha256: Some("45".repeat(32)),
        artefact_bytes: 7_400_000,
        installed_bytes: 25_000_000,
        step_seconds: BTreeMap::from([("configure".into(), 38.25), ("make".into(), 256.5)]),
        ccache_hits: 419,
        ccache_misses: 1,
        version: "Python 3.10.0a5+".into(),
        failure: None,
        log_tail: String::new(),
    };
    check("build_report", &build);
    let sample = |process, warmup, value| Sample {
        process,
        warmup,
        value,
    };
    let run = RunReport {
        upload_id: Uuid::from_u128(7),
        lease_id: lease(),
        environment_id: 3,
        suite: ("portable".into(), 1),
        artefact_sha256: "45".repeat(32),
        harness_sha256: "67".repeat(32),
        started_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
        finished_at: DateTime::from_timestamp(1_790_000_120, 500_000_000).unwrap(),
        interpreter: "3.10.0a5+ (heads/master:73a85c4)".into(),
        host_notes: BTreeMap::from([("load_1m".into(), "0.02".into())]),
        host_flags: vec![HostFlag {
            name: "turbo".into(),
            severity: HostSeverity::Unfit,
            value: "on".into(),
            good: "off".into(),
        }],
        benchmarks: vec![BenchmarkResult {
            identity: benchmark().identity(),
            name: "nbody".into(),
            loops: 1,
            measurements: vec![MeasurementReport {
                metric: Metric::WallTime,
                source: CounterSource::Software,
                samples: vec![
                    sample(0, true, 0.125),
                    sample(0, false, 0.121),
                    sample(1, false, 0.1225),
                ],
            }],
            unavailable: vec![Unavailable {
                metric: Some(Metric::Instructions),
                kind: UnavailableKind::Unsupported,
                reason: "the kernel offers no hardware counters here (perf_event_open: ENOENT)"
                    .into(),
            }],
            latencies: Vec::new(),
            profile: Some(profile()),
        }],
        pyperf: serde_json::json!({"version": "1.0", "benchmarks": []}),
    };
    check("run_report", &run);
    check(
        "latency_histogram",
        &LatencyHistogram {
            process: 2,
            hdr: "HISTFAAAABR42pNpmSzMwMDAAcQAAAbuALY=".into(),
        },
    );
    check(
        "run_receipt",
        &RunReceipt {
            run_id: 12,
            created: true,
        },
    );
}

/// Every metric with its unit and direction: stored series are read by them for years.
#[test]
fn metrics() {
    let all: Vec<(Metric, Unit, Direction)> = Metric::ALL
        .iter()
        .map(|metric| (*metric, metric.unit(), metric.direction()))
        .collect();
    check("metrics", &all);
}

#[test]
fn recipes() {
    let recipe = |method: Method, family: &str| BuildRecipe {
        method,
        environment: BTreeMap::from([("LD_LIBRARY_PATH".into(), "{prefix}/usr/lib".into())]),
        arguments: vec![],
        family: family.into(),
        sha256: "23".repeat(32),
    };
    let translated = Method::Pypy {
        translation: Translation::Jit,
        options: vec![],
    };
    check("recipe_pypy", &recipe(translated, "pypy"));
    let installed = Method::Prebuilt {
        command: "/usr/bin/pypy3".into(),
        version: "7.3.11".into(),
        probe: python_probe(),
    };
    check("recipe_prebuilt", &recipe(installed, "pypy"));
    let packages = [
        Registry::Debian("bullseye".into()),
        Registry::Pypi,
        Registry::Npm,
    ];
    let unpacked = Method::Package {
        program: "usr/bin/pypy".into(),
        version: "7.3.3".into(),
        probe: vec!["--version".into()],
        packages: packages
            .into_iter()
            .map(|registry| PinnedPackage {
                registry,
                name: "pypy".into(),
                version: "7.3.3+dfsg-2".into(),
                sha256: "67".repeat(32),
                folder: None,
            })
            .collect(),
    };
    check("recipe_package", &recipe(unpacked, "pypy"));
    let through_a_loader = Method::Package {
        program: "usr/lib/ld-linux-x86-64.so.2".into(),
        version: "MicroPython v1.25.0".into(),
        probe: python_probe(),
        packages: vec![PinnedPackage {
            registry: Registry::Pypi,
            name: "six".into(),
            version: "1.16.0".into(),
            sha256: "67".repeat(32),
            folder: Some("usr/lib/micropython".into()),
        }],
    };
    let mut with_arguments = recipe(through_a_loader, "cpython");
    with_arguments.arguments = vec!["{prefix}/usr/bin/micropython".into()];
    check("recipe_package_arguments", &with_arguments);
}
