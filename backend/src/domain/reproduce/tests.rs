//! The script for each way to an interpreter, read by a real shell; hostile names; and what cannot be repeated.

use std::process::Command;

use speedwell_wire::{ConfigureProfile, Method, PinnedPackage, Registry, Translation};

use super::script::script;
use super::*;

const HOSTILE: &str =
    "x'; touch /tmp/speedwell-pwned; $(touch /tmp/speedwell-pwned) `id` \"\n@own@ \\";

fn subject(method: Method) -> Subject {
    Subject {
        run_id: 7,
        benchmark: HOSTILE.to_owned(),
        runtime: HOSTILE.to_owned(),
        python2: false,
        url: HOSTILE.to_owned(),
        commit: HOSTILE.to_owned(),
        committed_at: 1_431_000_000,
        recipe: BuildRecipe {
            method,
            environment: [("PYTHON_GIL".to_owned(), HOSTILE.to_owned())].into(),
            arguments: vec!["-X".to_owned(), format!("{{prefix}}{HOSTILE}")],
            family: "cpython".to_owned(),
            sha256: "r".to_owned(),
        },
        recipe_is_of_run: true,
        interpreter: HOSTILE.to_owned(),
        host: HOSTILE.to_owned(),
        suite: ("portable".to_owned(), 3),
        arguments: vec![HOSTILE.to_owned()],
        ours: Ok(Ours {
            median: 0.1,
            low: 0.09,
            high: 0.11,
            count: 15,
            loops: 2,
            processes: 3,
            warmups: 1,
            values: 5,
        }),
        parts: Ok(Parts {
            script: "bm.py".to_owned(),
            select: Some(HOSTILE.to_owned()),
            libraries: vec![(HOSTILE.to_owned(), HOSTILE.to_owned(), "a b".to_owned())],
            requirements: vec!["pure.txt".to_owned()],
            required: vec![(HOSTILE.to_owned(), HOSTILE.to_owned())],
            files: Vec::new(),
        }),
    }
}

fn methods() -> Vec<Method> {
    let hostile = || HOSTILE.to_owned();
    let package = |registry, folder: Option<&str>| PinnedPackage {
        registry,
        name: hostile(),
        version: hostile(),
        sha256: hostile(),
        folder: folder.map(str::to_owned),
    };
    vec![
        Method::Cpython {
            profile: ConfigureProfile::PgoLto,
            configure: vec![hostile()],
        },
        Method::Pypy {
            translation: Translation::Jit,
            options: vec![hostile()],
        },
        Method::Prebuilt {
            command: hostile(),
            version: hostile(),
            probe: vec![hostile()],
        },
        Method::Package {
            program: hostile(),
            version: hostile(),
            probe: vec![hostile()],
            packages: vec![
                package(Registry::Debian(hostile()), None),
                package(Registry::Pypi, Some("lib/site")),
                package(Registry::Npm, None),
            ],
        },
    ]
}

/// Runs a program over a script from its input; its output where it complains.
fn complaint(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(file.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn every_way_is_a_script_that_shells_can_read_and_shellcheck_accepts() {
    for method in methods() {
        let mut one = subject(method);
        for is_known in [true, false] {
            if !is_known {
                one.parts = Err(HOSTILE.to_owned());
                one.recipe_is_of_run = false;
            }
            let script = script(&one);
            assert_eq!(complaint("sh", &["-n"], &script), None, "{script}");
            // Two notes are about the hostile words themselves: that nothing in them is expanded is what is wanted.
            // Two more are about tools that every script has, whichever of them its way uses, and about what follows a way that cannot be gone.
            let options = [
                "--shell=sh",
                "--severity=style",
                "--exclude=SC2016,SC1003,SC2034,SC2317",
            ];
            let accepted = complaint("shellcheck", &options, &script);
            assert_eq!(accepted, None, "{script}");
        }
    }
}

#[test]
fn hostile_names_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for method in methods() {
        let mut one = subject(method);
        one.recipe.arguments.clear();
        // As far as it goes without what it wants to fetch: to the interpreter, and no further.
        one.parts = Err(HOSTILE.to_owned());
        let path = folder.path().join("reproduce.sh");
        std::fs::write(&path, script(&one)).unwrap();
        let output = Command::new("sh")
            .arg(&path)
            .env("INTERPRETER", "/bin/true")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("touch /tmp/speedwell-pwned"),
            "{said}"
        );
        assert!(!std::path::Path::new("/tmp/speedwell-pwned").exists());
    }
    let text = readme(
        &subject(methods().remove(0)),
        "/runs/7",
        &[],
        &[HOSTILE.to_owned()],
    );
    assert!(!text.lines().any(|line| line.starts_with("@own@")));
}

