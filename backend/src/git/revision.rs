//! Names of commits, and where two lines of history part.

use git2::{ErrorCode, Oid, Repository};

/// The commit that a branch, a tag or a hash (whole, or its first seven digits and more) names; a branch before a tag of the same
/// name. `None`: nothing here, or several.
pub fn find(repository: &Repository, name: &str) -> Option<String> {
    for folder in ["refs/heads/", "refs/tags/", ""] {
        let full = format!("{folder}{name}");
        // Without a folder only what is ours: `refs/speedwell/…`.
        if folder.is_empty() && !name.starts_with("refs/speedwell/") {
            continue;
        }
        let found = repository.find_reference(&full);
        if let Ok(commit) = found.and_then(|reference| reference.peel_to_commit()) {
            return Some(commit.id().to_string());
        }
    }
    let is_hash = (7..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_hexdigit());
    if !is_hash {
        return None;
    }
    let commit = repository.find_commit_by_prefix(name).ok()?;
    Some(commit.id().to_string())
}

/// The newest commit that both have in their history; `None`: they share none.
pub fn merge_base(
    repository: &Repository,
    one: &str,
    other: &str,
) -> anyhow::Result<Option<String>> {
    match repository.merge_base(Oid::from_str(one)?, Oid::from_str(other)?) {
        Ok(base) => Ok(Some(base.to_string())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How many commits `head` has that `base` has not.
pub fn commits_between(repository: &Repository, base: &str, head: &str) -> anyhow::Result<usize> {
    let (ahead, _) = repository.graph_ahead_behind(Oid::from_str(head)?, Oid::from_str(base)?)?;
    Ok(ahead)
}

/// The commit before, on its own line; `None`: it is a root.
pub fn first_parent(repository: &Repository, hash: &str) -> anyhow::Result<Option<String>> {
    let commit = repository.find_commit(Oid::from_str(hash)?)?;
    Ok(commit.parent_ids().next().map(|parent| parent.to_string()))
}

#[cfg(test)]
mod tests {
    use git2::Signature;

    use super::*;

    #[test]
    fn names_hashes_and_the_place_where_lines_part() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let me = Signature::now("A", "a@example.org").unwrap();
        let tree = repository
            .find_tree(repository.treebuilder(None).unwrap().write().unwrap())
            .unwrap();
        let commit = |name: &str, parent: Option<Oid>| {
            let parent = parent.map(|oid| repository.find_commit(oid).unwrap());
            let parents: Vec<_> = parent.iter().collect();
            let reference = format!("refs/heads/{name}");
            // Not by reference: a second branch begins at its parent.
            let made = repository
                .commit(None, &me, &me, name, &tree, &parents)
                .unwrap();
            repository.reference(&reference, made, true, "").unwrap();
            made
        };
        let root = commit("main", None);
        let main = commit("main", Some(root));
        let topic = commit("topic", Some(root));
        let top = commit("topic", Some(topic));
        let [root, main, top, topic] = [root, main, top, topic].map(|oid| oid.to_string());
        assert_eq!(find(&repository, "topic"), Some(top.clone()));
        assert_eq!(find(&repository, &main[..9]), Some(main.clone()));
        for unknown in [
            "none",
            "HEAD",
            "topic~1",
            &main[..5],
            "refs/heads/main",
            "0000000",
        ] {
            assert_eq!(find(&repository, unknown), None, "{unknown}");
        }
        assert_eq!(
            merge_base(&repository, &top, &main).unwrap(),
            Some(root.clone())
        );
        assert_eq!(commits_between(&repository, &root, &top).unwrap(), 2);
        assert_eq!(first_parent(&repository, &top).unwrap(), Some(topic));
        assert_eq!(first_parent(&repository, &root).unwrap(), None);
        let stranger = commit("stranger", None).to_string();
        assert_eq!(merge_base(&repository, &stranger, &main).unwrap(), None);
    }
}
