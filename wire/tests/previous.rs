//! Messages of the protocol's version before the present one, as its workers send them: they are read as they always were.
//! When the version is raised, the files of `golden/` at that moment become those of `golden/previous/`.

use serde::de::DeserializeOwned;
use speedwell_wire::*;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_its_workers_send_is_read() {
    assert_eq!(
        (OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION),
        (4, 5),
        "put the messages of the version before into golden/previous"
    );
    let register: RegisterRequest = read(include_str!("golden/previous/register_request.json"));
    assert!(register.sources.is_empty());
    let claim: ClaimRequest = read(include_str!("golden/previous/claim_request.json"));
    assert!(!claim.toolchain.is_empty());
    let report: RunReport = read(include_str!("golden/previous/run_report.json"));
    let profile = report.benchmarks[0].profile.as_ref().unwrap();
    assert_eq!(profile.tool.as_str(), "callgrind");
    read::<BuildReport>(include_str!("golden/previous/build_report.json"));
    read::<Heartbeat>(include_str!("golden/previous/heartbeat.json"));
    read::<JobFailure>(include_str!("golden/previous/job_failure.json"));
    read::<Release>(include_str!("golden/previous/release.json"));
}

/// What such a worker reads: every key that it knows is still there, with a value of the same kind.
#[test]
fn what_it_is_sent_has_every_key_that_it_reads() {
    fn compare(path: &str, old: &serde_json::Value, new: &serde_json::Value) {
        match (old, new) {
            (serde_json::Value::Object(old), serde_json::Value::Object(new)) => {
                for (key, value) in old {
                    let now = new
                        .get(key)
                        .unwrap_or_else(|| panic!("{path}.{key} is gone"));
                    compare(&format!("{path}.{key}"), value, now);
                }
            }
            (old, new) => assert_eq!(
                std::mem::discriminant(old),
                std::mem::discriminant(new),
                "{path}"
            ),
        }
    }
    let old = read(include_str!("golden/previous/claim_response.json"));
    let new = read(include_str!("golden/claim_response.json"));
    compare("claim_response", &old, &new);
}
