//! Try runs with the real backend, the real worker in its box and real builds: a slower head, a patch that changes nothing, and one that
//! does not apply.

use std::io::Write as _;

use crate::support::lab::Lab;

/// As slow as the interpreter says, whatever else this machine does.
const WORK: &str = "import os, pyperf, time\n\
                    pyperf.Runner().bench_func('work', time.sleep, float(os.environ['WORK']))\n";
const BUILD: &str = "echo compiled\n";
/// Other tests run beside this one.
const TRY_RUNS: &str = "[try_runs]\nrounds = 6\nprecision = 20.0\nsmallest = 20.0\n";

#[tokio::test]
async fn a_slower_head_is_slower_and_a_harmless_patch_is_not() {
    let mut lab = Lab::new(&[("work", WORK)]);
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(lab.path("speedwell.toml"))
        .unwrap();
    file.write_all(TRY_RUNS.as_bytes()).unwrap();
    lab.commit_with(BUILD, "export WORK=0.15");
    lab.git(&["checkout", "--quiet", "-b", "topic"]);
    lab.commit_with(BUILD, "export WORK=0.45");
    lab.git(&["checkout", "--quiet", "main"]);
    lab.start_backend().await;
    lab.start_worker();
    lab.until_state("succeeded").await;

    let (well, said) = lab
        .command(&["try", "project-main", "topic", "--follow"])
        .await;
    assert!(
        !well && said.contains("  worse\n"),
        "{said}\n{}",
        lab.log("worker.log")
    );
    assert!(said.contains("Of 1 benchmark: 1 slower."), "{said}");
    // The other way round it is faster.
    let (well, said) = lab
        .command(&["try", "project-main", "main", "--base", "topic", "--follow"])
        .await;
    assert!(well && said.contains("  better\n"), "{said}");

    let patch = lab.path("harmless.patch");
    let text = "diff --git a/environment b/environment\n--- a/environment\n+++ b/environment\n@@ -1 +1 @@\n\
                -export WORK=0.15\n\\ No newline at end of file\n+export WORK=0.15 # as before\n\\ No newline at end of file\n";
    std::fs::write(&patch, text).unwrap();
    let patch = patch.display().to_string();
    let (well, said) = lab
        .command(&["try", "project-main", "main", "--patch", &patch, "--follow"])
        .await;
    assert!(
        well && said.contains("  unchanged\n"),
        "{said}\n{}",
        lab.log("worker.log")
    );
    // It was built with the patch, beside the plain commit's build.
    let page = lab.get("/tries/3").await;
    assert!(
        page.contains("within the noise") && page.contains("as before"),
        "{page}"
    );
    let pool = lab.pool().await;
    let builds: i64 = sqlx::query_scalar("SELECT count(DISTINCT artefact_sha256) FROM build")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(builds, 3);
    pool.close().await;

    // A patch that was made for something else.
    let (well, said) = lab
        .command(&[
            "try",
            "project-main",
            "topic",
            "--patch",
            &patch,
            "--follow",
        ])
        .await;
    assert!(!well && said.contains("does not apply to"), "{said}");
}
