-- What was not as it should be on the host while a run was measured, and the weight of the worst of it.
ALTER TABLE run
    ADD COLUMN host_flags jsonb NOT NULL DEFAULT '[]',   -- wire::HostFlag
    ADD COLUMN host_worst text CHECK (host_worst IN ('note', 'warning', 'unfit'));
