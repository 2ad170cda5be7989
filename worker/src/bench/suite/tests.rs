//! The repository's suites, and what a suite refuses.

use super::*;

#[test]
fn the_suites_are_sound_and_our_own_scripts_are_the_locked_ones() {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites");
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(suites).unwrap().flatten() {
        let folder = entry.path();
        let Ok(text) = fs::read_to_string(folder.join("suite.toml")) else {
            continue;
        };
        let name = entry.file_name().into_string().unwrap();
        let definition = Definition::parse(&text, &name).unwrap();
        assert_eq!(definition.name, name);
        for (file, sha256) in definition.own_files() {
            let found = hash_file(&folder.join("own").join(file)).unwrap();
            assert_eq!(found, sha256, "{name}: {file}");
        }
        let phases = definition.workloads.iter().map(|file| {
            let installed = Installed::read(file, &folder.join("own"), &definition);
            installed.unwrap().workload.phases.len()
        });
        seen.insert(name, definition.benchmarks.len() + phases.sum::<usize>());
        let own = definition
            .benchmarks
            .iter()
            .filter(|benchmark| benchmark.source == "own");
        for benchmark in own {
            let script = [(&benchmark.script, &benchmark.sha256)];
            for (file, sha256) in script.into_iter().chain(&benchmark.inputs) {
                let found = hash_file(&folder.join("own").join(file)).unwrap();
                assert_eq!(
                    &found, sha256,
                    "{}: {file}: raise the suite's version with its hash",
                    benchmark.name
                );
            }
        }
    }
    for (name, count) in [
        ("application", 1),
        ("cython", 22),
        ("keystone", 4),
        ("memory", 21),
        ("micro", 10),
        ("modern", 114),
        ("numeric", 44),
        ("portable", 41),
        ("ported-java", 3),
        ("ported-javascript", 3),
        ("ported-php", 3),
        ("ported-python", 3),
        ("swift", 16),
        ("web", 12),
        ("web-modern", 11),
    ] {
        assert_eq!(seen.remove(name), Some(count), "{name}");
    }
    assert!(seen.is_empty(), "not counted here: {seen:?}");
}

#[test]
fn a_changed_script_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("s");
    fs::create_dir_all(source.join("own")).unwrap();
    fs::write(source.join("own/a.py"), "pass\n").unwrap();
    let sha256 = hash_file(&source.join("own/a.py")).unwrap();
    let text = format!(
        "name = \"s\"\nversion = 1\ndescription = \"A script\"\n[plan.cpython]\nprocesses = 1\nwarmups = 1\nvalues = 1\ncounter_values = 0\n\
         [[benchmark]]\nname = \"a\"\ndescription = \"A\"\nsource = \"own\"\nscript = \"a.py\"\nsha256 = \"{sha256}\"\n\
         loops = {{ cpython = 1 }}\n"
    );
    fs::write(source.join("suite.toml"), &text).unwrap();
    let suite = Suite::install(&source, &folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/s-1/own/a.py"), "import os\n").unwrap();
    let failure = suite.verify().unwrap_err();
    assert!(
        failure.message.contains("a.py") && failure.message.contains("locked"),
        "{}",
        failure.message
    );
    let error = Definition::parse(&text.replace("a.py", "../a.py"), "suite.toml")
        .unwrap_err()
        .to_string();
    assert!(error.contains("no relative path"), "{error}");
    assert!(suite.select(&["b".to_owned()]).is_err());
}

#[test]
fn every_text_that_is_offered_has_the_hash_it_is_offered_by() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("suites/small/own");
    fs::create_dir_all(&own).unwrap();
    let script = "import pyperf\npyperf.Runner().bench_func('one', int)\n";
    let sha256 = hex::encode(Sha256::digest(script));
    fs::write(own.join("one.py"), script).unwrap();
    let large = vec![b'x'; 2 << 20];
    let large_sha256 = hex::encode(Sha256::digest(&large));
    fs::write(own.join("large.txt"), &large).unwrap();
    let text = format!(
        "name = \"small\"\nversion = 1\ndescription = \"Small\"\n[plan.cpython]\nprocesses = 1\nwarmups = 1\nvalues = 1\n\
         counter_values = 0\n[[benchmark]]\nname = \"one\"\ndescription = \"One\"\nsource = \"own\"\nscript = \"one.py\"\n\
         sha256 = \"{sha256}\"\nloops = {{ cpython = 1 }}\n[benchmark.inputs]\n\"large.txt\" = \"{large_sha256}\"\n"
    );
    fs::write(folder.path().join("suites/small/suite.toml"), &text).unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness");
    let data = folder.path().join("data");
    let suites = Suites::install(&harness, &folder.path().join("suites"), &data).unwrap();
    let sources = suites.sources();
    for (sha256, path) in &sources {
        assert!(read_source(path, sha256).is_some(), "{}", path.display());
    }
    // The list of the harness, its modules (some are alike), the suite and its script; what is too large is not offered.
    let definition = hex::encode(Sha256::digest(&text));
    for known in [&suites.harness().sha256, &definition, &sha256] {
        assert!(sources.contains_key(known));
    }
    assert!(!sources.contains_key(&large_sha256));
    let list = fs::read_to_string(&sources[&suites.harness().sha256]).unwrap();
    let named = |line: &str| Some(line.split_once(' ')?.1.to_owned());
    let modules: Vec<String> = list.lines().take(MODULES.len()).filter_map(named).collect();
    assert_eq!(modules.len(), MODULES.len());
    assert!(modules.iter().all(|sha256| sources.contains_key(sha256)));
    // A file that was changed since is not sent under its old hash.
    fs::write(&sources[&sha256], "other").unwrap();
    assert!(read_source(&sources[&sha256], &sha256).is_none());
}
