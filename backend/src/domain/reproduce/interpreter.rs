//! The part of the script that makes the interpreter: one for each way to one.

use speedwell_wire::{CPYTHON_PREFIX, Method, PYPY_PACKAGING, PinnedPackage, Registry};

use super::Subject;
use super::quote::{is_variable, plain_path, quote, quote_with_prefix};

/// Sets `prefix` and `interpreter`, or stops with a sentence.
pub(super) fn section(subject: &Subject) -> String {
    let begin = "# ── The interpreter ──────────────────────────────────────────────────────────\n\
                 prefix=$work/installed\n\
                 if [ -n \"${INTERPRETER:-}\" ]; then\n  interpreter=$INTERPRETER\n  say \"using $interpreter, as INTERPRETER says\"\nelse\n";
    let body = if subject.recipe_is_of_run {
        making(subject)
    } else {
        "  stop 'the runtime is configured otherwise since this run: its recipe is no longer known. Set INTERPRETER to one like it.'\n"
            .to_owned()
    };
    format!("{begin}{body}fi\n{}", version_check(subject))
}

/// Makes the interpreter by its recipe.
fn making(subject: &Subject) -> String {
    match &subject.recipe.method {
        Method::Cpython { profile, configure } => {
            let of_profile = profile.configure_arguments(subject.python2);
            let arguments = of_profile
                .iter()
                .copied()
                .chain(configure.iter().map(String::as_str));
            cpython(subject, arguments)
        }
        Method::Pypy {
            translation,
            options,
        } => pypy(subject, translation.level(), options),
        Method::Prebuilt { command, .. } => format!(
            "  interpreter={}\n  [ -x \"$interpreter\" ] || stop \"this program was installed on our host and is not on this one: $interpreter. Set INTERPRETER to one like it.\"\n",
            quote(command)
        ),
        Method::Package {
            program, packages, ..
        } => package(program, packages),
    }
}

/// Variables for a build: the fixed ones, and the recipe's own.
fn build_environment(subject: &Subject) -> String {
    let mut text = format!(
        "env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TZ=UTC HOME=\"$work/home\" TMPDIR=\"$work/home\" \
         PYTHONHASHSEED=0 SOURCE_DATE_EPOCH={}",
        subject.committed_at
    );
    for (name, value) in &subject.recipe.environment {
        if is_variable(name) {
            text.push_str(&format!(" {name}={}", quote(value)));
        }
    }
    text
}

/// Fetches the commit into `$work/source`.
fn checkout(subject: &Subject) -> String {
    format!(
        r#"  need git
  commit={}
  repository=${{REPOSITORY:-{}}}
  [ -d "$work/source/.git" ] || git init --quiet "$work/source"
  if ! git -C "$work/source" cat-file -e "$commit^{{commit}}" 2>/dev/null; then
    say "fetching $commit from $repository"
    # Some servers give a single commit, some only whole branches.
    git -C "$work/source" fetch --quiet --depth=1 -- "$repository" "$commit" ||
      git -C "$work/source" fetch --quiet --tags -- "$repository" '+refs/heads/*:refs/remotes/there/*' ||
      stop "$repository cannot be fetched from: set REPOSITORY to another copy"
  fi
  git -C "$work/source" checkout --quiet --force --detach "$commit" || stop "the repository has no commit $commit"
  # All files are of the same moment, as in the lab: make would make generated ones anew, by programs that may not be here.
  find "$work/source" -name .git -prune -o -type f -exec env TZ=UTC touch -t {stamp} {{}} +
"#,
        quote(&subject.commit),
        // Within "${…:-…}" quotes are read as outside of it.
        quote(&subject.url),
        stamp = stamp(subject.committed_at),
    )
}

/// A moment as `touch -t` takes it.
fn stamp(seconds: i64) -> String {
    let moment = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    moment.format("%Y%m%d%H%M.%S").to_string()
}

fn cpython<'a>(subject: &Subject, arguments: impl Iterator<Item = &'a str>) -> String {
    let arguments: Vec<String> = arguments.map(quote).collect();
    format!(
        r#"{checkout}  need make
  need cc
  prefix=$work/installed{CPYTHON_PREFIX}
  if [ ! -f "$work/built" ]; then
    mkdir -p "$work/objects" "$work/home"
    cd "$work/objects"
    say "configure, make, make install: the output goes to $work/build.log"
    {{
      {environment} sh ../source/configure {prefix} {arguments} &&
        {environment} make "-j$jobs" &&
        {environment} make install "DESTDIR=$work/installed"
    }} >"$work/build.log" 2>&1 || {{ tail -n 20 "$work/build.log" >&2; stop "the build failed"; }}
    : >"$work/built"
    cd "$here"
  fi
  for name in python3 python2.7 python; do
    interpreter=$prefix/bin/$name
    [ ! -x "$interpreter" ] || break
  done
"#,
        checkout = checkout(subject),
        environment = build_environment(subject),
        prefix = quote(&format!("--prefix={CPYTHON_PREFIX}")),
        arguments = arguments.join(" "),
    )
}