#[test]
fn configure_hears_the_same_as_in_the_lab() {
    let mut one = subject(Method::Cpython {
        profile: ConfigureProfile::Pgo,
        configure: vec!["--with-pydebug".to_owned()],
    });
    one.python2 = true;
    one.url = "https://github.com/python/cpython".to_owned();
    one.commit = "ab".repeat(20);
    let text = script(&one);
    assert!(text.contains(
        "sh ../source/configure '--prefix=/opt/speedwell/python' '--enable-unicode=ucs4' '--with-ensurepip=no' \
         '--enable-optimizations' '--with-pydebug'"
    ));
    assert!(text.contains("repository=${REPOSITORY:-'https://github.com/python/cpython'}"));
    assert!(text.contains("SOURCE_DATE_EPOCH=1431000000"));
    assert!(text.contains("touch -t 201505071200.00"));
}

#[test]
fn parts_come_from_the_definition_and_what_the_script_cannot_do_is_said() {
    let text = r#"
[[package]]
name = "six"
version = "1.16.0"
sha256 = "66"
library = true
[[requirements]]
name = "pure"
file = "pure.txt"
sha256 = "77"
[[requirements]]
name = "odd"
file = "odd.txt"
sha256 = "88"
unpacked = ["mkl"]
[[benchmark]]
name = "one"
source = "own"
script = "one.py"
sha256 = "11"
requires = "pure"
[benchmark.inputs]
"data/a.txt" = "22"
[[benchmark]]
name = "java"
source = "own"
script = "One.java"
sha256 = "33"
[[benchmark]]
name = "outside"
source = "own"
script = "../../etc/passwd"
sha256 = "44"
[[benchmark]]
name = "two"
source = "own"
script = "two.py"
sha256 = "55"
requires = "odd"
"#;
    let definition = Definition::parse(text).unwrap();
    let list = format!("pyperf.py {}\nworkload driver 1", "a".repeat(64));
    let lock = [LockedPackage {
        requirements: "pure".to_owned(),
        requirement: "mako==1.0 ; python_version > '3'".to_owned(),
        sha256: vec!["99".to_owned()],
    }];
    let find = |name| Parts::find(&definition, &list, name, &lock);
    let one = find("one").unwrap();
    let paths: Vec<&str> = one.files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "files/data/a.txt",
            "files/one.py",
            "harness/pyperf.py",
            "requirements/pure.txt"
        ]
    );
    assert_eq!(one.required, [("mako".to_owned(), "99".to_owned())]);
    assert_eq!(one.libraries[0].0, "six");
    assert!(find("java").unwrap_err().contains("Java"));
    assert!(find("outside").unwrap_err().contains("not plain"));
    assert!(find("two").unwrap_err().contains("more than packages"));
    assert!(find("server").unwrap_err().contains("workload"));
}

#[test]
fn the_plan_is_read_from_the_samples() {
    let times = (1.0, 0.9, 1.1);
    let ours = Ours::of(
        times,
        3,
        Some(4),
        &[0, 0, 0, 1, 1],
        &[true, false, false, true, false],
    );
    let ours = ours.unwrap();
    assert_eq!(
        (ours.processes, ours.warmups, ours.values, ours.loops),
        (2, 1, 2, 4)
    );
    assert_eq!(Ours::of(times, 0, None, &[], &[]), None);
    assert_eq!(Ours::of(times, 0, None, &[0], &[true]), None);
}
