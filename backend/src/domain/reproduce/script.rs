//! `reproduce.sh`: makes the interpreter, fetches what the benchmark needs, runs it as the run did, and compares.

use super::interpreter;
use super::quote::{one_line, quote};
use super::{Ours, Parts, Subject};

/// What every script begins with; `@…@` stands for a value.
const HEAD: &str = r#"#!/bin/sh
# Repeats one measurement of Speedwell on this machine: README.md says what it is. Everything is made in the folder `work`
# beside this script (or in the one that WORK names). Variables that it takes:
#   WORK         where everything is made
#   INTERPRETER  an interpreter that is there already: nothing is built
#   REPOSITORY   another address to fetch the commit from
#   TRANSLATOR   a Python 2 to translate PyPy with
#   PROCESSES    how many processes are measured
#   CPU          the processor to pin them to
set -eu

benchmark=@benchmark@
runtime=@runtime@
run=@run@
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=${WORK:-$here/work}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

say() { printf '%s\n' "$*"; }
stop() { printf 'reproduce.sh: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || stop "this needs the program $1"; }

mkdir -p "$work"
work=$(cd -- "$work" && pwd)
say "$benchmark on $runtime, as in run $run"
"#;

/// Packages by their hash.
const FETCHING: &str = r#"
# ── Packages: each is checked against its SHA-256 ────────────────────────────────────────────────────────────────────
# index_file NAME SHA256 FOLDER: the file of a project on the Python package index (as pip is set up here) that has this hash.
index_file() {
  need python3
  python3 - "$@" <<'PYTHON' || stop "$1 cannot be fetched from the Python package index"
import hashlib, os, re, subprocess, sys, urllib.parse, urllib.request
name, sha256, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
for known in os.listdir(folder):
    with open(os.path.join(folder, known), "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() == sha256:
            sys.exit()
index = os.environ.get("PIP_INDEX_URL")
if not index:
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, universal_newlines=True)
    found = re.findall(r"index-url=['\"]?([^'\"\n]+)", asked.stdout)
    index = found[-1] if found else "https://pypi.org/simple"
page = index.rstrip("/") + "/" + re.sub(r"[-_.]+", "-", name).lower() + "/"
text = urllib.request.urlopen(page).read().decode("utf-8")
link = re.search("[\"']([^\"']*)#sha256=" + sha256, text)
if not link:
    sys.exit("%s has no file with the hash %s" % (page, sha256))
url = urllib.parse.urljoin(page, link.group(1).replace("&amp;", "&"))
file_name = os.path.basename(urllib.parse.unquote(urllib.parse.urlparse(url).path))
if not re.match(r"[A-Za-z0-9][-A-Za-z0-9_.+!]*$", file_name):
    sys.exit("%r is no file name" % file_name)
content = urllib.request.urlopen(url).read()
if hashlib.sha256(content).hexdigest() != sha256:
    sys.exit("%s does not have the hash %s" % (url, sha256))
with open(os.path.join(folder, file_name), "wb") as file:
    file.write(content)
PYTHON
}

# index_package NAME SHA256 FOLDER: the same, unpacked.
index_package() {
  rm -rf "$work/one"
  index_file "$1" "$2" "$work/one"
  mkdir -p "$3"
  for file in "$work"/one/*; do
    case $file in
    *.whl | *.zip) python3 -m zipfile -e "$file" "$3" ;;
    *) tar -xf "$file" -C "$3" ;;
    esac
  done
}

# check FILE SHA256
check() {
  found=$(sha256sum -- "$1" | cut -d ' ' -f 1)
  [ "$found" = "$2" ] || stop "$1 has the hash $found, not $2"
}

# debian_package NAME VERSION SHA256 SUITE FOLDER
debian_package() {
  need apt-get
  need dpkg-deb
  rm -rf "$work/one"
  mkdir -p "$work/one"
  (cd "$work/one" && apt-get --quiet=2 download "$1=$2") ||
    stop "apt does not know $1 $2: add Debian's suite $4 to its sources, and run apt-get update"
  for file in "$work"/one/*.deb; do
    check "$file" "$3"
    dpkg-deb -x "$file" "$5"
  done
}

# npm_package NAME VERSION SHA256 FOLDER
npm_package() {
  need npm
  rm -rf "$work/one"
  mkdir -p "$work/one" "$4/node_modules/$1"
  (cd "$work/one" && npm pack --silent "$1@$2" >/dev/null) || stop "npm cannot fetch $1 $2"
  for file in "$work"/one/*.tgz; do
    check "$file" "$3"
    tar -xf "$file" -C "$4/node_modules/$1" --strip-components=1
  done
}

"#;

/// Packages that the benchmark imports, by a pinned pip.
const REQUIREMENTS: &str = r#"
# ── What the benchmark imports ─────────────────────────────────────────────────────────────────────────────────────────────
environment=$work/environment
if [ ! -f "$environment/sitecustomize.py" ]; then
  rm -rf "$environment"
  mkdir -p "$environment" "$work/house" "$work/home"
  @files@
  # No one pip knows Python 2.7 and 3.12.
  if "$interpreter" @own@ -c 'import sys; sys.exit(sys.version_info >= (3, 8))'; then
    pip=217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d
  else
    pip=c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f
  fi
  index_package pip "$pip" "$work/pip"
  set -- @lists@
  for list in "$@"; do
    env -i PATH=/usr/bin:/bin LANG=C.UTF-8 HOME="$work/home" TMPDIR="$work/home" PYTHONPATH="$environment" PIP_CONFIG_FILE=/dev/null \
      PYTHONHASHSEED=0@variables@ "$interpreter" @own@ "$work/pip/pip" install --quiet --disable-pip-version-check --no-index \
      --find-links="$work/house" --no-deps --no-build-isolation --no-cache-dir --no-compile --require-hashes \
      --target="$environment" --requirement="$here/requirements/$list" || stop "what the benchmark imports cannot be installed"
  done
  # What is on PYTHONPATH has its .pth files read only when asked for.
  printf 'import os, site\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\n' >"$environment/sitecustomize.py"
fi
path=$path:$environment
"#;

/// The processes, and what came of them.
const MEASURING: &str = r#"
# ── The benchmark ──────────────────────────────────────────────────────────────────────────────────────────────────────────
processes=${PROCESSES:-@processes@}
settings=@settings@
pin=
if command -v taskset >/dev/null 2>&1; then
  allowed=$(taskset -cp $$ | sed 's/.*: *//')
  cpu=${CPU:-${allowed##*[,-]}}
  if taskset -c "$cpu" true 2>/dev/null; then pin=$cpu; fi
fi
if [ -n "$pin" ]; then say "pinned to processor $pin"; else say "not pinned to a processor: expect more noise"; fi
# The harness asks whether it may go on; here it always may.
printf 'ok\nok\nok\nok\nok\nok\n' >"$work/answers"
: >"$work/values.csv"
process=1
while [ "$process" -le "$processes" ]; do
  rm -rf "${work:?}/files" "${work:?}/home"
  mkdir -p "$work/home"
  cp -R "$here/files" "$work/files"
  set -- "$interpreter" @own@ "$work/files/"@script@ @arguments@
  if [ -n "$pin" ]; then set -- taskset -c "$pin" "$@"; fi
  (cd "$work/home" && env -i PATH=/usr/bin:/bin LANG=C.UTF-8 TZ=UTC HOME="$work/home" TMPDIR="$work/home" \
    PYTHONHASHSEED="$process" PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$path" JYTHONPATH="$path" \
    MICROPYPATH=".frozen:$here/harness/micropython" SPEEDWELL_LIBRARY="$here/harness" SPEEDWELL_HARNESS="$settings"@variables@ \
    "$@") 3>"$work/events" 4<"$work/answers" </dev/null >"$work/output" 2>&1 || {
    tail -n 20 "$work/output" >&2
    stop "process $process failed"
  }
  awk -v process="$process" '
    function field(name,    text) {
      if (!match($0, "\"" name "\": *[^,}]*")) return ""
      text = substr($0, RSTART, RLENGTH)
      sub(/^[^:]*: */, "", text)
      return text
    }
    /"event": *"value"/ {
      inner = field("inner_loops")
      printf "%d,%d,%.9g\n", process, field("warmup") == "true", field("seconds") / field("loops") / (inner == "" ? 1 : inner)
    }' "$work/events" >>"$work/values.csv"
  say "process $process of $processes done"
  process=$((process + 1))
done

# ── Yours beside ours ──────────────────────────────────────────────────────────────────────────────────────────────────────
awk -F , -v ours=@median@ -v low=@low@ -v high=@high@ -v ours_count=@count@ -v host=@host@ '
  $2 == 0 {
    value = $3 + 0
    for (place = count; place > 0 && values[place] > value; place--) values[place + 1] = values[place]
    values[place + 1] = value
    count++
  }
  END {
    if (!count) { print "nothing was measured"; exit 1 }
    half = int((count + 1) / 2)
    median = count % 2 ? values[half] : (values[half] + values[half + 1]) / 2
    printf "\nyours: median %.6g s, %.6g to %.6g s, %d values\n", median, values[1], values[count], count
    printf "ours:  median %.6g s, 95 %% interval %.6g to %.6g s, %d values, on %s\n", ours, low, high, ours_count, host
    printf "yours / ours = %.3f; your median is %s the interval of ours.\n", median / ours, \
      (median < low ? "below" : median > high ? "above" : "within")
    print "Another machine is faster or slower as a whole: what should agree is the ratio between two commits, measured on the same one."
  }' "$work/values.csv"
"#;

/// The script.
pub fn script(subject: &Subject) -> String {
    let mut text = fill(
        HEAD,
        &[
            ("benchmark", quote(&subject.benchmark)),
            ("runtime", quote(&subject.runtime)),
            ("run", subject.run_id.to_string()),
        ],
    );
    if let Some(why) = subject.obstacle() {
        text.push_str(&format!(
            "say 'This script makes the interpreter, but it cannot repeat the benchmark:'\nsay {}\n",
            quote(why)
        ));
    }
    text.push_str(FETCHING);
    text.push_str(&interpreter::section(subject));
    match (&subject.ours, &subject.parts) {
        (Ok(ours), Ok(parts)) => text.push_str(&measuring(subject, ours, parts)),
        (Err(why), _) | (_, Err(why)) => {
            text.push_str(&format!(
                "stop \"the interpreter is $interpreter; the benchmark is not run:\" {}\n",
                quote(why)
            ));
        }
    }
    text
}

fn measuring(subject: &Subject, ours: &Ours, parts: &Parts) -> String {
    let own = interpreter::own_arguments(subject);
    let variables = interpreter::own_variables(subject);
    let mut text = "\npath=$here/harness\n".to_owned();
    for (name, sha256, folder) in &parts.libraries {
        let (name, sha256) = (quote(name), quote(sha256));
        let place = format!("\"$work/libraries/\"{name}");
        text.push_str(&format!(
            "[ -d {place} ] || index_package {name} {sha256} {place}\n"
        ));
        let inner = if folder.is_empty() {
            String::new()
        } else {
            format!("/{}", quote(folder))
        };
        text.push_str(&format!("path=$path:{place}{inner}\n"));
    }
    if !parts.requirements.is_empty() {
        let fetch = |(name, sha256): &(String, String)| {
            format!(
                "index_file {} {} \"$work/house\"",
                quote(name),
                quote(sha256)
            )
        };
        let files: Vec<String> = parts.required.iter().map(fetch).collect();
        let lists: Vec<String> = parts.requirements.iter().map(|list| quote(list)).collect();
        let values = [
            ("files", files.join("\n  ")),
            ("own", own.clone()),
            ("variables", variables.clone()),
            ("lists", lists.join(" ")),
        ];
        text.push_str(&fill(REQUIREMENTS, &values));
    }
    let arguments: Vec<String> = subject.arguments.iter().map(|word| quote(word)).collect();
    text.push_str(&fill(
        MEASURING,
        &[
            ("processes", ours.processes.to_string()),
            ("settings", quote(&settings(ours, parts))),
            ("own", own),
            ("variables", variables),
            ("script", quote(&parts.script)),
            ("arguments", arguments.join(" ")),
            ("median", number(ours.median)),
            ("low", number(ours.low)),
            ("high", number(ours.high)),
            ("count", ours.count.to_string()),
            // awk reads backslashes in what it is given, and refuses line breaks.
            (
                "host",
                quote(&one_line(&subject.host).replace('\\', "\\\\")),
            ),
        ],
    ));
    text
}

/// What the harness is told, as the worker tells it.
pub fn settings(ours: &Ours, parts: &Parts) -> String {
    let mut settings = serde_json::json!({
        "protocol": 1,
        "events_fd": 3,
        "control_fd": 4,
        "mode": "timing",
        "loops": ours.loops,
        "warmups": ours.warmups,
        "warmup_seconds": 0.0,
        "values": ours.values,
        "max_seconds": 3600.0,
    });
    if let (Some(select), Some(fields)) = (&parts.select, settings.as_object_mut()) {
        fields.insert("select".to_owned(), select.clone().into());
    }
    settings.to_string()
}

/// Digits only, so that awk reads it as a number.
fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:e}")
    } else {
        "0".to_owned()
    }
}

/// Puts values in the place of `@name@`, once, so that a value that looks like a name stays what it is.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut parts = template.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut rest: Vec<&str> = parts.collect();
    rest.reverse();
    while let Some(part) = rest.pop() {
        match values.iter().find(|(name, _)| *name == part) {
            Some((_, value)) if !rest.is_empty() => {
                text.push_str(value);
                text.push_str(rest.pop().unwrap_or_default());
            }
            Some(_) | None => {
                text.push('@');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fill_their_places_once() {
        let values = [("a", "@b@".to_owned()), ("b", "2".to_owned())];
        assert_eq!(
            fill("x @a@ y @b@ z \"$@\" @", &values),
            "x @b@ y 2 z \"$@\" @"
        );
        assert_eq!(number(f64::NAN), "0");
        assert_eq!(number(0.0125), "1.25e-2");
    }
}