fn pypy(subject: &Subject, level: &str, options: &[String]) -> String {
    let options: Vec<String> = options.iter().map(|option| quote(option)).collect();
    let packaging = PYPY_PACKAGING.map(|name| format!("{name}=1")).join(" ");
    format!(
        r#"{checkout}  # RPython is Python 2. A PyPy translates several times faster than a CPython; it takes an hour and 6 GB of memory.
  translator=${{TRANSLATOR:-}}
  for name in pypy pypy2 python2.7; do
    [ -n "$translator" ] || translator=$(command -v "$name" || true)
  done
  [ -n "$translator" ] || stop "translating PyPy needs a Python 2: set TRANSLATOR to a PyPy 2.7 or a CPython 2.7"
  if [ ! -f "$work/built" ]; then
    mkdir -p "$work/home" "$work/packaged"
    say "translating: the output goes to $work/build.log"
    {{
      cd "$work/source/pypy/goal" &&
        {environment} PYPY_USESSION_DIR="$work/home" {packaging} \
          "$translator" ../../rpython/bin/rpython --batch {level} "--make-jobs=$jobs" targetpypystandalone.py {options} &&
        cd "$work/source" &&
        {environment} PYPY_USESSION_DIR="$work/home" {packaging} \
          "$translator" pypy/tool/release/package.py --archive-name=pypy "--builddir=$work/packaged" "--targetdir=$work/home"
    }} >"$work/build.log" 2>&1 || {{ tail -n 20 "$work/build.log" >&2; stop "the translation failed"; }}
    : >"$work/built"
    cd "$here"
  fi
  prefix=$work/packaged/pypy
  for name in pypy3 pypy; do
    interpreter=$prefix/bin/$name
    [ ! -x "$interpreter" ] || break
  done
"#,
        checkout = checkout(subject),
        environment = build_environment(subject),
        options = options.join(" "),
    )
}

fn package(program: &str, packages: &[PinnedPackage]) -> String {
    let mut text =
        "  if [ ! -f \"$work/built\" ]; then\n    rm -rf \"$prefix\"\n    mkdir -p \"$prefix\"\n"
            .to_owned();
    for one in packages {
        let folder = match one.folder.as_deref().map(plain_path) {
            None => "\"$prefix\"".to_owned(),
            Some(Some(folder)) => format!("\"$prefix\"/{}", quote(folder)),
            Some(None) => {
                return "  stop 'a package goes into a folder whose path is not plain'\n"
                    .to_owned();
            }
        };
        let words = [&one.name, &one.version, &one.sha256].map(|word| quote(word));
        let [name, version, sha256] = words;
        text.push_str(&match &one.registry {
            Registry::Debian(suite) => {
                format!(
                    "    debian_package {name} {version} {sha256} {} {folder}\n",
                    quote(suite)
                )
            }
            Registry::Pypi => format!("    index_package {name} {sha256} {folder}\n"),
            Registry::Npm => format!("    npm_package {name} {version} {sha256} {folder}\n"),
        });
    }
    text.push_str(&format!(
        "    : >\"$work/built\"\n  fi\n  interpreter=$prefix/{}\n",
        quote(program)
    ));
    text
}

/// The interpreter's own word, and whether it is the wanted version where that is pinned.
fn version_check(subject: &Subject) -> String {
    let probe: Vec<String> = subject
        .recipe
        .method
        .probe()
        .iter()
        .map(|word| quote(word))
        .collect();
    let arguments = own_arguments(subject);
    let wanted = match &subject.recipe.method {
        Method::Prebuilt { version, .. } | Method::Package { version, .. } => version.as_str(),
        Method::Cpython { .. } | Method::Pypy { .. } => "",
    };
    format!(
        r#"[ -x "$interpreter" ] || stop "there is no interpreter $interpreter"
said=$(env{variables} "$interpreter" {arguments} {probe} 2>&1 | tail -n 1) || stop "$interpreter does not run: $said"
wanted={wanted}
case $said in
*"$wanted"*) ;;
*) say "caution: the interpreter says \"$said\", ours was $wanted" ;;
esac
say "interpreter: $said"
"#,
        probe = probe.join(" "),
        variables = own_variables(subject),
        wanted = quote(wanted),
    )
}

/// The interpreter's own arguments, before any script.
pub(super) fn own_arguments(subject: &Subject) -> String {
    let words = subject.recipe.arguments.iter();
    words
        .map(|word| quote_with_prefix(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The recipe's own variables, for the interpreter.
pub(super) fn own_variables(subject: &Subject) -> String {
    let variables = subject.recipe.environment.iter();
    variables
        .filter(|(name, _)| is_variable(name))
        .map(|(name, value)| format!(" {name}={}", quote_with_prefix(value)))
        .collect()
}
