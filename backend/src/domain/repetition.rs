//! Whether a run that was measured under bad conditions is worth repeating; pure.

use speedwell_wire::HostFlag;

/// So many runs of a host in a row with the same mark, and it is the host's way: one more run would have it too.
pub const EARLIER: usize = 3;

/// Whether something during the run made its results unfit.
pub fn is_marked(flags: &[HostFlag]) -> bool {
    flags.iter().any(HostFlag::marks)
}

/// Whether the marks of a run tell of an event that a repetition may miss. `earlier`: the flags of the host's newest
/// [`EARLIER`] runs before it.
pub fn is_worthwhile(flags: &[HostFlag], earlier: &[Vec<HostFlag>]) -> bool {
    let is_usual = |name: &str| {
        let has = |run: &Vec<HostFlag>| run.iter().any(|flag| flag.name == name);
        earlier.len() >= EARLIER && earlier.iter().all(has)
    };
    let mut marks = flags.iter().filter(|flag| flag.marks());
    marks.any(|flag| !is_usual(&flag.name))
}

#[cfg(test)]
mod tests {
    use speedwell_wire::HostSeverity;

    use super::*;

    fn flag(name: &str) -> HostFlag {
        HostFlag::meanwhile(name, HostSeverity::Unfit, "5".to_owned(), "0")
    }

    #[test]
    fn what_the_host_always_carries_is_no_reason() {
        let hypervisor = HostFlag {
            name: "hypervisor".to_owned(),
            ..flag("")
        };
        let flags = [hypervisor.clone()];
        assert!(!is_marked(&flags) && !is_worthwhile(&flags, &[]));
        let stolen = vec![hypervisor, flag("stolen")];
        assert!(is_marked(&stolen) && is_worthwhile(&stolen, &[]));
        // Twice before it may be an event that lasts; three times it is the host's way.
        let before = vec![stolen.clone(), stolen.clone()];
        assert!(is_worthwhile(&stolen, &before));
        let before = vec![stolen.clone(), stolen.clone(), stolen.clone()];
        assert!(!is_worthwhile(&stolen, &before));
        // Another mark beside it is an event, and so is the same one after a run without.
        let hot = [flag("stolen"), flag("throttled")];
        assert!(is_worthwhile(&hot, &before));
        let before = vec![stolen.clone(), Vec::new(), stolen.clone()];
        assert!(is_worthwhile(&stolen, &before));
    }
}
