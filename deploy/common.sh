# shellcheck shell=bash disable=SC2034,SC2154 # its variables are used, and set, by those that source it
# Shared by deploy/quickstart and deploy/test: packages, the Rust toolchain, the benchmark user. Sourced, not run.

# What builds the workspace, runs Postgres, builds CPython with all of its usual modules, and keeps builds in their box.
packages_to_run=(
  build-essential pkg-config ca-certificates curl git ccache xz-utils util-linux iproute2
  postgresql python3 python3-pip
  zlib1g-dev libbz2-dev liblzma-dev libffi-dev libssl-dev libsqlite3-dev libreadline-dev libncurses-dev
  libgdbm-dev uuid-dev
)
# What deploy/debian-history needs to unpack Debian's source packages.
packages_for_history=(dpkg-dev debian-archive-keyring)
# What the tests need besides: valgrind, a browser with its driver, a second Python, interpreters of other languages, and what Swift
# is compiled with and served by.
packages_to_test=(valgrind chromium chromium-driver pypy3 nodejs php-cli default-jre-headless shellcheck python3-dev liberasurecode-dev memcached)
# What deploy/ is tested with: a proxy, and the tool that reads Prometheus' rules.
packages_for_service=(nginx-light prometheus openssl)
# What deploy/emulated-pmu builds and starts its guest with.
packages_for_guest=(qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross cpio)

seconds_since() { echo $(($(date +%s) - $1)); }

say() { printf '%s\n' "── $*"; }

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Runs a command as root, or says how to do it.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo "$@"
  elif command -v sudo >/dev/null && [ -t 0 ]; then
    sudo "$@"
  else
    fail "This needs root: $*
Run it as root, or install sudo, and start again."
  fi
}

# Installs the given packages unless they are there.
install_packages() {
  local missing=() name begun
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "This is no Debian: install what these packages hold: ${missing[*]}"
  say "install ${missing[*]}"
  begun=$(date +%s)
  # Debian's postgresql would start a cluster of its own; Speedwell starts a private one.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    as_root mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold "${missing[@]}" >/dev/null
  say "installed in $(seconds_since "$begun") s"
}

# Makes sure that a new enough Rust is on the path.
need_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
  found=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9.]*\).*/\1/')
  if [ -n "$found" ] && [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]; then
    return 0
  fi
  say "install Rust (found: ${found:-none}, wanted: $wanted or newer) with rustup"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o /tmp/rustup-init.$$ ||
    fail "Rust $wanted or newer is needed and rustup cannot be reached: install Rust, then start again."
  sh /tmp/rustup-init.$$ -y -q --profile minimal -c rustfmt -c clippy
  rm -f /tmp/rustup-init.$$
  PATH="$HOME/.cargo/bin:$PATH"
}

# The user that builds and benchmarks run as when the worker is root.
need_benchmark_user() {
  [ "$(id -u)" = 0 ] || return 0
  id speedwell-bench >/dev/null 2>&1 ||
    useradd --system --no-create-home --shell /usr/sbin/nologin speedwell-bench
}
