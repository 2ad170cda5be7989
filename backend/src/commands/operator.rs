//! Who runs a command, for the audit log.

use nix::unistd::{User, geteuid};
use speedwell_backend::domain::role::is_actor_name;

/// `cli:` and the system user's name; of somebody who came by sudo their own name.
pub(super) fn name() -> String {
    let user = geteuid();
    let own = User::from_uid(user).ok().flatten().map(|user| user.name);
    let behind = std::env::var("SUDO_USER").ok();
    let behind = behind.filter(|name| user.is_root() && is_actor_name(name));
    match behind.or(own) {
        Some(name) => format!("cli:{name}"),
        None => format!("cli:{user}"),
    }
}
