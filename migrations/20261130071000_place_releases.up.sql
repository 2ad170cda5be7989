-- Releases that are tagged beside a branch: on a short side branch, as CPython's were until 2020 and PyPy's are.

-- Where each release that is no commit of a branch lies beside it; looked for once for each branch and commit.
CREATE TABLE off_branch_release (
    branch_id       bigint NOT NULL REFERENCES branch,
    commit_hash     text NOT NULL,
    position        integer CHECK (position >= 0),  -- of the branch's newest commit that the release contains; NULL: it is none of this branch
    own_commits     integer CHECK (own_commits > 0),  -- that it has beside the branch's
    looked_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (branch_id, commit_hash),
    CHECK ((position IS NULL) = (own_commits IS NULL))
);

-- The releases of each branch: those that are its commits, and those that lie beside it.
CREATE VIEW branch_release AS
    SELECT place.branch_id, tag.name, tag.release_line, tag.release_final, commit.id AS commit_id, place.position, 0 AS own_commits
    FROM branch JOIN tag ON tag.repository_id = branch.repository_id AND tag.release_line IS NOT NULL
    JOIN commit ON commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash
    JOIN branch_commit place ON place.branch_id = branch.id AND place.commit_id = commit.id
    UNION ALL
    SELECT beside.branch_id, tag.name, tag.release_line, tag.release_final, commit.id, beside.position, beside.own_commits
    FROM off_branch_release beside JOIN branch ON branch.id = beside.branch_id
    JOIN tag ON tag.repository_id = branch.repository_id AND tag.commit_hash = beside.commit_hash AND tag.release_line IS NOT NULL
    JOIN commit ON commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash
    WHERE beside.position IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM branch_commit WHERE branch_commit.branch_id = beside.branch_id AND branch_commit.commit_id = commit.id);
