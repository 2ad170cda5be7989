-- One commit built several times by the same recipe and toolchain, to see how far builds of the same source differ.
-- 0 is the build that everything uses; a repeat is asked for, and made without the compiler cache.
ALTER TABLE job ADD COLUMN build_repeat integer NOT NULL DEFAULT 0 CHECK (build_repeat >= 0);
ALTER TABLE build ADD COLUMN repeat integer NOT NULL DEFAULT 0 CHECK (repeat >= 0);
DROP INDEX build_identity;
CREATE UNIQUE INDEX build_identity ON build (runtime_id, commit_id, recipe_sha256, toolchain, repeat)
    WHERE artefact_sha256 IS NOT NULL;
