-- Runs of repeats go to the first build of the same identity; the repeats go.
UPDATE run SET build_id = (
    SELECT first.id FROM build first
    WHERE first.runtime_id = mine.runtime_id AND first.commit_id = mine.commit_id
      AND first.recipe_sha256 = mine.recipe_sha256 AND first.toolchain = mine.toolchain
      AND first.artefact_sha256 IS NOT NULL
    ORDER BY first.repeat, first.id LIMIT 1)
FROM build mine WHERE mine.id = run.build_id;
DELETE FROM build WHERE artefact_sha256 IS NOT NULL AND EXISTS (
    SELECT 1 FROM build first
    WHERE first.runtime_id = build.runtime_id AND first.commit_id = build.commit_id
      AND first.recipe_sha256 = build.recipe_sha256 AND first.toolchain = build.toolchain
      AND first.artefact_sha256 IS NOT NULL AND (first.repeat, first.id) < (build.repeat, build.id));
DROP INDEX build_identity;
CREATE UNIQUE INDEX build_identity ON build (runtime_id, commit_id, recipe_sha256, toolchain)
    WHERE artefact_sha256 IS NOT NULL;
ALTER TABLE build DROP COLUMN repeat;
ALTER TABLE job DROP COLUMN build_repeat;
