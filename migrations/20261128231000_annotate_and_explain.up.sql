-- Somebody's words on a commit or a host: what the numbers cannot know.
CREATE TABLE annotation (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    commit_id       bigint REFERENCES commit,
    host_id         bigint REFERENCES host,
    at              timestamptz NOT NULL DEFAULT now(),
    actor           text NOT NULL,                 -- a token's name
    message         text NOT NULL,
    CHECK ((commit_id IS NULL) <> (host_id IS NULL))
);
CREATE INDEX annotation_commit ON annotation (commit_id) WHERE commit_id IS NOT NULL;
CREATE INDEX annotation_host ON annotation (host_id) WHERE host_id IS NOT NULL;

-- What differs on both sides of a regression. Derived: a newer version replaces it.
CREATE TABLE explanation (
    regression_id   bigint PRIMARY KEY REFERENCES regression ON DELETE CASCADE,
    version         integer NOT NULL,
    culprit_commit_id bigint NOT NULL REFERENCES commit,
    before_commit_id bigint NOT NULL REFERENCES commit,  -- the sides that it was read from
    after_commit_id bigint NOT NULL REFERENCES commit,
    findings        jsonb NOT NULL,                -- domain::explain::Explanation
    sentence        text NOT NULL,
    made_at         timestamptz NOT NULL DEFAULT now()
);
